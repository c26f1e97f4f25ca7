"""What the worker processes of a server share: used proofs, nonces, ticket keys."""

from __future__ import annotations

import secrets
import time
from pathlib import Path

from sqlalchemy.engine import make_url

from demo_server.database import BUSY_TIMEOUT, Database
from demo_server.listener import Role
from demo_server.private_file import PrivateFileError
from demo_server.settings import Settings
from dpop_ext.core.nonce import Nonces
from dpop_ext.errors import StoreError
from dpop_ext.stores.base import REPLAY_KEY_LENGTH, LogoutStore, ReplayStore
from dpop_ext.stores.logouts_redis import RedisLogoutStore
from dpop_ext.stores.logouts_sql import SQLLogoutStore
from dpop_ext.stores.nonce_file import FileNonces, create_nonce_file
from dpop_ext.stores.pushed_requests import PushedRequestStore
from dpop_ext.stores.pushed_requests_redis import RedisPushedRequestStore
from dpop_ext.stores.pushed_requests_sql import SQLPushedRequestStore
from dpop_ext.stores.quota import KeyQuota
from dpop_ext.stores.redis import RedisReplayStore
from dpop_ext.stores.sql import SQLReplayStore
from dpop_ext.stores.ticket_key_table import TicketKeyTable
from dpop_ext.stores.ticket_keys_redis import RedisTicketKeyTable
from dpop_ext.stores.ticket_keys_sql import SQLTicketKeyTable
from dpop_ext.symmetric.sealed_row import ROW_KEY_LENGTH
from dpop_ext.symmetric.secret_bytes import SecretBytes

#: Proofs of one key that may be alive, in each process: some 300 a second.
MAX_PROOFS = 20_000


def prepare(settings: Settings, role: Role) -> None:
    """Create what is missing of the things that the workers share.

    :raises StoreError: a database does not let us, or Redis does not answer.
    :raises PrivateFileError: the nonce secrets cannot be written.
    """
    if role == "rs":
        settings.rs_keys_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if settings.redis is not None:
        _look_for_redis(settings.redis, role)
    else:
        store = SQLReplayStore.from_url(used_proofs_url(settings, role))
        try:
            store.create_schema()
        finally:
            store.close()
    if role == "rs" and settings.redis is None and settings.gives_tickets:
        # What they are encrypted with is of no account for the schema.
        any_key = SecretBytes(bytes(ROW_KEY_LENGTH))
        for ticket_store in _ticket_stores_of_file(settings, any_key):
            try:
                ticket_store.create_schema()
            finally:
                ticket_store.close()
    if settings.nonce == "required":
        path = _nonce_file(settings, role)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            create_nonce_file(path)
        except OSError as error:
            raise PrivateFileError(f"{path}: {error.strerror}") from error


def _look_for_redis(url: str, role: Role) -> None:
    """Ask for a place that is forgotten at once: without an answer, all gets 503.

    :raises StoreError: nobody answers, or not as the stores need it.
    """
    store = RedisReplayStore.from_url(url, prefix=f"{role}:start:".encode())
    now = int(time.time())
    try:
        store.add(secrets.token_bytes(REPLAY_KEY_LENGTH), expires_at=now, now=now)
    except StoreError as error:
        raise StoreError("--redis: no usable answer.") from error
    finally:
        store.close()


def open_replay_store(settings: Settings, role: Role) -> ReplayStore:
    """Return what remembers used proofs, and the assertions of clients."""
    if settings.redis is not None:
        return RedisReplayStore.from_url(settings.redis, prefix=f"{role}:".encode())
    url = used_proofs_url(settings, role)
    return SQLReplayStore.from_url(url, timeout=BUSY_TIMEOUT / 1000)


def open_pushed_requests(settings: Settings, database: Database) -> PushedRequestStore:
    """Return what keeps pushed requests; in a database, beside the codes."""
    if settings.redis is not None:
        return RedisPushedRequestStore.from_url(settings.redis, prefix=b"as:par:")
    return SQLPushedRequestStore(database.engine)


def open_nonces(settings: Settings, role: Role) -> Nonces | None:
    """Return the nonces of a server; None if its proofs need none.

    :raises PrivateFileError: their secrets cannot be read or trusted.
    """
    if settings.nonce == "off":
        return None
    path = _nonce_file(settings, role)
    try:
        return FileNonces(path)
    except StoreError as error:
        raise PrivateFileError(f"{path}: {error.description}") from error


def open_ticket_stores(
    settings: Settings, row_key: SecretBytes
) -> tuple[TicketKeyTable, LogoutStore]:
    """Return what keeps the ticket keys of the resource server, and who logged out.

    :param row_key: encrypts the ticket keys.
    """
    if settings.redis is None:
        return _ticket_stores_of_file(settings, row_key)
    return (
        RedisTicketKeyTable.from_url(
            settings.redis,
            audience=settings.resource_url,
            row_key=row_key,
            prefix=b"rs:ticket-key:",
        ),
        RedisLogoutStore.from_url(settings.redis, prefix=b"rs:logout:"),
    )


def open_quota() -> KeyQuota:
    """Return the share that one key may have of the store of used proofs."""
    return KeyQuota(MAX_PROOFS)


def used_proofs_url(settings: Settings, role: Role) -> str:
    """Return the database of the used proofs, where there is no Redis.

    That of the authorization server, if it is PostgreSQL; else a file beside it, which
    the processes of one machine share. A resource server has no other database than
    one in its own directory.
    """
    if role == "rs":
        return f"sqlite:///{settings.rs_keys_directory / 'used-proofs.sqlite3'}"
    url = make_url(settings.database)
    if url.get_backend_name() != "sqlite":
        return settings.database
    path = Path(url.database or "").with_suffix(".used-proofs-as.sqlite3")
    return f"sqlite:///{path}"


def _ticket_stores_of_file(
    settings: Settings, row_key: SecretBytes
) -> tuple[SQLTicketKeyTable, SQLLogoutStore]:
    url = f"sqlite:///{settings.rs_keys_directory / 'tickets.sqlite3'}"
    timeout = BUSY_TIMEOUT / 1000
    return (
        SQLTicketKeyTable.from_url(
            url, audience=settings.resource_url, row_key=row_key, timeout=timeout
        ),
        SQLLogoutStore.from_url(url, timeout=timeout),
    )


def _nonce_file(settings: Settings, role: Role) -> Path:
    if role == "rs":
        return settings.rs_keys_directory / "nonces.json"
    return settings.keys_directory / "nonces-as.json"
