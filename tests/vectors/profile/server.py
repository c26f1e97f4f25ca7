"""The resource server that the proofs go to, and the good request."""

from __future__ import annotations

from typing import Any, Final

from tests.vectors.profile.parts import (
    AUDIENCE,
    CLIENT,
    ISSUER,
    ISSUER_KEY,
    JKT,
    NOW,
    b64url,
    dump,
    ec_jwk,
    expand,
    key_info,
    mac,
    merged,
    public_jwk,
    secret,
    sha256,
    sign,
)

METHOD: Final = "GET"
URL: Final = f"{AUDIENCE}/accounts/42"
R: Final = bytes(range(32, 64))
DENIED_R: Final = bytes(range(64, 96))

#: Versions 1 to 4 are below ``min_live``, 5 was revoked and 10 is not made yet.
SERVER: Final = {
    "now": NOW,
    "issuer": ISSUER,
    "audience": AUDIENCE,
    "issuer_jwk": {**public_jwk(ec_jwk(ISSUER_KEY)), "kid": "vector"},
    "method": METHOD,
    "url": URL,
    "secrets": [
        {
            "v": version,
            "state": state,
            "nbf": NOW - 3600,
            "exp": NOW + life,
            "k": b64url(secret(version)),
        }
        for version, state, life in (
            (6, "verify_only", 0),
            (7, "active", 86400),
            (8, "pending", 90000),
        )
    ],
    "min_live": 5,
    "revoked": [5],
    "deny": [
        {"jti": "denied", "exp": NOW + 300},
        {"r": b64url(DENIED_R), "exp": NOW + 300},
    ],
}

TOKEN_HEADER: Final = {"typ": "at+jwt", "alg": "ES256", "kid": "vector"}
DSK: Final = {"alg": "HS256", "v": 7, "r": b64url(R), "exp": NOW + 300}
TOKEN_CLAIMS: Final = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "client_id": CLIENT,
    "sub": "alice",
    "iat": NOW,
    "exp": NOW + 300,
    "jti": "b0f7c6b2",
    "scope": "accounts",
    "cnf": {"jkt": JKT, "dsk": DSK},
}
HEADER: Final = {"typ": "dpop-sym+jwt", "alg": "HS256"}


def access_token(
    *,
    claims: dict[str, Any] | None = None,
    cnf: dict[str, Any] | None = None,
    dsk: dict[str, Any] | None = None,
    raw: str | None = None,
) -> str:
    """Return an access token that the issuer signed, with some members changed."""
    said = merged({"jkt": JKT, "dsk": merged(DSK, dsk or {})}, cnf or {})
    payload = dump(merged(TOKEN_CLAIMS | {"cnf": said}, claims or {}))
    return sign(dump(TOKEN_HEADER), payload if raw is None else raw)


def usual_key(
    *, algorithm: str = "HS256", version: int = 7, r: bytes = R, **names: str
) -> bytes:
    """Return the key of an access token."""
    used = {"issuer": ISSUER, "audience": AUDIENCE, "client_id": CLIENT, "jkt": JKT}
    used |= names
    length = {"HS256": 32, "HS512": 64}[algorithm]
    info = key_info(algorithm, **used, version=version, r=r)
    return expand(secret(version, audience=used["audience"]), info, length)


def proof_claims(token: str, jti: str, changes: dict[str, Any]) -> dict[str, Any]:
    """Return the claims of a proof, with some changed."""
    base = {"jti": jti, "htm": METHOD, "htu": URL, "iat": NOW, "ath": sha256(token)}
    return merged(base, changes)


def symmetric_proof(header: str, claims: str, key: bytes, *, digest: str) -> str:
    """Return a proof under *key*."""
    return mac(header, claims, key, digest=digest)
