"""Encryption for an X25519 key by ECDH-ES (RFC 7518 section 4.6, RFC 8037).

Clients of this package ask for nothing else. joserfc makes the same JWE, in 140
microseconds more, and does so for all other keys; it reads all of them.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey,
    X25519PublicKey,
)
from cryptography.hazmat.primitives.keywrap import aes_key_wrap

from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.key import thumbprint_of
from dpop_ext.symmetric.content_jwe import CONTENT_KEYS, seal

ALGORITHM: Final = "ECDH-ES"
WRAPPING_ALGORITHM: Final = "ECDH-ES+A256KW"


def _other_info(name: str, length: int) -> bytes:
    """Return what the derivation is told beside the secret (section 4.6.2).

    :param name: of the algorithm that the derived key is for.
    :param length: of that key, in bytes.
    """
    # Neither party names itself: apu and apv are empty.
    return _uint32(len(name)) + name.encode("ascii") + bytes(8) + _uint32(8 * length)


def _uint32(number: int) -> bytes:
    return number.to_bytes(4)


_OTHER_INFO: Final = {
    name: _other_info(name, length)
    for name, length in {**CONTENT_KEYS, WRAPPING_ALGORITHM: 32}.items()
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class X25519Recipient:
    """A public key to encrypt for, which was checked.

    It has those attributes of a joserfc key that are asked for when something is
    encrypted. Clients make such a key for each request, and one of joserfc takes
    as long to be made as all the checks.
    """

    key_type: ClassVar[str] = "OKP"
    is_private: ClassVar[bool] = False

    public_key: X25519PublicKey = field(repr=False)
    #: Its coordinate, base64url.
    x: str
    #: The only algorithm to use it with; None: it is for all of its type.
    alg: str | None

    def thumbprint(self) -> str:
        """Return the :rfc:`7638` SHA-256 thumbprint, base64url."""
        return thumbprint_of({"kty": "OKP", "crv": "X25519", "x": self.x})


def encrypt(
    header: Mapping[str, Any], plaintext: bytes, recipient: X25519PublicKey
) -> str:
    """Make a compact JWE, with an ephemeral key of its own.

    :param header: protected header; its ``alg`` is ``ECDH-ES`` or ``ECDH-ES+A256KW``,
        its ``enc`` is ``A256GCM`` or ``A128GCM``. The ``epk`` is added.
    :raises ValueError: *recipient* is a point of low order.
    """
    algorithm, encoding = header["alg"], header["enc"]
    length = CONTENT_KEYS[encoding]
    ephemeral = X25519PrivateKey.generate()
    epk = {
        "kty": "OKP",
        "crv": "X25519",
        "x": b64url_encode(ephemeral.public_key().public_bytes_raw()),
    }
    shared, encrypted_key = ephemeral.exchange(recipient), b""
    if algorithm == ALGORITHM:
        content_key = _derive(shared, encoding)[:length]
    else:
        content_key = secrets.token_bytes(length)
        encrypted_key = aes_key_wrap(_derive(shared, WRAPPING_ALGORITHM), content_key)
    return seal(
        {**header, "epk": epk},
        plaintext,
        content_key=content_key,
        encrypted_key=encrypted_key,
    )


def _derive(shared: bytes, name: str) -> bytes:
    # Concat KDF in its first round, the only one for a key of up to 32 bytes.
    return hashlib.sha256(b"\0\0\0\1" + shared + _OTHER_INFO[name]).digest()
