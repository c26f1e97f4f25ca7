"""The resource server's own keys for symmetric proofs, and who logged out."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

from demo_server import private_file, shared_stores
from demo_server.private_file import PrivateFileError
from demo_server.settings import Settings
from dpop_ext.stores.ticket_keys import RotatingTicketKeys
from dpop_ext.symmetric.sealed_row import ROW_KEY_LENGTH
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.tickets import Tickets

#: Encrypts the ticket keys. Each server of several machines needs the same file.
ROW_KEY_FILE: Final = "ticket-rows.key"


def create_tickets(settings: Settings, *, clock: Callable[[], float]) -> Tickets | None:
    """Return what the workers share of tickets; None if they are off.

    :param clock: seconds since the epoch.
    :raises PrivateFileError: the key of the rows cannot be read or trusted.
    """
    if not settings.gives_tickets:
        return None
    table, logouts = shared_stores.open_ticket_stores(settings, load_row_key(settings))
    return Tickets(keys=RotatingTicketKeys(table, clock=clock), logouts=logouts)


def load_row_key(settings: Settings) -> SecretBytes:
    """Read the key of the rows from its file, which is made when it is missing.

    :raises PrivateFileError: it cannot be read, written or trusted.
    """
    path = settings.rs_keys_directory / ROW_KEY_FILE
    key = private_file.read_or_create(path, lambda: secrets.token_bytes(ROW_KEY_LENGTH))
    if len(key) != ROW_KEY_LENGTH:
        raise PrivateFileError(f"{path}: the key must be {ROW_KEY_LENGTH} bytes")
    return SecretBytes(key)
