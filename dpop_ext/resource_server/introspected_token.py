"""What an introspection endpoint says of a token: :rfc:`7662#section-2.2`."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from dpop_ext.core.confirmation import AccessToken
from dpop_ext.errors import AccessTokenError
from dpop_ext.resource_server.bound_token import read_confirmation
from dpop_ext.resource_server.claims import (
    check_times,
    optional_text,
    required_audience,
    required_text,
)


def read_introspected_token(
    claims: dict[str, Any], *, issuer: str, audience: str, now: int
) -> AccessToken:
    """Return the token that an answer is about.

    :param claims: of the answer, which came from the authorization server.
    :param issuer: identifier of that server. An answer that names none is its own.
    :param audience: this resource server's own identifier.
    :param now: seconds since the epoch.
    :raises AccessTokenError: it is not active, of another issuer, not for this server,
        bound in a way that cannot be verified, without what its key for symmetric
        proofs needs, or outside its time.
    """
    # Exactly true: the string "true" is an answer that nobody should rely on.
    if claims.get("active") is not True:
        raise AccessTokenError(check="active")
    if optional_text(claims, "iss") not in (None, issuer):
        raise AccessTokenError(check="iss")
    audiences = required_audience(claims, audience)
    confirmation = read_confirmation(claims)
    symmetric = confirmation is not None and (
        confirmation.dsk is not None or confirmation.jwe is not None
    )
    if symmetric:
        # They go into the derivation of the key, or are compared with what is
        # encrypted, so they must have been said.
        required_text(claims, "iss")
        required_text(claims, "client_id")
    return AccessToken(
        issuer=issuer,
        audience=audiences,
        client_id=optional_text(claims, "client_id"),
        expires_at=check_times(claims, now=now, required=("exp",) if symmetric else ()),
        token_id=optional_text(claims, "jti"),
        confirmation=confirmation,
        scope=optional_text(claims, "scope") or "",
        # Read-only, as all requests with this token share it.
        claims=MappingProxyType(claims),
    )
