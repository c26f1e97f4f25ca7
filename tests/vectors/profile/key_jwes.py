"""JWEs that deliver a symmetric key to the client, good and bad."""

from __future__ import annotations

import hmac
from typing import Any, Final

from tests.vectors.generate_symmetric import compact
from tests.vectors.profile.parts import (
    ABSENT,
    AUDIENCE,
    ISSUER,
    NOW,
    b64url,
    dump,
    ec_jwk,
    ec_key,
    encrypt,
    lp,
    merged,
    public_jwk,
    seed,
    sha256,
    thumbprint,
)

TOKEN: Final = "vF9dft4qmTc2Nvb3RlckBpZC5"
RECIPIENT: Final = ec_key("client P-256")
_EPHEMERAL: Final = ec_key("ephemeral P-256")
_EPK: Final = public_jwk(ec_jwk(_EPHEMERAL))
_KEY: Final = seed("symmetric key")

_DSK: Final = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "v": 7,
    "exp": NOW + 300,
    "ath": sha256(TOKEN),
}
_HEADER: Final = {
    "typ": "dpop-sym+jwe",
    "cty": "jwk+json",
    "alg": "ECDH-ES",
    "enc": "A256GCM",
    "kid": thumbprint(public_jwk(ec_jwk(RECIPIENT))),
    "epk": _EPK,
    "dsk": _DSK,
}
_JWK: Final = {
    "kty": "oct",
    "use": "sig",
    "key_ops": ["sign"],
    "alg": "HS256",
    "kid": "7",
    "k": b64url(_KEY),
}


def generate() -> dict[str, Any]:
    """Return the content of ``key-jwes.json``."""
    return {
        "now": NOW,
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "access_token": TOKEN,
        "private_key": ec_jwk(RECIPIENT),
        "algorithms": ["HS256"],
        "key_algorithms": ["ECDH-ES", "ECDH-ES+A256KW", "RSA1_5", "dir"],
        "encodings": ["A256GCM"],
        "vectors": [
            *_good(),
            *_composed(),
            *_headers(),
            *_claims(),
            *_plaintexts(),
            *_texts(),
        ],
    }


def _good() -> list[dict[str, Any]]:
    ids = ["R1201", "R1202", "R1203", "R1204", "R1205", "R2211", "R2212", "R2213"]
    return [
        _vector("usual", [*ids, "R2065"], key=_KEY),
        _vector("a minute before the end", ["R1601"], dsk={"exp": NOW + 60}, key=_KEY),
        _vector(
            "an unknown member of the JWK", ["R1205"], jwk={"ext": False}, key=_KEY
        ),
    ]


def _composed() -> list[dict[str, Any]]:
    """Return answers to a request with an ``n``."""
    n, r_as = seed("n"), seed("r_as")
    r = hmac.digest(r_as, b"dpop-sym/1 r\0" + lp(n), "sha256")
    said = {"n": b64url(n), "r_as": b64url(r_as), "r": b64url(r)}

    def answer(
        name: str, *, key: bytes | None = None, **changes: Any
    ) -> dict[str, Any]:
        vector = _vector(name, ["R2196"], dsk=merged(said, changes), key=key)
        return vector | {"n": b64url(n)}

    return [
        answer("a composed r", key=_KEY),
        answer("an r that does not follow", r=b64url(seed("r"))),
        answer("the n of another", n=b64url(seed("another n"))),
        answer("no r_as", r_as=ABSENT),
        _vector("no answer to the n", ["R2196"]) | {"n": b64url(n)},
    ]


def _headers() -> list[dict[str, Any]]:
    return [
        _vector("no typ", ["R1201"], header={"typ": ABSENT}),
        _vector("another typ", ["R1201", "R2065"], header={"typ": "dpop-sym-rs+jwe"}),
        _vector("another cty", ["R2211"], header={"cty": "JWT"}),
        _vector("zip", ["R1203", "T14"], header={"zip": "DEF"}),
        _vector("dir", ["R1202", "T14"], header={"alg": "dir"}),
        _vector("RSA1_5", ["R1202", "T14"], header={"alg": "RSA1_5"}),
        _vector("PBES2", ["R1202", "T14"], header=_pbes2()),
        _vector("an enc that was not offered", ["R1202"], header={"enc": "A128GCM"}),
        _vector("another kid", ["R1601"], header={"kid": sha256("another key")}),
        _vector("crit", ["R1601"], header={"crit": ["exp"], "exp": NOW}),
        _vector(
            "a point off the curve",
            ["T13"],
            header={"epk": {**_EPK, "y": _EPK["x"]}},
        ),
        _vector("an epk of another curve", ["T13"], header={"epk": _x25519()}),
    ]


