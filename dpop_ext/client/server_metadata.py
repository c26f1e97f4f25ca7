"""What an authorization server says about itself: :rfc:`8414`, :rfc:`9449#section-5.1`.

Where its document is (:rfc:`8414#section-3`), and what of it a client goes by.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from dpop_ext.core.target import is_secure
from dpop_ext.errors import DiscoveryError, WrongServerError

_URL = re.compile(r"(https?://[^/?#]+)([^?#]*)(\?[^#]*)?")

#: A server that names no methods has this one (:rfc:`8414#section-2`).
_DEFAULT_AUTH_METHODS: Final = ("client_secret_basic",)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerMetadata:
    """The metadata of an authorization server, as far as a client goes by it."""

    issuer: str
    token_endpoint: str
    #: None of a server for clients that act for themselves only.
    authorization_endpoint: str | None = None
    #: Where authorization requests are pushed to (:rfc:`9126`); None if nowhere.
    pushed_authorization_request_endpoint: str | None = None
    #: There is no other way to begin.
    require_pushed_authorization_requests: bool = False
    revocation_endpoint: str | None = None
    #: Signature algorithms for proofs; empty of a server that does not know DPoP.
    dpop_algorithms: tuple[str, ...] = ()
    #: ``iss`` is in each authorization response (:rfc:`9207`).
    promises_issuer: bool = False
    auth_methods: tuple[str, ...] = _DEFAULT_AUTH_METHODS
    #: For ``private_key_jwt``; None if the server does not say.
    auth_algorithms: tuple[str, ...] | None = None
    #: For PKCE; None if the server does not say.
    code_challenge_methods: tuple[str, ...] | None = None
    #: MAC algorithms of symmetric keys; empty where there are none.
    symmetric_algorithms: tuple[str, ...] = ()
    #: JWE ``alg`` values that symmetric keys are delivered with.
    key_algorithms: tuple[str, ...] = ()
    #: The whole document.
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of_document(cls, document: Mapping[str, Any], *, issuer: str) -> ServerMetadata:
        """Read the document that was fetched for *issuer*.

        :raises WrongServerError: it names another issuer, or the same in another
            spelling (:rfc:`8414#section-3.3`): whoever serves it could have the codes
            and credentials for another server sent to itself.
        :raises DiscoveryError: a member that is needed is missing, or one is malformed.
        """
        if document.get("issuer") != issuer:
            raise WrongServerError
        token_endpoint = read_url(document, "token_endpoint", issuer=issuer)
        if token_endpoint is None:
            raise DiscoveryError("The metadata has no token endpoint.")
        auth_methods = read_names(document, "token_endpoint_auth_methods_supported")
        return cls(
            issuer=issuer,
            token_endpoint=token_endpoint,
            authorization_endpoint=read_url(
                document, "authorization_endpoint", issuer=issuer
            ),
            pushed_authorization_request_endpoint=read_url(
                document, "pushed_authorization_request_endpoint", issuer=issuer
            ),
            require_pushed_authorization_requests=read_flag(
                document, "require_pushed_authorization_requests"
            ),
            revocation_endpoint=read_url(
                document, "revocation_endpoint", issuer=issuer
            ),
            dpop_algorithms=read_names(document, "dpop_signing_alg_values_supported")
            or (),
            promises_issuer=read_flag(
                document, "authorization_response_iss_parameter_supported"
            ),
            auth_methods=(
                _DEFAULT_AUTH_METHODS if auth_methods is None else auth_methods
            ),
            auth_algorithms=read_names(
                document, "token_endpoint_auth_signing_alg_values_supported"
            ),
            code_challenge_methods=read_names(
                document, "code_challenge_methods_supported"
            ),
            symmetric_algorithms=read_names(
                document, "dpop_symmetric_alg_values_supported"
            )
            or (),
            key_algorithms=read_names(
                document, "dpop_symmetric_key_encryption_alg_values_supported"
            )
            or (),
            document=document,
        )


def server_metadata_urls(issuer: str) -> tuple[str, ...]:
    """Return where the document of an authorization server can be.

    First the well-known path before that of the issuer (:rfc:`8414#section-3.1`), then
    OpenID's, after it (section 5).

    :raises ValueError: *issuer* is no https URL, or has a query or a fragment.
    """
    base, path, query = split_identifier(issuer)
    if query:
        raise ValueError("an issuer identifier has no query")
    path = path.removesuffix("/")
    return (
        f"{base}/.well-known/oauth-authorization-server{path}",
        f"{base}{path}/.well-known/openid-configuration",
    )


def split_identifier(identifier: str) -> tuple[str, str, str]:
    """Return what stands before the path of a server's identifier, path, and query.

    :raises ValueError: it is no https URL (http to this machine is one), or has
        userinfo or a fragment.
    """
    match = _URL.fullmatch(identifier)
    if match is None or not is_secure(identifier):
        raise ValueError("the identifier of a server is an https URL")
    return match[1], match[2], match[3] or ""


def is_as_secure(url: str, as_one: str) -> bool:
    """Tell whether *url* is https, or http to this machine as the URL that led there.

    A server elsewhere could else have this machine asked for what only it can ask for.

    :param as_one: which is https, or http to this machine.
    """
    return is_secure(url) and (
        url[:6].lower() == "https:" or as_one[:6].lower() != "https:"
    )


def read_url(document: Mapping[str, Any], name: str, *, issuer: str) -> str | None:
    """Return the endpoint *name*, which is https; http to this machine as *issuer*."""
    value = document.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or "#" in value or not is_as_secure(value, issuer):
        raise DiscoveryError("The metadata has an endpoint that is no https URL.")
    return value


def read_names(document: Mapping[str, Any], name: str) -> tuple[str, ...] | None:
    """Return the list of strings *name*; None where there is none."""
    values = document.get(name)
    if values is None:
        return None
    if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
        raise DiscoveryError("The metadata has a list that is not one of strings.")
    return tuple(values)


def read_flag(document: Mapping[str, Any], name: str) -> bool:
    """Return the boolean *name*, which is false where there is none."""
    value = document.get(name, False)
    if not isinstance(value, bool):
        raise DiscoveryError("The metadata has a boolean that is none.")
    return value
