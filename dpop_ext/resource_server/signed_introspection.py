"""Signed answers of the introspection endpoint: :rfc:`9701#section-5`."""

from __future__ import annotations

from typing import Any

from dpop_ext.core.jose import parse_compact_jws
from dpop_ext.errors import AccessTokenError
from dpop_ext.resource_server.claims import (
    check_times,
    required_audience,
    required_text,
)
from dpop_ext.resource_server.issuer_signature import IssuerSignature
from dpop_ext.resource_server.transport import MAX_ANSWER

#: What to accept in order to get one.
MEDIA_TYPE = "application/token-introspection+jwt"
#: Seconds for which an answer is good: it was made for the request that just went out.
MAX_AGE = 60

_TYPES = ("token-introspection+jwt", MEDIA_TYPE)


def read_signed_answer(
    answer: bytes,
    *,
    signature: IssuerSignature,
    issuer: str,
    audience: str,
    now: int,
    max_structural: int,
) -> dict[str, Any]:
    """Return what a signed answer says about a token.

    :param audience: name of this resource server at the authorization server.
    :param now: seconds since the epoch.
    :param max_structural: characters ``{}[]:,`` that it may have.
    :raises AccessTokenError: of another type, signer, issuer or audience, or not made
        just now.
    """
    jws = parse_compact_jws(
        answer.decode("ascii"), max_length=MAX_ANSWER, max_structural=max_structural
    )
    signature.verify(jws, types=_TYPES)
    claims = jws.payload
    if required_text(claims, "iss") != issuer:
        raise AccessTokenError
    required_audience(claims, audience)
    check_times(claims, now=now, required=("iat",))
    if claims["iat"] < now - MAX_AGE:
        raise AccessTokenError
    said = claims.get("token_introspection")
    if not isinstance(said, dict):
        raise AccessTokenError
    return said
