"""Ticket keys at rest: AES-256-GCM over all that is said about one (Symmetric Profile).

What a database or Redis holds of a ticket key is one row of bytes, and the hour that it
is for. Who can read the rows makes no tickets, and who can write them gets none in.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag

from dpop_ext.errors import StoreError
from dpop_ext.symmetric.derivation import expand, lp, u64
from dpop_ext.symmetric.sealed_row import ROW_KEY_LENGTH, decrypt_row, encrypt_row
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.ticket_keys import (
    KEY_ID_LENGTH,
    TicketKey,
    key_for_period,
    period_of,
)

_LIFETIME_LENGTH: Final = 2
_PREFIX_LENGTH: Final = KEY_ID_LENGTH + _LIFETIME_LENGTH


def ticket_row_key(key: SecretBytes, *, audience: str) -> SecretBytes:
    """Derive the key for the ticket keys of one resource server.

    :param key: that all of its servers are configured with, 32 bytes. It may be the one
        for other rows.
    :raises ValueError: *key* has another length.
    """
    if len(key) != ROW_KEY_LENGTH:
        raise ValueError("a key for rows is 32 bytes")
    info = b"dpop-sym/1 ticket row key\0" + lp(audience.encode())
    return SecretBytes(expand(key.reveal(), info, ROW_KEY_LENGTH))


def seal_ticket_key(key: TicketKey, *, audience: str, row_key: SecretBytes) -> bytes:
    """Return the row of a random key, which belongs to its hour and to no other.

    :param row_key: :func:`ticket_row_key`.
    """
    prefix = key.key_id + key.lifetime.to_bytes(_LIFETIME_LENGTH, "big")
    context = _context(audience, period_of(key.issue_from), prefix)
    return prefix + encrypt_row(row_key, key.secret.reveal(), context)


def open_ticket_key(
    row: bytes, *, period: int, audience: str, row_key: SecretBytes
) -> TicketKey:
    """Return the key that a row holds.

    :param period: the hour under which the row was found.
    :param row_key: :func:`ticket_row_key`.
    :raises StoreError: it was sealed with another key, for another audience or hour, or
        changed since.
    """
    try:
        prefix, sealed = row[:_PREFIX_LENGTH], row[_PREFIX_LENGTH:]
        secret = decrypt_row(row_key, sealed, _context(audience, period, prefix))
        return key_for_period(
            period,
            key_id=prefix[:KEY_ID_LENGTH],
            secret=secret,
            lifetime=int.from_bytes(prefix[KEY_ID_LENGTH:], "big"),
        )
    # What somebody else wrote can be anything, of any type.
    except (InvalidTag, AttributeError, OverflowError, TypeError, ValueError):
        # No cause: it could carry the secret.
        raise StoreError("A ticket key cannot be decrypted.") from None


def _context(audience: str, period: int, prefix: bytes) -> bytes:
    return b"dpop-sym/1 ticket row\0" + lp(audience.encode()) + u64(period) + prefix
