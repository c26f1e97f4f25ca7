"""What a token request asks for, good and bad."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tests.vectors.generate_symmetric import okp_jwk
from tests.vectors.profile.parts import (
    CLIENT_KEY,
    b64url,
    ec_jwk,
    ec_key,
    public_jwk,
    seed,
)

_PROOF_JWK: Final = public_jwk(ec_jwk(CLIENT_KEY))
_PRIVATE: Final = ec_jwk(ec_key("client P-256"))
_JWK: Final = public_jwk(_PRIVATE)
_X25519: Final = okp_jwk(
    X25519PrivateKey.from_private_bytes(seed("client X25519")).public_key()
)
_KEYS: Final = json.loads((Path(__file__).parents[1] / "keys.json").read_text("utf-8"))

INVALID_PROOF: Final = {"error": "invalid_dpop_proof"}
INVALID_REQUEST: Final = {"error": "invalid_request"}


def generate() -> dict[str, Any]:
    """Return the content of ``key-requests.json``."""
    return {"proof_jwk": _PROOF_JWK, "vectors": [*_good(), *_requests(), *_jwks()]}


def _good() -> list[dict[str, Any]]:
    return [
        _vector("usual", ["R1001", "R1002", "R1003"], {"algs": ["HS256"], "jwk": _JWK}),
        _vector("X25519", ["R1003"], {"algs": ["HS256"], "jwk": _X25519}),
        _vector("RSA", ["R2111", "R2112"], {"algs": ["HS256"], "jwk": _rsa()}),
        _vector(
            "claim and parameter",
            ["R1001", "R2214"],
            {"algs": ["HS512", "HS256"], "jwk": _JWK},
            dpop_sym="HS512 HS256",
        ),
        _vector("the parameter alone", ["R1001"], None, dpop_sym="HS256"),
        _vector(
            "an n", ["R2195"], {"algs": ["HS256"], "jwk": _JWK, "n": b64url(seed("n"))}
        ),
        _vector("an algorithm of the future", ["R1001"], {"algs": ["HS999", "HS256"]}),
    ]


def _requests() -> list[dict[str, Any]]:
    def claim(**members: Any) -> dict[str, Any]:
        return {"algs": ["HS256"], "jwk": _JWK} | members

    material = {"n": b64url(seed("n")), "k_jwe": "a.b.c.d.e"}
    return [
        _vector(
            "other algorithms",
            ["R1001", "R2214"],
            claim(),
            INVALID_REQUEST,
            dpop_sym="HS512",
        ),
        _vector(
            "another order",
            ["R1001", "R2214"],
            claim(algs=["HS256", "HS512"]),
            INVALID_REQUEST,
            dpop_sym="HS512 HS256",
        ),
        _vector("no algorithm", ["R1001"], claim(algs=[]), INVALID_PROOF),
        _vector(
            "algorithms that are text", ["R1001"], claim(algs="HS256"), INVALID_PROOF
        ),
        _vector("must that is text", ["R1001"], claim(must="true"), INVALID_PROOF),
        _vector("n of 31 bytes", ["R2195"], claim(n=b64url(bytes(31))), INVALID_PROOF),
        _vector(
            "n with padding", ["R2103"], claim(n=b64url(seed("n")) + "="), INVALID_PROOF
        ),
        _vector(
            "both kinds of key material", ["R2191"], claim(**material), INVALID_REQUEST
        ),
    ]


def _jwks() -> list[dict[str, Any]]:
    rsa = _rsa()
    odd: dict[str, tuple[str, dict[str, Any]]] = {
        "a private key": ("R1002", _PRIVATE),
        "a private member of RSA": ("R1002", rsa | {"dp": "AQ"}),
        "an oct key": ("R1505", {"kty": "oct", "k": b64url(seed("oct"))}),
        "a point off the curve": ("T13", _JWK | {"y": _JWK["x"]}),
        "a low-order point": ("T13", _X25519 | {"x": b64url(bytes(32))}),
        "Ed25519": ("R1003", {"kty": "OKP", "crv": "Ed25519", "x": _X25519["x"]}),
        "an unknown curve": ("T13", _JWK | {"crv": "secp256k1"}),
        "a key for signatures": ("R1002", _JWK | {"use": "sig"}),
        "RSA of 1024 bits": ("R2111", rsa | {"n": _number(_odd(1024))}),
        "RSA of 4097 bits": ("R2111", rsa | {"n": _number(_odd(4097))}),
        "an exponent of 3": ("R2112", rsa | {"e": "Aw"}),
        "an even exponent": ("R2112", rsa | {"e": "AQAA"}),
        "an exponent of 33 bits": ("R2112", rsa | {"e": _number(2**32 + 1)}),
        "a JWK over 4 KiB": ("T14", _JWK | {"x5t": "A" * 4096}),
    }
    return [
        _vector(name, [requirement], {"algs": ["HS256"], "jwk": jwk}, INVALID_PROOF)
        for name, (requirement, jwk) in odd.items()
    ]


def _vector(
    name: str,
    requirements: list[str],
    dsk: dict[str, Any] | None,
    error: dict[str, str] | None = None,
    *,
    dpop_sym: str | None = None,
) -> dict[str, Any]:
    result = error or {"result": "accepted"}
    request = {"dsk": dsk, "dpop_sym": dpop_sym}
    return {"name": name, "requirements": requirements, **result, **request}


def _rsa() -> dict[str, str]:
    key = next(key for key in _KEYS["keys"].values() if key["kty"] == "RSA")
    return {name: key[name] for name in ("kty", "n", "e")}


def _odd(bits: int) -> int:
    return 1 << (bits - 1) | 1


def _number(value: int) -> str:
    return b64url(value.to_bytes((value.bit_length() + 7) // 8))
