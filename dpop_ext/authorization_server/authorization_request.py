"""The ``dpop_jkt`` parameter of an authorization request (RFC 9449 section 10)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from authlib.oauth2.rfc6749 import (
    InvalidRequestError,
    OAuth2Error,
    UnauthorizedClientError,
)

from dpop_ext.authorization_server.issuance import generate_unbound
from dpop_ext.authorization_server.refusal import log_error, run_grant_validation
from dpop_ext.core.key import is_thumbprint

if TYPE_CHECKING:
    from dpop_ext.authorization_server.extension import DPoP


def extend_authorization_grant(extension: DPoP, grant: Any) -> None:
    """Check ``dpop_jkt`` and ``resource`` wherever Authlib validates the request.

    It does so before the consent page, and again when the decision comes back. The
    application stores ``request.dpop_jkt`` and ``request.audience`` in
    ``save_authorization_code``.

    An error goes to the client by redirection: a client that must use DPoP, where the
    response would hold an access token, which nothing can bind here
    (``unauthorized_client``); a ``dpop_jkt`` that is no thumbprint, is repeated, or is
    apart from the other parameters (``invalid_request``); a resource that is not for
    the client (``invalid_target``).

    :param grant: the grant; its methods are replaced on the instance.
    """
    if hasattr(grant, "save_authorization_code"):
        _check_what_is_saved(extension, grant)
    if not hasattr(grant, "check_token_endpoint"):
        # Of other grants, the methods for the token endpoint see to it.
        generate = grant.generate_token
        grant.generate_token = partial(generate_unbound, grant.request, generate)
    validate = grant.validate_authorization_request

    def validate_authorization_request() -> Any:
        try:
            redirect_uri = run_grant_validation(validate)
            try:
                _check(extension, grant.request)
            except OAuth2Error as error:
                error.redirect_uri = redirect_uri
                error.redirect_fragment = grant.ERROR_RESPONSE_FRAGMENT
                raise
        except OAuth2Error as error:
            log_error(grant.request, "authorization", error)
            raise
        return redirect_uri

    grant.validate_authorization_request = validate_authorization_request


def _check_what_is_saved(extension: DPoP, grant: Any) -> None:
    """Read the first code that is bound again: an application may not have stored it.

    Nothing else would tell that it is not. Only the first one of each type of grant,
    since the others come from the same method. One that cannot be found yet, because it
    is written later or read from a copy, says nothing.
    """
    save, kind = grant.save_authorization_code, grant.GRANT_TYPE

    def save_authorization_code(code: str, request: Any) -> Any:
        saved = save(code, request)
        if request.dpop_jkt is not None and kind not in extension.saves_bound_codes:
            query = _query_of(grant)
            found = query(code, request.client) if query is not None else None
            if found is None:
                return saved
            if extension.get_authorization_code_dpop_jkt(found) != request.dpop_jkt:
                raise RuntimeError(
                    "save_authorization_code has to store dpop_jkt=request.dpop_jkt: "
                    "the code would be good with any key."
                )
            extension.saves_bound_codes.add(kind)
        return saved

    grant.save_authorization_code = save_authorization_code


def _query_of(grant: Any) -> Callable[[str, Any], Any] | None:
    """Return what finds the codes of *grant*, if anything does.

    Those of the hybrid flow of OpenID Connect are redeemed by another grant.
    """
    query: Callable[[str, Any], Any] | None
    query = getattr(grant, "query_authorization_code", None)
    if query is None:
        for redeeming, _ in grant.server._token_grants:  # noqa: SLF001
            if hasattr(redeeming, "query_authorization_code"):
                query = redeeming(grant.request, grant.server).query_authorization_code
                break
    return query


def _check(extension: DPoP, request: Any) -> None:
    client = request.client
    if "token" in request.payload.response_type.split() and (
        extension.get_policy(request).required or extension.is_required(client)
    ):
        raise UnauthorizedClientError(
            "The client must not get an access token from the authorization endpoint."
        )
    request.dpop_jkt = _thumbprint(_values(request, "dpop_jkt"))
    request.resource = _values(request, "resource")
    request.audience = extension.get_audience(request, client)


def _thumbprint(values: Sequence[Any]) -> str | None:
    if len(values) > 1:
        raise InvalidRequestError("The dpop_jkt parameter is repeated.")
    if not values:
        return None
    if not is_thumbprint(values[0]):
        raise InvalidRequestError("The dpop_jkt parameter is not a thumbprint.")
    return values[0]


def _values(request: Any, name: str) -> Sequence[Any]:
    # Authlib's payload is query and form in one. A form that comes back from a consent
    # page must not add to the request that the user has seen.
    if "response_type" in request.args and name in request.form:
        raise InvalidRequestError("The parameters are not in one place.")
    # Of the payload nevertheless, because pushed and signed requests replace it.
    values: Sequence[Any] = request.payload.datalist.get(name, [])
    return values
