"""Keyrings as they arrive at a resource server, good and bad."""

from __future__ import annotations

from typing import Any, Final

from tests.vectors.profile.parts import (
    ABSENT,
    AUDIENCE,
    ISSUER,
    ISSUER_KEY,
    NOW,
    b64url,
    dump,
    ec_jwk,
    ec_key,
    encrypt,
    merged,
    public_jwk,
    secret,
    seed,
    sign,
    thumbprint,
)

NONCE: Final = b64url(seed("keyring request")[:16])
RECIPIENT: Final = ec_key("resource server")
_EPHEMERAL: Final = ec_key("ephemeral of a keyring")
_HEADER: Final = {"typ": "dpop-keyring+jwt", "alg": "ES256", "kid": "vector"}
_JWE_HEADER: Final = {
    "typ": "dpop-keyring+jwe",
    "cty": "JWT",
    "alg": "ECDH-ES",
    "enc": "A256GCM",
    "kid": thumbprint(public_jwk(ec_jwk(RECIPIENT))),
    "epk": public_jwk(ec_jwk(_EPHEMERAL)),
}
_STATES: Final = {7: "verify_only", 8: "active", 9: "pending"}
_KEYS: Final = [
    {
        "v": version,
        "state": state,
        "nbf": NOW - 3600,
        "exp": NOW + 3600 * version,
        "kdf": "dpop-sym/1",
        "k": b64url(secret(version)),
    }
    for version, state in _STATES.items()
]
_CLAIMS: Final = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "iat": NOW,
    "exp": NOW + 1800,
    "jti": "keyring-42",
    "nonce": NONCE,
    "epoch": 1,
    "seq": 42,
    "poll": 300,
    "min_live": 7,
    "keys": _KEYS,
    "revoked": [],
    "deny": [{"jti": "denied", "exp": NOW + 300}],
}


def generate() -> dict[str, Any]:
    """Return the content of ``keyrings.json``."""
    return {
        "now": NOW,
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "nonce": NONCE,
        "private_key": ec_jwk(RECIPIENT),
        "issuer_jwk": {**public_jwk(ec_jwk(ISSUER_KEY)), "kid": "vector"},
        #: What the resource server accepted before.
        "floor": {"epoch": 1, "seq": 41, "min_live": 6, "revoked": [8]},
        "vectors": [*_good(), *_documents(), *_numbers(), *_secrets()],
    }


def _good() -> list[dict[str, Any]]:
    ids = ["R2033", "R2041", "R2042", "R2043", "R2044", "R1701", "R1702", "R2045"]
    return [
        # Version 8 was revoked before, whatever this document says of it.
        _vector("usual", [*ids, "R2065", "R2047"], usable=[7, 9]),
        _vector("a minute old", ["R2043"], claims={"iat": NOW - 60}, usable=[7, 9]),
        _vector("a new epoch", ["R2044"], claims={"epoch": 2, "seq": 1}, usable=[7, 9]),
        _vector(
            "no version any more",
            ["R2047"],
            claims={"keys": [], "min_live": 10},
            usable=[],
        ),
        _vector("an unknown member", ["R2042"], claims={"hint": 1}, usable=[7, 9]),
    ]


def _documents() -> list[dict[str, Any]]:
    return [
        _vector("another typ", ["R2042"], header={"typ": "at+jwt"}),
        _vector("another typ of the JWE", ["R2065"], jwe={"typ": "dpop-sym+jwe"}),
        _vector("another cty of the JWE", ["R2065"], jwe={"cty": "jwk+json"}),
        _vector("zip", ["T14"], jwe={"zip": "DEF"}),
        _vector("for another key", ["R2033"], jwe={"kid": thumbprint({"kty": "none"})}),
        _vector("signed by another", ["R2042", "T19"], key=ec_key("another server")),
        _vector(
            "another issuer", ["R2042", "T19"], claims={"iss": "https://as.example.net"}
        ),
        _vector(
            "another audience", ["R2042", "T19"], claims={"aud": "https://b.example"}
        ),
        _vector(
            "two audiences", ["R2042"], claims={"aud": [AUDIENCE, "https://b.example"]}
        ),
        _vector("another request", ["R2041", "T19"], claims={"nonce": "A" * 22}),
        _vector("no nonce", ["R2041"], claims={"nonce": ABSENT}),
        _vector("iat 61 s ago", ["R2043"], claims={"iat": NOW - 61}),
        _vector("iat 61 s ahead", ["R2043"], claims={"iat": NOW + 61}),
        _vector("expired", ["R2043"], claims={"exp": NOW}),
        _vector("without encryption", ["R2033"], plain=True),
    ]


def _numbers() -> list[dict[str, Any]]:
    return [
        _vector("an older number", ["R1701", "R2044", "T19"], claims={"seq": 40}),
        _vector("an older epoch", ["R2044", "T19"], claims={"epoch": 0, "seq": 99}),
        _vector("the number of another", ["R1701", "R2044"], claims={"seq": 41}),
        _vector("a number that is text", ["R2044"], claims={"seq": "42"}),
        _vector("a number that is true", ["R2044"], claims={"seq": True}),
    ]


def _secrets() -> list[dict[str, Any]]:
    first, *others = _KEYS

    def keys(**changes: Any) -> dict[str, Any]:
        return {"claims": {"keys": [merged(first, changes), *others]}}

    return [
        _vector("a version twice", ["R2045"], **keys(v=8)),
        _vector("a secret twice", ["R2045"], **keys(k=b64url(secret(8)))),
        _vector("a secret of 31 bytes", ["R1702"], **keys(k=b64url(secret(7)[1:]))),
        _vector("a secret of 33 bytes", ["R1702"], **keys(k=b64url(secret(7) + b"x"))),
        _vector("a secret of zeros", ["R1702"], **keys(k=b64url(bytes(32)))),
        _vector("another derivation", ["R1702"], **keys(kdf="dpop-sym/2")),
        _vector("a state that has ended", ["R1702"], **keys(state="retired")),
        _vector("version 0", ["R2101"], **keys(v=0)),
        _vector("a version with a fraction", ["R2101"], **keys(v=7.5)),
    ]


def _vector(
    name: str,
    requirements: list[str],
    *,
    claims: dict[str, Any] | None = None,
    header: dict[str, Any] | None = None,
    jwe: dict[str, Any] | None = None,
    key: Any = ISSUER_KEY,
    usable: list[int] | None = None,
    plain: bool = False,
) -> dict[str, Any]:
    """Return one vector; without *usable*, the keyring is refused as a whole."""
    said = dump(merged(_CLAIMS, claims or {}))
    text = sign(dump(merged(_HEADER, header or {})), said, key)
    if not plain:
        text = encrypt(
            merged(_JWE_HEADER, jwe or {}), text.encode(), RECIPIENT, _EPHEMERAL
        )
    result: dict[str, Any] = {"error": "refused"}
    if usable is not None:
        result = {"usable": usable}
    return {"name": name, "requirements": requirements, **result, "keyring": text}
