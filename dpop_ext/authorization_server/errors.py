"""Error responses of the token and authorization endpoints (RFC 9449 sections 5, 8)."""

from __future__ import annotations

from typing import Any

from authlib.oauth2.rfc6749 import (
    InvalidGrantError,
    InvalidRequestError,
    OAuth2Error,
)

from dpop_ext.errors import (
    BindingError,
    DPoPError,
    MalformedRequestError,
    NonceRequiredError,
    StoreError,
    SymmetricUnavailableError,
    TooManyRequestsError,
)

#: After how many seconds a client may try again when a store did not answer.
RETRY_AFTER = 5

Header = tuple[str, str]


class InvalidDPoPProofError(OAuth2Error):
    """The proof is missing or faulty (:rfc:`9449#section-5`).

    There is no ``WWW-Authenticate: DPoP`` beside it: at an authorization server that
    field would ask for an access token.
    """

    error = "invalid_dpop_proof"


class UseDPoPNonceError(OAuth2Error):
    """The proof lacks a current nonce, which comes along (:rfc:`9449#section-8`).

    :param fields: from :func:`nonce_fields`.
    """

    error = "use_dpop_nonce"
    description = NonceRequiredError.description

    def __init__(self, fields: list[Header]) -> None:
        super().__init__()
        self._fields = fields

    def get_headers(self) -> list[Header]:
        """Add the nonce to the header fields of every error."""
        return [*super().get_headers(), *self._fields]


class InvalidTargetError(OAuth2Error):
    """The client may not ask for this ``resource`` (:rfc:`8707#section-2`)."""

    error = "invalid_target"


class SymmetricKeyUnavailableError(OAuth2Error):
    """A symmetric key was demanded and cannot be issued."""

    error = "dpop_sym_unavailable"
    description = SymmetricUnavailableError.description


class TemporarilyUnavailableError(OAuth2Error):
    """A store did not answer: nothing was accepted and nothing was used up."""

    error = "temporarily_unavailable"
    description = StoreError.description
    status_code = 503
    #: Whoever raised it has written the line, which names the cause.
    is_logged = False

    def get_headers(self) -> list[Header]:
        """Say when to try again."""
        return [*super().get_headers(), ("Retry-After", str(RETRY_AFTER))]


class TooManyError(TemporarilyUnavailableError):
    """One client or key has used up its share (:rfc:`9126#section-2.3`)."""

    description = TooManyRequestsError.description
    status_code = 429


def nonce_fields(nonce: str, request: Any) -> list[Header]:
    """Return the ``DPoP-Nonce`` field, and the one that lets a browser read it.

    :param request: the OAuth2Request: only a request with an ``Origin`` comes from a
        script that needs permission.
    """
    fields = [("DPoP-Nonce", nonce)]
    if "Origin" in request.headers:
        fields.append(("Access-Control-Expose-Headers", "DPoP-Nonce"))
    return fields


def to_response(error: DPoPError, request: Any) -> OAuth2Error:
    """Return the response of an authorization server to *error*."""
    if isinstance(error, NonceRequiredError):
        return UseDPoPNonceError(nonce_fields(error.nonce, request))
    if isinstance(error, BindingError):
        return InvalidGrantError(error.description)
    if isinstance(error, TooManyRequestsError):
        return TooManyError()
    if isinstance(error, StoreError):
        return TemporarilyUnavailableError()
    if isinstance(error, SymmetricUnavailableError):
        return SymmetricKeyUnavailableError()
    if isinstance(error, MalformedRequestError):
        return InvalidRequestError(error.description)
    return InvalidDPoPProofError(error.description)
