"""Encryption for a post-quantum key, ML-KEM-768 with X25519: HPKE-9-KE.

An Internet-Draft of the JOSE working group, draft-ietf-jose-hpke-pq-pqt, names the
algorithm, and draft-ietf-jose-hpke-encrypt says how it goes into a JWE. Both may still
change, and this with them. An attacker who records a delivery today and has a quantum
computer later gets the key from neither half alone.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives.asymmetric import x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dpop_ext.core.akp import SEED_LENGTH, AKPKey, read_public
from dpop_ext.core.base64url import b64url_decode, b64url_encode
from dpop_ext.core.key import P25519
from dpop_ext.errors import MalformedJOSEError
from dpop_ext.symmetric.content_jwe import (
    CONTENT_KEYS,
    IV_LENGTH,
    TAG_LENGTH,
    seal,
    to_json,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives import hpke

HPKE_ALGORITHM: Final = "HPKE-9-KE"
#: Bytes of a public key: that of ML-KEM-768, then that of X25519.
_ML_KEM_LENGTH: Final = 1184
PUBLIC_LENGTH: Final = _ML_KEM_LENGTH + 32
#: Bytes of the encapsulated secret, in the header parameter ``ek``.
ENCAPSULATED_LENGTH: Final = 1120


def is_supported() -> bool:
    """Tell whether the cryptography package of this process has the algorithm."""
    try:
        from cryptography.hazmat.primitives import hpke  # noqa: PLC0415
    except ImportError:
        return False
    return hasattr(hpke, "MLKEM768X25519PublicKey")


def require_support() -> None:
    """Fail early where the algorithm is wanted and cannot be had.

    :raises ValueError: the cryptography package has no ML-KEM-768 with X25519.
    """
    if not is_supported():
        raise ValueError("HPKE-9-KE needs cryptography 50 or newer")


def generate() -> AKPKey:
    """Make a new key pair.

    :raises ValueError: the cryptography package lacks the algorithm.
    """
    return key_pair(secrets.token_bytes(SEED_LENGTH))


def key_pair(seed: bytes) -> AKPKey:
    """Return the key pair of a seed of 32 bytes.

    :raises ValueError: the cryptography package lacks the algorithm.
    """
    require_support()
    ml_kem_key, x25519_key = _private_keys(seed)
    public = (
        ml_kem_key.public_key().public_bytes_raw()
        + x25519_key.public_key().public_bytes_raw()
    )
    return AKPKey(alg=HPKE_ALGORITHM, public=public, seed=seed)


def import_public(jwk: Mapping[str, Any]) -> AKPKey:
    """Import a public key, and use it once: some faults show only then.

    :raises ValueError: not a key for this algorithm, or none that works; or the
        cryptography package lacks the algorithm.
    """
    key = read_public(jwk, algorithm=HPKE_ALGORITHM, length=PUBLIC_LENGTH)
    # X25519 ignores the highest bit, and reduces: a second text for the same key.
    if int.from_bytes(key.public[_ML_KEM_LENGTH:], "little") >= P25519:
        raise MalformedJOSEError("not a canonical key")
    require_support()
    _suite().encrypt(bytes(32), _public_key(key), info=b"")
    return key


def encrypt(header: Mapping[str, Any], plaintext: bytes, recipient: AKPKey) -> str:
    """Make a compact JWE.

    :param header: protected header; its ``alg`` is this algorithm, its ``enc`` is
        ``A256GCM`` or ``A128GCM``. The ``ek`` is added.
    :param recipient: a key that :func:`import_public` returned.
    """
    encoding = header["enc"]
    content_key = secrets.token_bytes(CONTENT_KEYS[encoding])
    sealed = _suite().encrypt(content_key, _public_key(recipient), info=_info(encoding))
    return seal(
        to_json({**header, "ek": b64url_encode(sealed[:ENCAPSULATED_LENGTH])}),
        plaintext,
        encoding=encoding,
        content_key=content_key,
        encrypted_key=sealed[ENCAPSULATED_LENGTH:],
    )


def decrypt(text: str, *, header: Mapping[str, Any], private_key: AKPKey) -> bytes:
    """Decrypt a compact JWE.

    :param header: its protected header, parsed; ``alg`` and ``enc`` are checked.
    :param private_key: with its seed.
    :raises Exception: it is malformed, or for another key, or was changed: whatever
        the libraries raise. The caller has one error for all of it.
    """
    protected, *segments = text.split(".")
    sealed_key, iv, ciphertext, tag = map(b64url_decode, segments)
    encapsulated = b64url_decode(header["ek"])
    if (
        len(encapsulated) != ENCAPSULATED_LENGTH
        or len(iv) != IV_LENGTH
        or len(tag) != TAG_LENGTH
        or private_key.seed is None
    ):
        raise MalformedJOSEError("not a JWE of this algorithm")
    encoding = header["enc"]
    content_key = _suite().decrypt(
        encapsulated + sealed_key, _private_key(private_key.seed), info=_info(encoding)
    )
    if len(content_key) != CONTENT_KEYS[encoding]:
        raise MalformedJOSEError("a key of another length")
    return AESGCM(content_key).decrypt(iv, ciphertext + tag, protected.encode("ascii"))


def _info(encoding: str) -> bytes:
    """Return the Recipient_structure of the draft: what the key is used for."""
    return b"JOSE-HPKE rcpt\xff" + encoding.encode("ascii") + b"\xff"


# The imports are here, and not on top, as older versions of the package lack them.


def _suite() -> hpke.Suite:
    from cryptography.hazmat.primitives import hpke  # noqa: PLC0415

    return hpke.Suite(
        hpke.KEM.MLKEM768_X25519, hpke.KDF.SHAKE256, hpke.AEAD.AES_256_GCM
    )


def _public_key(key: AKPKey) -> hpke.MLKEM768X25519PublicKey:
    from cryptography.hazmat.primitives import hpke  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import mlkem  # noqa: PLC0415

    first, second = key.public[:_ML_KEM_LENGTH], key.public[_ML_KEM_LENGTH:]
    return hpke.MLKEM768X25519PublicKey(
        mlkem.MLKEM768PublicKey.from_public_bytes(first),
        x25519.X25519PublicKey.from_public_bytes(second),
    )


def _private_key(seed: bytes) -> hpke.MLKEM768X25519PrivateKey:
    from cryptography.hazmat.primitives import hpke  # noqa: PLC0415

    return hpke.MLKEM768X25519PrivateKey(*_private_keys(seed))


def _private_keys(seed: bytes) -> tuple[Any, x25519.X25519PrivateKey]:
    from cryptography.hazmat.primitives.asymmetric import mlkem  # noqa: PLC0415

    # draft-irtf-cfrg-concrete-hybrid-kems: both private keys come from one seed.
    expanded = hashlib.shake_256(seed).digest(96)
    return (
        mlkem.MLKEM768PrivateKey.from_seed_bytes(expanded[:64]),
        x25519.X25519PrivateKey.from_private_bytes(expanded[64:]),
    )
