"""Derivation secrets at rest: AES-256-GCM over the whole row (NIST SP 800-38D).

DPoP Symmetric Profile 1.0. What is said about a secret, its state and times, is
authenticated together with it, and used only after that.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dpop_ext.errors import StoreError
from dpop_ext.symmetric.derivation import SECRET_LENGTH, expand, lp, u64
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.secret_ring import AudienceSecret, SecretRing, SecretState

#: Length of a key that rows are sealed with, in bytes.
ROW_KEY_LENGTH: Final = 32
#: Length of a root's random name, in bytes.
ROOT_ID_LENGTH: Final = 16

_NONCE_LENGTH = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedRow:
    """One version of a derivation secret, as a table holds it."""

    issuer: str
    audience: str
    version: int
    state: SecretState
    not_before: int
    expires_at: int
    #: One of its own for each change of anything that the audience has.
    sequence: int
    #: The encrypted secret; of a version that has ended, an encrypted nothing.
    sealed: bytes

    def open(self, key: SecretBytes) -> AudienceSecret:
        """Decrypt the secret, and thereby vouch for all that is said about it.

        :param key: what the row was sealed with.
        :raises StoreError: it was sealed with another key, or changed since.
        """
        try:
            secret = decrypt_row(key, self.sealed, _context(self))
            return AudienceSecret(
                version=self.version,
                state=self.state,
                not_before=self.not_before,
                expires_at=self.expires_at,
                secret=SecretBytes(secret) if secret else None,
            )
        # What somebody else wrote into a row can be anything, of any type.
        except (InvalidTag, AttributeError, OverflowError, TypeError, ValueError):
            # No cause: it could carry the secret.
            raise StoreError(
                "A derivation secret cannot be decrypted: it was sealed with another "
                "key, or changed."
            ) from None


def seal_row(
    entry: AudienceSecret,
    *,
    issuer: str,
    audience: str,
    sequence: int,
    key: SecretBytes,
) -> SealedRow:
    """Encrypt one version of a derivation secret, with all that is said about it.

    :param sequence: larger than that of every row of the audience.
    :param key: :func:`audience_row_key`.
    """
    row = SealedRow(
        issuer=issuer,
        audience=audience,
        version=entry.version,
        state=entry.state,
        not_before=entry.not_before,
        expires_at=entry.expires_at,
        sequence=sequence,
        sealed=b"",
    )
    secret = entry.secret.reveal() if entry.secret is not None else b""
    return replace(row, sealed=encrypt_row(key, secret, _context(row)))


def open_rows(
    rows: Iterable[SealedRow], *, issuer: str, audience: str, key: SecretBytes
) -> SecretRing:
    """Return the secrets of one audience.

    :raises StoreError: a row cannot be opened, is of another audience, or contradicts
        another one.
    """
    rows = list(rows)
    if any((row.issuer, row.audience) != (issuer, audience) for row in rows):
        raise StoreError("A derivation secret is for another audience.")
    entries = [row.open(key) for row in rows]
    try:
        return SecretRing(entries, issuer=issuer, audience=audience)
    except ValueError as error:
        raise StoreError("The derivation secrets contradict each other.") from error


def audience_row_key(key: SecretBytes, *, issuer: str, audience: str) -> SecretBytes:
    """Derive the key for the rows of one audience, which its resource server may have.

    It opens no row of another audience, and no root.

    :param key: of the authorization server, 32 bytes.
    :raises ValueError: *key* has another length.
    """
    info = b"dpop-sym/1 row key\0" + lp(issuer.encode()) + lp(audience.encode())
    return SecretBytes(expand(_checked(key), info, ROW_KEY_LENGTH))


def seal_root(
    root: SecretBytes, *, issuer: str, root_id: bytes, key: SecretBytes
) -> bytes:
    """Encrypt a root secret.

    :param root_id: its random name.
    :param key: of the authorization server, 32 bytes.
    """
    return encrypt_row(key, root.reveal(), _root_context(issuer, root_id))


def open_root(
    sealed: bytes, *, issuer: str, root_id: bytes, key: SecretBytes
) -> SecretBytes:
    """Decrypt a root secret.

    :raises StoreError: it was sealed with another key, or changed since.
    """
    try:
        root = decrypt_row(key, sealed, _root_context(issuer, root_id))
    except (InvalidTag, ValueError) as error:
        raise StoreError("A root secret cannot be decrypted.") from error
    if len(root) != SECRET_LENGTH:
        raise StoreError("A root secret has another length.")
    return SecretBytes(root)


def encrypt_row(key: SecretBytes, secret: bytes, context: bytes) -> bytes:
    """Encrypt a secret that is kept in a row.

    :param key: 32 bytes.
    :param context: everything that is said about the secret.
    :raises ValueError: *key* has another length.
    """
    # Random nonces are safe for 2**32 rows under one key; a few are written a day.
    nonce = secrets.token_bytes(_NONCE_LENGTH)
    return nonce + AESGCM(_checked(key)).encrypt(nonce, secret, context)


def decrypt_row(key: SecretBytes, sealed: bytes, context: bytes) -> bytes:
    """Decrypt the secret of a row.

    :raises InvalidTag: it was sealed with another key, or in another context.
    :raises ValueError: *sealed* or *key* has a length that cannot be.
    """
    nonce, encrypted = sealed[:_NONCE_LENGTH], sealed[_NONCE_LENGTH:]
    return AESGCM(_checked(key)).decrypt(nonce, encrypted, context)


def _checked(key: SecretBytes) -> bytes:
    if len(key) != ROW_KEY_LENGTH:
        raise ValueError("a key for rows is 32 bytes")
    return key.reveal()


def _context(row: SealedRow) -> bytes:
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


def _root_context(issuer: str, root_id: bytes) -> bytes:
    return b"dpop-sym/1 root\0" + lp(issuer.encode()) + lp(root_id)
