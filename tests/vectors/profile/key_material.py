"""Key material from the client, encrypted for the authorization server."""

from __future__ import annotations

from typing import Any, Final

from tests.vectors.profile.parts import (
    ABSENT,
    CLIENT,
    JKT,
    ec_jwk,
    ec_key,
    encrypt,
    merged,
    public_jwk,
    seed,
    thumbprint,
)

RECIPIENT: Final = ec_key("authorization server, for encryption")
_EPHEMERAL: Final = ec_key("ephemeral of key material")
_MATERIAL: Final = seed("k_c")
_JTI: Final = "jti-of-the-proof"
_DSK: Final = {"client_id": CLIENT, "jkt": JKT, "jti": _JTI}
_HEADER: Final = {
    "typ": "dpop-sym-entropy+jwe",
    "alg": "ECDH-ES",
    "enc": "A256GCM",
    "kid": thumbprint(public_jwk(ec_jwk(RECIPIENT))),
    "epk": public_jwk(ec_jwk(_EPHEMERAL)),
    "dsk": _DSK,
}


def generate() -> dict[str, Any]:
    """Return the content of ``key-material.json``."""
    return {
        "private_key": ec_jwk(RECIPIENT),
        "client_id": CLIENT,
        "jkt": JKT,
        "jti": _JTI,
        "vectors": [
            _vector("usual", ["R2193", "R2065"], key=_MATERIAL),
            _vector("another client", ["R2193"], dsk={"client_id": "another"}),
            _vector(
                "another proof key", ["R2193"], dsk={"jkt": thumbprint({"kty": "x"})}
            ),
            _vector("another proof", ["R2193"], dsk={"jti": "another"}),
            _vector("no jti", ["R2193"], dsk={"jti": ABSENT}),
            _vector("another typ", ["R2065"], header={"typ": "dpop-sym+jwe"}),
            _vector("another kid", ["R2193"], header={"kid": JKT}),
            _vector("zip", ["T14"], header={"zip": "DEF"}),
            _vector("31 bytes", ["R2192"], plaintext=_MATERIAL[1:]),
            _vector("33 bytes", ["R2192"], plaintext=_MATERIAL + b"x"),
        ],
    }


def _vector(
    name: str,
    requirements: list[str],
    *,
    key: bytes | None = None,
    header: dict[str, Any] | None = None,
    dsk: dict[str, Any] | None = None,
    plaintext: bytes = _MATERIAL,
) -> dict[str, Any]:
    """Return one vector; without *key*, the request is refused."""
    head = merged(_HEADER | {"dsk": merged(_DSK, dsk or {})}, header or {})
    result: dict[str, Any] = {"error": "invalid_dpop_proof"}
    if key is not None:
        result = {"key": key.hex()}
    text = encrypt(head, plaintext, RECIPIENT, _EPHEMERAL)
    return {"name": name, "requirements": requirements, **result, "k_jwe": text}
