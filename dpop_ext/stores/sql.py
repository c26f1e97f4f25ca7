"""Replay protection in a database: SQLite or PostgreSQL (RFC 9449 section 11.1)."""

from __future__ import annotations

import logging
import secrets
from typing import TYPE_CHECKING, Self

from dpop_ext.errors import StoreError
from dpop_ext.log_events import log_event
from dpop_ext.stores.base import CLOCK_TOLERANCE
from dpop_ext.stores.circuit import CircuitBreaker
from dpop_ext.stores.sql_engine import SQLStore, connect, named, require_engine
from dpop_ext.stores.sql_statements import SLICES, TABLE, Statements, slice_bounds
from dpop_ext.stores.sqlite_insertion import SQLiteInsertion
from dpop_ext.telemetry import timing_store

if TYPE_CHECKING:
    from sqlalchemy import Engine

_log = logging.getLogger("dpop_ext.stores")


class SQLReplayStore(SQLStore):
    """Remember used proofs in a database that many processes share.

    One statement for each proof, in a transaction of its own. Expired entries are
    deleted slice by slice: by :meth:`add` now and then, or by :meth:`sweep`. What may
    be deleted is written down first, so that a server whose clock is behind, or was
    set back, is refused instead of told that a used proof is new. And a server whose
    clock is ahead deletes nothing early: the clock of the database counts too.

    A call that ends without an answer raises :class:`~dpop_ext.errors.StoreError` and
    is not tried again: the proof may be used or not.

    SQLite is not told to wait for the disk: a power failure can take the last entries,
    the end of a process cannot. A restored backup has lost what came after it. As with
    any store that forgot, a new secret for nonces makes all earlier proofs void.

    Make one in each process, after it was forked.

    :param engine: for SQLite in a file or PostgreSQL, with time-outs of its own;
        :meth:`from_url` makes one, which is also faster.
    :param table: name of the table; see
        :func:`dpop_ext.stores.sql_statements.define_tables`.
    :param clock_tolerance: seconds by which the clocks of the servers may differ, or
        be set back; entries are kept for as much longer.
    :param sweep_every: used proofs of this process after which it deletes what has
        expired in a 256th of the table; 0 leaves that to others.
    :param circuit: when to stop asking a database that is down; None is the default.
    :raises TypeError: *engine* is something else, such as a URL.
    :raises ValueError: another database, or SQLite in memory, which is not shared.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        table: str = TABLE,
        clock_tolerance: int = CLOCK_TOLERANCE,
        sweep_every: int = 256,
        circuit: CircuitBreaker | None = None,
    ) -> None:
        if clock_tolerance < 0 or sweep_every < 0:
            raise ValueError("clock_tolerance and sweep_every must not be negative")
        dialect = require_engine(engine).dialect.name
        self._statements = Statements(dialect, table, clock_tolerance)
        super().__init__(engine, schema=self._statements.schema, circuit=circuit)
        self._quick: SQLiteInsertion | None = None
        self._sweep_every = sweep_every
        # Neither is exact between threads, which does not matter.
        self._added = 0
        # Somewhere else in each process, so that all slices get their turn.
        self._next_slice = secrets.randbelow(SLICES)

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        timeout: float = 0.5,
        table: str = TABLE,
        clock_tolerance: int = CLOCK_TOLERANCE,
        sweep_every: int = 256,
        circuit: CircuitBreaker | None = None,
    ) -> Self:
        """Connect to a database, with time-outs, SQLite with write-ahead logging.

        :param url: SQLAlchemy URL: ``sqlite:///FILE``, ``postgresql+psycopg://...``.
        :param timeout: seconds to wait for a lock, for a connection of the pool or, as
            the PostgreSQL server counts, for the end of a statement; psycopg 3 gives
            one that hangs up half a second later. Connecting to PostgreSQL may take 2
            seconds, the least that its drivers know.
        :raises ValueError: as the class; or a driver of PostgreSQL that is neither
            psycopg nor psycopg2, for which no time-outs are known.
        """
        engine = connect(url, timeout=timeout)
        store = cls(
            engine,
            table=table,
            clock_tolerance=clock_tolerance,
            sweep_every=sweep_every,
            circuit=circuit,
        )
        # Its connections commit by themselves anyway: no need to tell them each time.
        store._engine = engine
        if engine.dialect.driver == "pysqlite":
            store._quick = SQLiteInsertion(engine, store._statements.insert)
        return store

    def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
        """Insert *key* if it is absent; see :class:`dpop_ext.stores.base.ReplayStore`.

        :raises StoreError: the database cannot be reached, is too slow, locked, full
            or read-only; or this server's clock is behind.
        """
        if expires_at < now:
            return False
        try:
            with self._circuit, timing_store("sql"):
                added = self._insert(key, expires_at, now)
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - it goes on, under its name
            raise StoreError from named(error)
        if added is None:
            raise StoreError("The clock is behind what the store remembers.")
        self._added += added
        if self._sweep_every and self._added >= self._sweep_every:
            self._added = 0
            self._sweep_slice(now)
        return added

    def sweep(self, *, now: int) -> int:
        """Delete everything that has expired; return how many entries.

        :param now: seconds since the epoch.
        :raises StoreError: the database does not answer.
        """
        deleted = 0
        with self._connection() as connection:
            connection.execute(self._statements.announce, {"now": now})
            for number in range(SLICES):
                deleted += connection.execute(
                    self._statements.delete, slice_bounds(number)
                ).rowcount
        return deleted

    def _insert(self, key: bytes, expires_at: int, now: int) -> bool | None:
        """Tell whether the key was added; None if it cannot be known."""
        parameters = {"key": key, "expires_at": expires_at, "now": now}
        quick = self._quick
        if quick is not None and quick(parameters) == 1:
            return True
        with self._engine.connect() as connection:
            if quick is None:
                done = connection.execute(self._statements.insert, parameters)
                if done.rowcount == 1:
                    return True
            # Why not? There is a live entry, or one may have been deleted.
            parameters = {"key": key, "now": now}
            held = connection.execute(self._statements.find, parameters).first()
        return False if held else None

    def _sweep_slice(self, now: int) -> None:
        """Delete one slice; the request that happens to do it does not fail with it."""
        self._next_slice += 1
        bounds = slice_bounds(self._next_slice)
        try:
            with self._engine.connect() as connection:
                # In this order an insertion that began before the announcement has
                # long ended when something is deleted.
                connection.execute(self._statements.delete, bounds)
                connection.execute(self._statements.announce, {"now": now})
        except Exception as error:  # noqa: BLE001
            log_event(
                _log,
                logging.WARNING,
                "sweep_failed",
                "expired entries were not deleted: %s",
                type(error).__name__,
                cause=type(error).__name__,
            )
