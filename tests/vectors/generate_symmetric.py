"""Write symmetric.json: delivered keys, an HS512 proof, a whole token and its proof.

Computed with the standard library and the primitives of cryptography, without joserfc
and without this package, so that the package can be held against it. Everything is
fixed, so a second run writes the same file::

    python -m tests.vectors.generate_symmetric
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey,
    X25519PublicKey,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_wrap

FOLDER: Final = Path(__file__).parent
NOW: Final = 1_790_000_000


def generate() -> dict[str, Any]:
    """Return the content of the file."""
    published = json.loads((FOLDER / "dpop-sym-1.json").read_text("utf-8"))
    signing_key = ec_key("authorization server")
    token = access_token(published, signing_key)
    key = bytes.fromhex(published["SK_HS256"])
    long_key = bytes.fromhex(published["SK_HS512"])
    common = {name: published[name] for name in ("iss", "aud", "client_id", "V", "S")}
    return {
        **common,
        "time": NOW,
        "jwt": {
            "signing_key": ec_jwk(signing_key),
            "access_token": token,
            "SK_HS256": key.hex(),
            "proof": proof(key, "HS256", token, kid=None),
        },
        "hs512": {
            "access_token": published["access_token"],
            "SK_HS512": long_key.hex(),
            "proof": proof(
                long_key,
                "HS512",
                published["access_token"],
                kid="7",
                nonce=published["nonce_rs"],
            ),
        },
        "key_jwe": [
            ecdh_es_p256(published, key, token),
            ecdh_es_a256kw_x25519(published, long_key, published["access_token"]),
        ],
    }


def access_token(published: dict[str, Any], key: ec.EllipticCurvePrivateKey) -> str:
    """Make an RFC 9068 access token, signed with ES256 (RFC 6979: no random number)."""
    signing_input = join(
        {"typ": "at+jwt", "alg": "ES256", "kid": "vector"},
        {
            "iss": published["iss"],
            "aud": published["aud"],
            "client_id": published["client_id"],
            "sub": "alice",
            "iat": NOW,
            "exp": NOW + 300,
            "jti": "b0f7c6b2",
            "scope": "accounts",
            "cnf": {
                "jkt": published["jkt"],
                "dsk": {
                    "alg": "HS256",
                    "v": published["V"],
                    "r": published["R"],
                    "exp": NOW + 300,
                },
            },
        },
    )
    algorithm = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
    r, s = decode_dss_signature(key.sign(signing_input.encode(), algorithm))
    return f"{signing_input}.{b64url(r.to_bytes(32) + s.to_bytes(32))}"


def proof(
    key: bytes, alg: str, token: str, *, kid: str | None, nonce: str | None = None
) -> str:
    """Make a symmetric proof."""
    header = {"typ": "dpop-sym+jwt", "alg": alg}
    claims = {
        "jti": "e1j3V_bKic8-LAEB",
        "htm": "POST",
        "htu": "https://api.example.com/transfers",
        "iat": NOW,
        "ath": b64url(hashlib.sha256(token.encode()).digest()),
    }
    if kid is not None:
        header["kid"] = kid
    if nonce is not None:
        claims["nonce"] = nonce
    signing_input = join(header, claims)
    digest = {"HS256": "sha256", "HS512": "sha512"}[alg]
    return f"{signing_input}.{b64url(hmac.digest(key, signing_input.encode(), digest))}"


def ecdh_es_p256(published: dict[str, Any], key: bytes, token: str) -> dict[str, Any]:
    """Deliver an HS256 key by direct key agreement on P-256."""
    recipient, ephemeral = ec_key("client P-256"), ec_key("ephemeral P-256")
    shared = ephemeral.exchange(ec.ECDH(), recipient.public_key())
    public = public_jwk(ec_jwk(recipient))
    header = {
        "alg": "ECDH-ES",
        "enc": "A256GCM",
        **key_header(published, token),
        "kid": thumbprint(public),
        "epk": public_jwk(ec_jwk(ephemeral)),
    }
    cek = concat_kdf(shared, "A256GCM", 256)
    return {
        "private_key": ec_jwk(recipient),
        "ephemeral_private_key": ec_jwk(ephemeral),
        "cek": cek.hex(),
        "mac_algorithm": "HS256",
        "key": key.hex(),
        "access_token": token,
        "jwe": seal(header, b"", cek, plaintext(published, "HS256", key)),
    }


def ecdh_es_a256kw_x25519(
    published: dict[str, Any], key: bytes, token: str
) -> dict[str, Any]:
    """Deliver an HS512 key under a random content key, wrapped after X25519."""
    recipient = X25519PrivateKey.from_private_bytes(seed("client X25519"))
    ephemeral = X25519PrivateKey.from_private_bytes(seed("ephemeral X25519"))
    shared = ephemeral.exchange(recipient.public_key())
    public = okp_jwk(recipient.public_key())
    header = {
        "alg": "ECDH-ES+A256KW",
        "enc": "A128GCM",
        **key_header(published, token),
        "kid": thumbprint(public),
        "epk": okp_jwk(ephemeral.public_key()),
    }
    cek = seed("content key")[:16]
    wrapped = aes_key_wrap(concat_kdf(shared, "ECDH-ES+A256KW", 256), cek)
    return {
        "private_key": {**public, "d": b64url(recipient.private_bytes_raw())},
        "ephemeral_private_key": {
            **okp_jwk(ephemeral.public_key()),
            "d": b64url(ephemeral.private_bytes_raw()),
        },
        "cek": cek.hex(),
        "mac_algorithm": "HS512",
        "key": key.hex(),
        "access_token": token,
        "jwe": seal(header, wrapped, cek, plaintext(published, "HS512", key)),
    }


def key_header(published: dict[str, Any], token: str) -> dict[str, Any]:
    """Return the part of the JWE header that says what the key is for."""
    return {
        "typ": "dpop-sym+jwe",
        "cty": "jwk+json",
        "dsk": {
            "iss": published["iss"],
            "aud": published["aud"],
            "v": published["V"],
            "exp": NOW + 300,
            "ath": b64url(hashlib.sha256(token.encode()).digest()),
        },
    }


def plaintext(published: dict[str, Any], alg: str, key: bytes) -> bytes:
    """Return the JWK of a delivered key."""
    return compact(
        {
            "kty": "oct",
            "use": "sig",
            "key_ops": ["sign"],
            "alg": alg,
            "kid": str(published["V"]),
            "k": b64url(key),
        }
    )


def seal(header: dict[str, Any], wrapped: bytes, cek: bytes, data: bytes) -> str:
    """Encrypt with AES-GCM under a fixed IV, as a compact JWE."""
    protected = b64url(compact(header))
    iv = seed("iv")[:12]
    sealed = AESGCM(cek).encrypt(iv, data, protected.encode())
    parts = [b64url(part) for part in (wrapped, iv, sealed[:-16], sealed[-16:])]
    return ".".join([protected, *parts])


def concat_kdf(shared: bytes, algorithm: str, bits: int) -> bytes:
    """Return the one round of the Concat KDF that up to 256 bits take (RFC 7518)."""
    name = algorithm.encode()
    info = len(name).to_bytes(4) + name + bytes(8) + bits.to_bytes(4)
    return hashlib.sha256((1).to_bytes(4) + shared + info).digest()[: bits // 8]


def seed(name: str) -> bytes:
    """Return 32 bytes that stand for random ones."""
    return hashlib.sha256(b"dpop-ext vector: " + name.encode()).digest()


def ec_key(name: str) -> ec.EllipticCurvePrivateKey:
    """Return a fixed P-256 key."""
    return ec.derive_private_key(int.from_bytes(seed(name)), ec.SECP256R1())


def ec_jwk(key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    """Return a P-256 key as a private JWK."""
    numbers = key.private_numbers()
    point = numbers.public_numbers
    return {
        "kty": "EC",
        "crv": "P-256",
        "x": b64url(point.x.to_bytes(32)),
        "y": b64url(point.y.to_bytes(32)),
        "d": b64url(numbers.private_value.to_bytes(32)),
    }


def okp_jwk(key: X25519PublicKey) -> dict[str, str]:
    """Return an X25519 key as a public JWK."""
    return {"kty": "OKP", "crv": "X25519", "x": b64url(key.public_bytes_raw())}


def public_jwk(jwk: dict[str, str]) -> dict[str, str]:
    """Return a JWK without its private member."""
    return {name: value for name, value in jwk.items() if name != "d"}


def thumbprint(jwk: dict[str, str]) -> str:
    """Return the RFC 7638 thumbprint of a public JWK without other members."""
    text = json.dumps(jwk, separators=(",", ":"), sort_keys=True)
    return b64url(hashlib.sha256(text.encode()).digest())


def join(header: dict[str, Any], claims: dict[str, Any]) -> str:
    """Return the signing input of a JWS."""
    return f"{b64url(compact(header))}.{b64url(compact(claims))}"


def compact(value: dict[str, Any]) -> bytes:
    """Return compact JSON."""
    return json.dumps(value, separators=(",", ":")).encode()


def b64url(data: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


if __name__ == "__main__":
    text = json.dumps(generate(), indent=1) + "\n"
    (FOLDER / "symmetric.json").write_text(text, "utf-8")
