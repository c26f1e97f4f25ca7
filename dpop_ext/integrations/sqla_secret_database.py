"""Transactions on the tables of derivation secrets (DPoP Symmetric Profile 1.0)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from sqlalchemy import Connection, Engine, MetaData, select
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from dpop_ext.errors import StoreError
from dpop_ext.integrations.sqla_secret_rows import ChangedMeanwhileError, SecretRows
from dpop_ext.stores.secret_tables import define_secret_tables
from dpop_ext.stores.sql_engine import check_dialect, named, require_engine
from dpop_ext.symmetric.sealed_row import ROW_KEY_LENGTH
from dpop_ext.symmetric.secret_bytes import SecretBytes

#: Times that a change is tried which another server was faster with.
ATTEMPTS: Final = 20
#: Seconds between two of them.
PAUSE: Final = 0.02

#: What PostgreSQL says when it was the other transaction that won.
_CONFLICTS = ("40001", "40P01")

T = TypeVar("T")


def find_issuers(engine: Engine) -> list[str]:
    """Return the issuers that have secrets in a database.

    :raises SQLAlchemyError: it did not answer, or has no such tables.
    """
    table = define_secret_tables(MetaData()).audiences
    query = select(table.c.issuer).distinct().order_by(table.c.issuer)
    with engine.connect() as connection:
        return list(connection.scalars(query))


def create_tables(engine: Engine, metadata: MetaData) -> None:
    """Create the tables, if they are not there; many processes may do so at once.

    :raises StoreError: the database does not let us.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            metadata.create_all(engine)
            return
        except DBAPIError as error:
            # To look and to create are two steps.
            if attempt == ATTEMPTS:
                raise StoreError from error
            time.sleep(PAUSE)


def run(engine: Engine, step: Callable[[Connection], T]) -> T:
    """Return the result of *step*, in a transaction that no other one disturbed.

    :param step: may be called several times.
    :raises StoreError: the database did not answer, or is too busy.
    """
    for _ in range(ATTEMPTS):
        try:
            with _store_errors(), engine.begin() as connection:
                return step(connection)
        except ChangedMeanwhileError:
            time.sleep(PAUSE)
    raise StoreError("The tables are being changed all the time.")


class SecretDatabase:
    """The tables of secrets, as the one issuer sees them.

    :param key: 32 bytes, which stay out of the database.
    :raises TypeError: *engine* or *key* is something else.
    :raises ValueError: *engine* is for another one than SQLite or PostgreSQL, or *key*
        has another length.
    """

    def __init__(
        self, engine: Engine, key: SecretBytes, *, issuer: str, prefix: str
    ) -> None:
        check_dialect(require_engine(engine).url)
        if not isinstance(key, SecretBytes):
            raise TypeError("key is SecretBytes(...), of 32 random bytes")
        if len(key) != ROW_KEY_LENGTH:
            raise ValueError("key is 32 bytes")
        self._engine = engine
        self._key = key
        self._issuer = issuer
        self._metadata = MetaData()
        self._tables = define_secret_tables(self._metadata, prefix=prefix)

    def create_schema(self) -> None:
        """Create the tables, as :func:`create_tables`."""
        create_tables(self._engine, self._metadata)

    def run(self, step: Callable[[SecretRows], T]) -> T:
        """Return the result of *step*, as :func:`run`."""

        def with_rows(connection: Connection) -> T:
            rows = SecretRows(
                connection, self._tables, issuer=self._issuer, key=self._key
            )
            return step(rows)

        return run(self._engine, with_rows)


@contextmanager
def _store_errors() -> Iterator[None]:
    """Raise what a database raises as an error of this package.

    :raises ChangedMeanwhileError: another transaction was faster; try again.
    :raises StoreError: the database did not answer.
    """
    try:
        yield
    except IntegrityError as error:
        raise ChangedMeanwhileError from error
    except DBAPIError as error:
        locked = "locked" in str(error.orig)  # SQLite has no code for it
        code = getattr(error.orig, "sqlstate", None)
        code = code or getattr(error.orig, "pgcode", None)  # of psycopg2
        if locked or code in _CONFLICTS:
            raise ChangedMeanwhileError from error
        raise StoreError from named(error)
    except SQLAlchemyError as error:
        raise StoreError from error
