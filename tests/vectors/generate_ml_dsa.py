"""Write ml-dsa-proofs.json: DPoP proofs with ML-DSA keys (RFC 9964), good and bad.

Computed with the standard library and the primitives of cryptography. The signatures
have random numbers in them: another run writes others, and nothing else that differs::

    python -m tests.vectors.generate_ml_dsa
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tests.vectors.generate_symmetric import b64url, seed
from tests.vectors.profile.parts import ABSENT, dump, merged

FILE: Final = Path(__file__).parent / "ml-dsa-proofs.json"
NOW: Final = 1_790_000_000
URL: Final = "https://as.example.com/token"
ALGORITHMS: Final = ("ML-DSA-44", "ML-DSA-65", "ML-DSA-87")


def generate() -> dict[str, Any]:
    """Return the content of the file."""
    return {
        "now": NOW,
        "method": "POST",
        "url": URL,
        "algorithms": list(ALGORITHMS),
        "vectors": [*map(_good, ALGORITHMS), *_bad()],
    }


def _good(alg: str) -> dict[str, Any]:
    key = _key(alg)
    members = json.dumps(
        {"alg": alg, "kty": "AKP", "pub": _pub(key)}, separators=(",", ":")
    )
    jkt = b64url(hashlib.sha256(members.encode()).digest())
    vector = {"name": alg, "requirements": ["R2301"], "result": "accepted", "jkt": jkt}
    return vector | {"seed": seed(f"key of {alg}").hex(), "proof": _proof(alg)}


def _bad() -> list[dict[str, Any]]:
    own = _jwk("ML-DSA-44")
    long_pub = b64url(_decode_pub("ML-DSA-44") + b"\0")
    private = {**own, "priv": b64url(seed("key of ML-DSA-44"))}
    cases: dict[str, tuple[str, dict[str, Any]]] = {
        "the alg of another size": ("R2301", {"header": {"alg": "ML-DSA-65"}}),
        "an alg of the key that is not that of the proof": (
            "R2301",
            {"header": {"jwk": {**own, "alg": "ML-DSA-65"}}},
        ),
        "a key without alg": ("R2301", {"header": {"jwk": _without(own, "alg")}}),
        "a key of another kty": ("R2301", {"header": {"jwk": {**own, "kty": "OKP"}}}),
        "a key that is a byte too long": (
            "R2301",
            {"header": {"jwk": {**own, "pub": long_pub}}},
        ),
        "a private key": ("S-3", {"header": {"jwk": private}}),
        "no key": ("S-3", {"header": {"jwk": ABSENT}}),
        "a context": ("R2301", {"context": b"DPoP"}),
        "a signature that is cut off": ("R2301", {"change": lambda raw: raw[:-1]}),
        "a changed signature": ("R2301", {"change": _flipped}),
        "a signature of zeros": ("R2301", {"change": lambda raw: bytes(len(raw))}),
        "another method": ("S-6", {"claims": {"htm": "GET"}}),
        "another typ": ("S-1", {"header": {"typ": "JWT"}}),
    }
    return [
        {
            "name": name,
            "requirements": [requirement],
            "result": "invalid_dpop_proof",
            "proof": _proof("ML-DSA-44", **changes),
        }
        for name, (requirement, changes) in cases.items()
    ]


def _proof(
    alg: str,
    *,
    header: dict[str, Any] | None = None,
    claims: dict[str, Any] | None = None,
    context: bytes | None = None,
    change: Callable[[bytes], bytes] = bytes,
) -> str:
    head = merged({"typ": "dpop+jwt", "alg": alg, "jwk": _jwk(alg)}, header or {})
    usual = {"jti": "e1j3V_bKic8-LAEB", "htm": "POST", "htu": URL, "iat": NOW}
    said = merged(usual, claims or {})
    signing_input = ".".join(b64url(dump(part).encode()) for part in (head, said))
    signature = _key(alg).sign(signing_input.encode(), context)
    return f"{signing_input}.{b64url(change(signature))}"


def _key(alg: str) -> Any:
    from cryptography.hazmat.primitives.asymmetric import mldsa

    kind = getattr(mldsa, f"{alg.replace('-', '')}PrivateKey")
    return kind.from_seed_bytes(seed(f"key of {alg}"))


def _jwk(alg: str) -> dict[str, str]:
    return {"kty": "AKP", "alg": alg, "pub": _pub(_key(alg))}


def _pub(key: Any) -> str:
    return b64url(key.public_key().public_bytes_raw())


def _decode_pub(alg: str) -> bytes:
    raw: bytes = _key(alg).public_key().public_bytes_raw()
    return raw


def _without(jwk: dict[str, str], name: str) -> dict[str, str]:
    return {other: value for other, value in jwk.items() if other != name}


def _flipped(raw: bytes) -> bytes:
    return bytes([raw[0] ^ 1]) + raw[1:]


if __name__ == "__main__":
    FILE.write_text(json.dumps(generate(), indent=1) + "\n", "ascii")
