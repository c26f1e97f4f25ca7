"""Keys that a client may offer, and what is not quite one."""

from __future__ import annotations

import base64
from typing import Any

from joserfc.jwk import ECKey, Key, OKPKey

from dpop_ext.symmetric.encryption_key import EncryptionKey, import_encryption_key

KEYS: dict[str, Key] = {
    "P-256": ECKey.generate_key("P-256"),
    "P-384": ECKey.generate_key("P-384"),
    "P-521": ECKey.generate_key("P-521"),
    "X25519": OKPKey.generate_key("X25519"),
    "X448": OKPKey.generate_key("X448"),
}
P256: dict[str, Any] = {**KEYS["P-256"].as_dict(private=False)}
X25519: dict[str, Any] = {**KEYS["X25519"].as_dict(private=False)}


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def load(jwk: object) -> EncryptionKey:
    found = import_encryption_key(jwk, proof_jwk={})
    assert found is not None
    return found


def rsa_jwk(
    *, bits: int = 2048, e: int = 65537, n: int | None = None
) -> dict[str, Any]:
    """Return what looks like an RSA key."""
    modulus = n if n is not None else (1 << (bits - 1)) | 1
    return {
        "kty": "RSA",
        "n": b64url(modulus.to_bytes((modulus.bit_length() + 7) // 8)),
        "e": b64url(e.to_bytes((e.bit_length() + 7) // 8)),
    }
