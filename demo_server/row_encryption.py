"""Encryption at rest of derivation secrets: AES-256-GCM, bound to the whole row."""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from demo_server import private_file
from demo_server.models import DerivationSecret
from demo_server.private_file import PrivateFileError
from demo_server.settings import ENVIRONMENT_PREFIX
from dpop_ext.errors import StoreError
from dpop_ext.symmetric.derivation import lp, u64

#: The key itself, base64url, for those who keep keys out of files.
KEY_VARIABLE = f"{ENVIRONMENT_PREFIX}DATABASE_KEY"

_KEY_LENGTH = 32
_NONCE_LENGTH = 12


class RowEncryption:
    """Seal and open the secret of a :class:`DerivationSecret`.

    :param key: 32 bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, row: DerivationSecret, secret: bytes) -> None:
        """Encrypt *secret* into *row*, once all its other columns are final."""
        # Random nonces are safe for 2**32 rows under one key; we write a few a day.
        nonce = secrets.token_bytes(_NONCE_LENGTH)
        row.sealed = nonce + self._cipher.encrypt(nonce, secret, _context(row))

    def open(self, row: DerivationSecret) -> bytes:
        """Return the secret of *row*, and thereby vouch for its other columns.

        :raises StoreError: it was sealed with another key, or changed since.
        """
        nonce, sealed = row.sealed[:_NONCE_LENGTH], row.sealed[_NONCE_LENGTH:]
        try:
            return self._cipher.decrypt(nonce, sealed, _context(row))
        except (InvalidTag, ValueError) as error:
            raise StoreError("A derivation secret cannot be decrypted.") from error


def load_row_encryption(keys_directory: Path) -> RowEncryption:
    """Take the key from the environment, or from its file, which is made when missing.

    :raises PrivateFileError: the file cannot be trusted, or there is no key in it.
    """
    path = keys_directory / "database.key"
    text = os.environ.get(KEY_VARIABLE)
    source = KEY_VARIABLE
    if text is None:
        source = str(path)
        text = private_file.read_or_create(path, _new_key).decode("ascii", "replace")
    try:
        key = base64.b64decode(text.strip() + "=", altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise PrivateFileError(f"{source}: not base64url") from error
    if len(key) != _KEY_LENGTH:
        raise PrivateFileError(f"{source}: the key must be {_KEY_LENGTH} bytes")
    return RowEncryption(key)


def _new_key() -> bytes:
    return base64.urlsafe_b64encode(secrets.token_bytes(_KEY_LENGTH)).rstrip(b"=")


def _context(row: DerivationSecret) -> bytes:
    """All that is said about a secret, so that none of it can be exchanged."""
    return (
        b"dpop-sym/1 row\0"
        + lp(row.issuer.encode())
        + lp(row.audience.encode())
        + u64(row.version)
        + lp(row.state.encode())
        + u64(row.not_before)
        + u64(row.expires_at)
        + u64(row.sequence)
    )
