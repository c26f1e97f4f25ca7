"""JOSE by hand, for proofs that no library would make, and the same on every run.

ECDSA is deterministic (RFC 6979), RSA-PSS takes its salt from the message, and the
keys are in ``keys.json``: test keys, which are good for nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

JSON = Mapping[str, Any]
Signer = Callable[[bytes], bytes]

KEYS: Final[dict[str, dict[str, str]]] = json.loads(
    (Path(__file__).parent / "keys.json").read_text("utf-8")
)["keys"]

_PUBLIC: Final = ("kty", "crv", "x", "y", "e", "n")
_THUMBPRINT: Final = {
    "EC": ("crv", "kty", "x", "y"),
    "OKP": ("crv", "kty", "x"),
    "RSA": ("e", "kty", "n"),
}
_CURVES: Final[dict[str, tuple[ec.EllipticCurve, hashes.HashAlgorithm, int]]] = {
    "P-256": (ec.SECP256R1(), hashes.SHA256(), 32),
    "P-384": (ec.SECP384R1(), hashes.SHA384(), 48),
    "P-521": (ec.SECP521R1(), hashes.SHA512(), 66),
    "secp256k1": (ec.SECP256K1(), hashes.SHA256(), 32),
}
#: The order of P-256 (FIPS 186).
P256_ORDER: Final = int(
    "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16
)
_SHA256_INFO: Final = bytes.fromhex("3031300d060960864801650304020105000420")


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def dump(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def sha256(data: str) -> str:
    return b64(hashlib.sha256(data.encode()).digest())


def public(name: str) -> dict[str, Any]:
    """The public half of a key, as it stands in the header of a proof."""
    return {member: KEYS[name][member] for member in _PUBLIC if member in KEYS[name]}


def jkt(name: str) -> str:
    """The RFC 7638 SHA-256 thumbprint of a key."""
    key = KEYS[name]
    return sha256(dump({member: key[member] for member in _THUMBPRINT[key["kty"]]}))


def signer(name: str, algorithm: str) -> Signer:
    """Make the function that signs with a key."""
    key = KEYS[name]
    if key["kty"] == "EC":
        return _ecdsa(key)
    if key["kty"] == "OKP":
        seed = unb64(key["d"])
        if key["crv"] == "Ed448":
            return ed448.Ed448PrivateKey.from_private_bytes(seed).sign
        return ed25519.Ed25519PrivateKey.from_private_bytes(seed).sign
    return pss(key) if algorithm == "PS256" else _pkcs1(key)


def mac(secret: bytes) -> Signer:
    """Make the function that MACs with HS256."""
    return lambda message: hmac.digest(secret, message, "sha256")


def pss(key: Mapping[str, str], *, salt_length: int = 32) -> Signer:
    """RSASSA-PSS with SHA-256 and a salt made from the message (RFC 8017 8.1)."""

    def sign(message: bytes) -> bytes:
        n = int.from_bytes(unb64(key["n"]))
        digest = hashlib.sha256(message).digest()
        salt = hashlib.sha512(b"salt" + message).digest()[:salt_length]
        seed = hashlib.sha256(bytes(8) + digest + salt).digest()
        size = (n.bit_length() + 6) // 8
        block = bytes(size - salt_length - 34) + b"\1" + salt
        masked = int.from_bytes(block) ^ int.from_bytes(_mgf1(seed, len(block)))
        masked &= (1 << (n.bit_length() - 1 - 8 * 33)) - 1
        encoded = masked.to_bytes(len(block)) + seed + b"\xbc"
        return _rsa(key, int.from_bytes(encoded))

    return sign


def compact(header: str, payload: str | bytes, sign: Signer) -> str:
    """Sign two JSON texts as they are."""
    body = payload.encode() if isinstance(payload, str) else payload
    signing_input = f"{b64(header.encode())}.{b64(body)}"
    return f"{signing_input}.{b64(sign(signing_input.encode()))}"


def negated_s(proof: str) -> str:
    """The other signature that verifies for the same ES256 proof: (r, n - s)."""
    head, _, signature = proof.rpartition(".")
    raw = unb64(signature)
    s = P256_ORDER - int.from_bytes(raw[32:])
    return f"{head}.{b64(raw[:32] + s.to_bytes(32))}"


def _ecdsa(key: Mapping[str, str]) -> Signer:
    curve, digest, size = _CURVES[key["crv"]]
    private = ec.derive_private_key(int.from_bytes(unb64(key["d"])), curve)

    def sign(message: bytes) -> bytes:
        scheme = ec.ECDSA(digest, deterministic_signing=True)
        r, s = decode_dss_signature(private.sign(message, scheme))
        return r.to_bytes(size) + s.to_bytes(size)

    return sign


def _pkcs1(key: Mapping[str, str]) -> Signer:
    """RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017 8.2)."""

    def sign(message: bytes) -> bytes:
        size = len(unb64(key["n"]))
        tail = b"\0" + _SHA256_INFO + hashlib.sha256(message).digest()
        encoded = b"\0\1" + b"\xff" * (size - len(tail) - 2) + tail
        return _rsa(key, int.from_bytes(encoded))

    return sign


def _rsa(key: Mapping[str, str], message: int) -> bytes:
    n, d = int.from_bytes(unb64(key["n"])), int.from_bytes(unb64(key["d"]))
    return pow(message, d, n).to_bytes(len(unb64(key["n"])))


def _mgf1(seed: bytes, length: int) -> bytes:
    blocks = (
        hashlib.sha256(seed + counter.to_bytes(4)).digest()
        for counter in range(-(-length // 32))
    )
    return b"".join(blocks)[:length]
