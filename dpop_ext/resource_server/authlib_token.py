"""What a protector of Authlib asks of a validator about a token (RFC 9449 section 7).

They may be of the application, and their tokens anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dpop_ext.errors import AccessTokenError, MalformedRequestError
from dpop_ext.resource_server.bound_token import read_access_token, read_confirmation
from dpop_ext.resource_server.decision import check_bearer
from dpop_ext.resource_server.error_refusal import refusing
from dpop_ext.resource_server.public_url import requested_url
from dpop_ext.resource_server.validator import DPoPTokenValidator


def check_transport(dpop: DPoPTokenValidator, request: Any) -> None:
    """Look at the URL of a Bearer request: it has no proof, but needs TLS, too."""
    with refusing(MalformedRequestError, scheme="bearer"):
        requested_url(request.resource_request, dpop.public_url)


def authenticate_token(
    dpop: DPoPTokenValidator, validator: Any, text: str, request: Any
) -> Any:
    """Let *validator* find the token, of those who have not failed too often."""
    opened = getattr(request, "dpop_opened", None)
    proof = opened.proof if opened is not None else None
    dpop.failures.check(proof)
    try:
        return validator.authenticate_token(text)
    except Exception as error:
        dpop.failures.count(proof, error)
        raise


def check_bearer_token(
    dpop: DPoPTokenValidator, validator: Any, token: Any, *, certificate: str | None
) -> None:
    """Refuse a bound or denied token, whatever kind of Bearer validator accepts it."""
    if token is None:
        raise AccessTokenError
    read = getattr(validator, "get_confirmation", read_confirmation)
    confirmation = read(token)
    check_bearer(confirmation, certificate=certificate)
    verifier = dpop.verifier
    access_token = read_access_token(token, confirmation, issuer=verifier.issuer)
    verifier.check_denied(access_token)


def client_id_of(token: Any) -> str | None:
    """Return the client of a token that was found, for the log."""
    if isinstance(token, Mapping):
        client_id = token.get("client_id")
    else:
        client_id = getattr(token, "client_id", None)
    return client_id if isinstance(client_id, str) else None
