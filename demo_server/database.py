"""The database of the authorization server: engine, sessions, schema."""

from __future__ import annotations

import logging
import time
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy.schema import CreateIndex, CreateTable

from demo_server.models import Base
from dpop_ext.stores.sql_engine import limit_answers, time_limits

log = logging.getLogger(__name__)

#: How long a connection waits for another one that writes, and a request for the
#: database at all, in milliseconds.
BUSY_TIMEOUT = 5_000


class Database:
    """An engine, and one session for each thread.

    A request takes ``database.session``; :meth:`release` ends it.

    :param url: SQLAlchemy URL.
    """

    def __init__(self, url: str) -> None:
        # Parameters of statements stay out of errors: they would end up in the log.
        seconds = BUSY_TIMEOUT / 1000
        self.engine: Engine = create_engine(
            url,
            connect_args=time_limits(make_url(url), timeout=seconds),
            pool_timeout=seconds,
            hide_parameters=True,
        )
        limit_answers(self.engine, timeout=seconds)
        if self.engine.dialect.name == "sqlite":
            event.listen(self.engine, "connect", _prepare_sqlite)
        # Rows stay readable after a commit: a request commits as soon as it has
        # claimed a code, and goes on to read what the code was for.
        factory = sessionmaker(self.engine, expire_on_commit=False)
        self.session: scoped_session[Session] = scoped_session(factory)

    def create_schema(self) -> None:
        """Create what is missing. Two processes may do so at the same moment."""
        for attempt in range(50):
            try:
                with self.engine.begin() as connection:
                    for table in Base.metadata.sorted_tables:
                        connection.execute(CreateTable(table, if_not_exists=True))
                        for index in table.indexes:
                            connection.execute(CreateIndex(index, if_not_exists=True))
                return
            except OperationalError as error:
                # SQLite does not wait for the lock when two connections switch a
                # new file to write-ahead logging at once.
                if "locked" not in str(error.orig) or attempt == 49:
                    raise
                time.sleep(0.02)

    def release(self, _: object = None) -> None:
        """End the session of this thread; what was not committed is undone."""
        try:
            self.session.remove()
        except SQLAlchemyError as error:
            # The request has its answer. A database that does not hear that it should
            # undo something does so when it finds the connection closed.
            log.warning("a transaction was not ended: %s", type(error).__name__)
            self.session.registry.clear()

    def close(self) -> None:
        """Close every connection."""
        self.session.remove()
        self.engine.dispose()


def _prepare_sqlite(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT}")
    # Readers and the one writer do not wait for each other.
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    # A secret that was erased is gone from the file too.
    cursor.execute("PRAGMA secure_delete = ON")
    cursor.close()
