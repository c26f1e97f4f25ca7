"""What the vectors are made of, with the standard library and cryptography alone."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.vectors.generate_symmetric import (
    b64url,
    concat_kdf,
    ec_jwk,
    ec_key,
    public_jwk,
    seal,
    seed,
    thumbprint,
)

NOW: Final = 1_790_000_000
PUBLISHED: Final[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "dpop-sym-1.json").read_text("utf-8")
)
ISSUER: Final[str] = PUBLISHED["iss"]
AUDIENCE: Final[str] = PUBLISHED["aud"]
CLIENT: Final[str] = PUBLISHED["client_id"]
ROOT: Final = bytes.fromhex(PUBLISHED["K_root"])

#: In place of a value: the member is left out.
ABSENT: Final = object()

ISSUER_KEY: Final = ec_key("authorization server")
CLIENT_KEY: Final = ec_key("client proofs")
JKT: Final = thumbprint(public_jwk(ec_jwk(CLIENT_KEY)))


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return *base* with some members changed or left out."""
    both = {**base, **changes}
    return {name: value for name, value in both.items() if value is not ABSENT}


def dump(value: Any) -> str:
    """Return compact JSON, of ASCII characters."""
    return json.dumps(value, separators=(",", ":"))


def lp(value: bytes) -> bytes:
    """Return *value* behind its length in two bytes."""
    return len(value).to_bytes(2) + value


def expand(prk: bytes, info: bytes, length: int) -> bytes:
    """Return HKDF-Expand with SHA-256 (RFC 5869 section 2.3)."""
    block, okm = b"", b""
    for number in range(1, 3):
        block = hmac.digest(prk, block + info + bytes([number]), "sha256")
        okm += block
    return okm[:length]


def secret_info(issuer: str, audience: str, version: int, root_id: bytes) -> bytes:
    """Return what the secret of one audience is expanded with."""
    info = b"dpop-sym/1 aud\0" + lp(issuer.encode()) + lp(audience.encode())
    return info + version.to_bytes(8) + (lp(root_id) if root_id else b"")


def key_info(
    alg: str,
    issuer: str,
    audience: str,
    client_id: str,
    jkt: str,
    version: int,
    r: bytes,
) -> bytes:
    """Return what the key of one access token is expanded with."""
    names = (alg, issuer, audience, client_id, jkt)
    text = b"".join(lp(name.encode()) for name in names)
    return b"dpop-sym/1 sk\0" + text + version.to_bytes(8) + lp(r)


def secret(version: int, *, audience: str = AUDIENCE) -> bytes:
    """Return the secret of one version."""
    return expand(ROOT, secret_info(ISSUER, audience, version, b""), 32)


def sign(
    header: str, payload: str, key: ec.EllipticCurvePrivateKey = ISSUER_KEY
) -> str:
    """Return a JWS under ES256, without a random number (RFC 6979)."""
    signing_input = f"{b64url(header.encode())}.{b64url(payload.encode())}"
    algorithm = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
    r, s = decode_dss_signature(key.sign(signing_input.encode(), algorithm))
    return f"{signing_input}.{b64url(r.to_bytes(32) + s.to_bytes(32))}"


def mac(header: str, payload: str, key: bytes, *, digest: str = "sha256") -> str:
    """Return a JWS under a MAC."""
    signing_input = f"{b64url(header.encode())}.{b64url(payload.encode())}"
    return f"{signing_input}.{b64url(hmac.digest(key, signing_input.encode(), digest))}"


def encrypt(
    header: Mapping[str, Any],
    plaintext: bytes,
    recipient: ec.EllipticCurvePrivateKey,
    ephemeral: ec.EllipticCurvePrivateKey,
) -> str:
    """Return a JWE under ECDH-ES and A256GCM, with a fixed key and IV."""
    shared = ephemeral.exchange(ec.ECDH(), recipient.public_key())
    return seal(dict(header), b"", concat_kdf(shared, "A256GCM", 256), plaintext)


def sha256(text: str) -> str:
    """Return the base64url of SHA-256, as in ``ath``."""
    return b64url(hashlib.sha256(text.encode()).digest())


__all__ = ["b64url", "ec_jwk", "ec_key", "public_jwk", "seed", "thumbprint"]