def _claims() -> list[dict[str, Any]]:
    return [
        _vector("no dsk", ["R1204"], header={"dsk": ABSENT}),
        _vector("no ath", ["R1204"], dsk={"ath": ABSENT}),
        _vector("for another token", ["R1204", "R1601"], dsk={"ath": sha256("other")}),
        _vector(
            "of another issuer", ["R1601", "T4"], dsk={"iss": "https://evil.example"}
        ),
        _vector(
            "for another audience", ["R2212", "T4"], dsk={"aud": "https://b.example"}
        ),
        _vector("expired", ["R1601"], dsk={"exp": NOW}),
        _vector("exp that is text", ["R1601"], dsk={"exp": str(NOW + 300)}),
        _vector("a version that is no integer", ["R2101"], dsk={"v": 7.5}),
        _vector("an n that was not sent", ["R2196"], dsk={"n": b64url(seed("n"))}),
    ]


def _plaintexts() -> list[dict[str, Any]]:
    return [
        _vector("a JWK Set", ["R1205"], plaintext=compact({"keys": [_JWK]})),
        _vector("an RSA key", ["R1205"], jwk={"kty": "RSA"}),
        _vector("a key of 31 bytes", ["R1205", "R2064"], jwk={"k": b64url(_KEY[1:])}),
        _vector("a key for HS512", ["R1601"], jwk={"alg": "HS512", "k": "A" * 86}),
        _vector("the kid of another version", ["R2213"], jwk={"kid": "8"}),
        _vector("a key for encryption", ["R1205"], jwk={"use": "enc"}),
        _vector("a key to verify with", ["R1205"], jwk={"key_ops": ["verify"]}),
        _vector(
            "a repeated member",
            ["T22"],
            plaintext=dump(_JWK).replace("{", '{"kty":"oct",').encode(),
        ),
    ]


def _texts() -> list[dict[str, Any]]:
    good = _jwe()
    head, *middle, tag = good.split(".")
    return [
        _vector(
            "a tag that is cut off", ["T22"], text=".".join([head, *middle, tag[:-6]])
        ),
        _vector(
            "a changed ciphertext",
            ["T13"],
            text=good.replace(middle[2], _swap(middle[2])),
        ),
        _vector("padding", ["T22"], text=good + "="),
        _vector("four parts", ["T22"], text=good.rpartition(".")[0]),
        _vector("over 4096 characters", ["T14"], text=good + "A" * 4096),
    ]


def _vector(
    name: str, requirements: list[str], *, key: bytes | None = None, **changes: Any
) -> dict[str, Any]:
    """Return one vector; without *key*, the JWE is refused, for whatever reason."""
    result: dict[str, Any] = {"error": "refused"}
    if key is not None:
        result = {"algorithm": "HS256", "version": 7, "key": key.hex()}
    text = changes.pop("text", None)
    jwe = _jwe(**changes) if text is None else text
    return {"name": name, "requirements": requirements, **result, "jwe": jwe}


def _jwe(
    *,
    header: dict[str, Any] | None = None,
    dsk: dict[str, Any] | None = None,
    jwk: dict[str, Any] | None = None,
    plaintext: bytes | None = None,
) -> str:
    head = merged(_HEADER | {"dsk": merged(_DSK, dsk or {})}, header or {})
    data = compact(merged(_JWK, jwk or {})) if plaintext is None else plaintext
    return encrypt(head, data, RECIPIENT, _EPHEMERAL)


def _pbes2() -> dict[str, Any]:
    return {"alg": "PBES2-HS256+A128KW", "p2s": b64url(seed("salt")), "p2c": 2**31}


def _x25519() -> dict[str, str]:
    return {"kty": "OKP", "crv": "X25519", "x": b64url(bytes(32))}


def _swap(part: str) -> str:
    return ("B" if part[0] == "A" else "A") + part[1:]
