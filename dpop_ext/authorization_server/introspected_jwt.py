"""JWTs that Authlib's introspection does not verify, by their algorithm (RFC 9068)."""

from __future__ import annotations

from typing import Any, Final

from authlib.oauth2.rfc9068.claims import JWTAccessTokenClaims
from joserfc.jwk import KeySet, import_key

from dpop_ext.authorization_server.signing_key import fits
from dpop_ext.core.jose import parse_compact_jws
from dpop_ext.core.jws_signature import verify_signature
from dpop_ext.core.key import ALGORITHMS
from dpop_ext.core.token_text import MAX_TOKEN_LENGTH
from dpop_ext.errors import BadSignatureError, DPoPError

#: Claims that every JWT access token has (:rfc:`9068#section-2.2`).
_NEEDED: Final = ("exp", "aud", "sub", "client_id", "iat", "jti")


def read_jwt(text: str, found: Any, *, issuer: str) -> JWTAccessTokenClaims | None:
    """Return the claims of a JWT with a good signature, which are not checked yet.

    The library that Authlib calls verifies RS256 and ES256 alone if it is not told
    more, so that it takes what :class:`.AccessTokenGenerator` makes with ``PS256`` or
    ``Ed25519`` for no JWT.

    :param text: the token, as received.
    :param found: a key, or a JWK Set, private or public.
    :param issuer: our issuer identifier, for the checks to come.
    :returns: None if it is no JWT, or is by none of these keys.
    """
    if isinstance(found, dict):
        jwks: Any = found
        found = KeySet.import_key_set(jwks) if "keys" in jwks else import_key(jwks)
    keys = found.keys if isinstance(found, KeySet) else [found]
    try:
        jws = parse_compact_jws(text, max_length=MAX_TOKEN_LENGTH)
    except (DPoPError, ValueError):
        return None
    algorithm, kid = jws.header.get("alg"), jws.header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        return None
    for key in keys:
        if not fits(key, algorithm) or (kid and key.kid not in (None, kid)):
            continue
        try:
            verify_signature(jws, key, algorithm=algorithm)
        except BadSignatureError:
            continue
        options: dict[str, dict[str, Any]] = {
            name: {"essential": True} for name in _NEEDED
        }
        options["iss"] = {"essential": True, "value": issuer}
        return JWTAccessTokenClaims(jws.payload, jws.header, options)
    return None
