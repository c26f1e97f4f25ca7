"""Keys that are encrypted for the resource server, inside of a token."""

from __future__ import annotations

from typing import Any, Final

from tests.vectors.generate_symmetric import compact
from tests.vectors.profile.parts import (
    ABSENT,
    AUDIENCE,
    CLIENT,
    ISSUER,
    JKT,
    NOW,
    b64url,
    ec_jwk,
    ec_key,
    encrypt,
    merged,
    public_jwk,
    seed,
    thumbprint,
)

RECIPIENT: Final = ec_key("resource server")
_EPHEMERAL: Final = ec_key("ephemeral of an encapsulated key")
_KEY: Final = seed("encapsulated key")
_DSK: Final = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "client_id": CLIENT,
    "jkt": JKT,
    "alg": "HS256",
    "exp": NOW + 300,
}
_HEADER: Final = {
    "typ": "dpop-sym-rs+jwe",
    "cty": "jwk+json",
    "alg": "ECDH-ES",
    "enc": "A256GCM",
    "kid": thumbprint(public_jwk(ec_jwk(RECIPIENT))),
    "epk": public_jwk(ec_jwk(_EPHEMERAL)),
    "dsk": _DSK,
}
_JWK: Final = {
    "kty": "oct",
    "use": "sig",
    "key_ops": ["verify"],
    "alg": "HS256",
    "k": b64url(_KEY),
}


def generate() -> dict[str, Any]:
    """Return the content of ``encapsulated-keys.json``."""
    return {
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "private_key": ec_jwk(RECIPIENT),
        "algorithm": "ECDH-ES",
        "encoding": "A256GCM",
        #: Of the token that the JWE stands in, whose signature was verified.
        "token": {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "client_id": CLIENT,
            "exp": NOW + 300,
            "jkt": JKT,
        },
        "vectors": [*_good(), *_headers(), *_plaintexts()],
    }


def _good() -> list[dict[str, Any]]:
    ids = ["R2061", "R2062", "R2063", "R2064", "R2065"]
    return [
        _vector("usual", ids, key=_KEY),
        _vector("an unknown member of the JWK", ["R2064"], jwk={"ext": True}, key=_KEY),
    ]


def _headers() -> list[dict[str, Any]]:
    def claim(name: str, **changes: Any) -> dict[str, Any]:
        return _vector(name, ["R2062", "T4"], dsk=changes)

    return [
        _vector("no typ", ["R2061"], header={"typ": ABSENT}),
        _vector(
            "the typ of the client's",
            ["R2061", "R2065"],
            header={"typ": "dpop-sym+jwe"},
        ),
        _vector("another cty", ["R2061"], header={"cty": "JWT"}),
        _vector("another alg", ["R2063"], header={"alg": "ECDH-ES+A256KW"}),
        _vector("RSA1_5", ["R2063"], header={"alg": "RSA1_5"}),
        _vector("another enc", ["R2063"], header={"enc": "A128GCM"}),
        _vector("zip", ["T14"], header={"zip": "DEF"}),
        claim("another issuer", iss="https://as.example.net"),
        claim("another audience", aud="https://b.example.com"),
        claim("another client", client_id="another"),
        claim("another proof key", jkt=b64url(seed("another key"))),
        claim("another expiry", exp=NOW + 301),
        claim("no client", client_id=ABSENT),
        claim("one name too many", v=7),
    ]


def _plaintexts() -> list[dict[str, Any]]:
    return [
        _vector("a key of 31 bytes", ["R2064"], jwk={"k": b64url(_KEY[1:])}),
        _vector("the key of HS512 for HS256", ["R2064"], jwk={"k": b64url(_KEY * 2)}),
        _vector(
            "another alg in the JWK",
            ["R2062"],
            jwk={"alg": "HS512", "k": b64url(_KEY * 2)},
        ),
        _vector("a key to sign with", ["R2065"], jwk={"key_ops": ["sign"]}),
    ]


def _vector(
    name: str,
    requirements: list[str],
    *,
    key: bytes | None = None,
    header: dict[str, Any] | None = None,
    dsk: dict[str, Any] | None = None,
    jwk: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return one vector; without *key*, the token is refused."""
    head = merged(_HEADER | {"dsk": merged(_DSK, dsk or {})}, header or {})
    text = encrypt(head, compact(merged(_JWK, jwk or {})), RECIPIENT, _EPHEMERAL)
    result: dict[str, Any] = {"error": "invalid_token"}
    if key is not None:
        result = {"algorithm": "HS256", "key": key.hex()}
    return {"name": name, "requirements": requirements, **result, "jwe": text}
