"""Connections of the stores in a database, and the tables they need."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dpop_ext.errors import StoreError
from dpop_ext.extras import needs
from dpop_ext.stores.circuit import CircuitBreaker
from dpop_ext.stores.psycopg_limit import limited_connection
from dpop_ext.telemetry import timing_store

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine, Executable

#: How often it is tried to create the tables, and the seconds in between.
ATTEMPTS = 50
PAUSE = 0.02
#: Seconds after which a server is given up that should have ended a statement.
GRACE = 0.5
#: What PostgreSQL says of a table that is not there.
_NO_SUCH_TABLE = "42P01"


class SQLStore:
    """What stores in a database have in common: each statement is a transaction.

    :param engine: for SQLite in a file or PostgreSQL, with a driver that blocks.
    :param schema: statements that create what is missing.
    :param circuit: when to stop asking a database that is down; None is the default.
    :raises ValueError: another one, or SQLite in memory, which is not shared.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        schema: Sequence[Executable],
        circuit: CircuitBreaker | None,
    ) -> None:
        check_database(require_engine(engine).url)
        self._engine: Engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._schema = schema
        self._circuit = circuit or CircuitBreaker()

    def create_schema(self) -> None:
        """Create the tables, if they are not there; many processes may do so at once.

        :raises StoreError: the database does not let us.
        """
        create_schema(self._engine, self._schema)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        """Lend a connection; whatever goes wrong is a :class:`StoreError`."""
        try:
            with (
                self._circuit,
                timing_store("sql"),
                self._engine.connect() as connection,
            ):
                yield connection
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - it goes on, under its name
            raise StoreError from named(error)


class MissingTableError(Exception):
    """The table of a store is not there: its ``create_schema()`` was not called."""


def named(error: Exception) -> Exception:
    """Return what the log is to call *error*, whose class alone stands in it.

    That of a table which is not there is the one of a database that is gone, and what
    there is to do another thing.
    """
    found = getattr(error, "orig", error)
    code = getattr(found, "sqlstate", None) or getattr(found, "pgcode", None)
    if code != _NO_SUCH_TABLE and "no such table" not in str(found):
        return error
    missing = MissingTableError("call create_schema(), or do the migration")
    missing.__cause__ = error
    return missing


def create_schema(engine: Engine, statements: Sequence[Executable]) -> None:
    """Execute *statements*; many processes may do so at once.

    :param statements: each does nothing where its work is done.
    :raises StoreError: the database does not let us.
    """
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415

    for attempt in range(1, ATTEMPTS + 1):
        try:
            with engine.connect() as connection:
                for statement in statements:
                    connection.execute(statement)
            return
        except DBAPIError as error:
            # "If not exists" is not atomic in PostgreSQL, and SQLite does not wait
            # when two connections switch a file to write-ahead logging.
            if attempt == ATTEMPTS:
                raise StoreError from error
            time.sleep(PAUSE)


def check_database(url: URL) -> None:
    """Refuse a database in which a proof could be used twice.

    :raises ValueError: neither PostgreSQL nor SQLite in a file, or an asyncio driver.
    """
    check_dialect(url)
    name = url.database or ":memory:"
    if url.get_backend_name() == "sqlite" and (
        ":memory:" in name or url.query.get("mode") == "memory"
    ):
        raise ValueError("SQLite in memory is not shared; name a file")


def require_engine(engine: Engine) -> Engine:
    """Refuse what is no engine, such as its URL.

    :raises TypeError: it is something else.
    """
    if not hasattr(engine, "dialect"):
        raise TypeError(
            "engine is an Engine: create_engine(url), or from_url of a store"
        )
    return engine


def check_dialect(url: URL) -> None:
    """Refuse a database whose transactions and locks are not those that are relied on.

    :raises ValueError: neither PostgreSQL nor SQLite, or a driver for asyncio.
    """
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise ValueError("the store works with SQLite and PostgreSQL")
    if url.get_dialect().is_async:
        # Every call would fail, and no limit on time would hold.
        raise ValueError("the store is called in threads: not with an asyncio driver")


def connect(url: str, *, timeout: float) -> Engine:
    """Return an engine that commits each statement, with time-outs.

    :param url: SQLAlchemy URL: ``sqlite:///FILE``, ``postgresql+psycopg://...``.
    :param timeout: seconds; see :meth:`dpop_ext.stores.sql.SQLReplayStore.from_url`.
    :raises ValueError: another database, SQLite in memory, which is not shared, or a
        driver that has no time-outs to set.
    """
    with needs("sql"):
        import sqlalchemy  # noqa: PLC0415

    location = sqlalchemy.make_url(url)
    check_database(location)
    engine = sqlalchemy.create_engine(
        url,
        connect_args=time_limits(location, timeout=timeout),
        pool_timeout=timeout,
        isolation_level="AUTOCOMMIT",
        # There is no transaction to end when a connection goes back to the pool.
        pool_reset_on_return=None,
        # The parameters of a statement stay out of errors.
        hide_parameters=True,
    )
    if location.get_backend_name() == "sqlite":
        sqlalchemy.event.listen(engine, "connect", _prepare_sqlite)
    limit_answers(engine, timeout=timeout)
    return engine


def limit_answers(engine: Engine, *, timeout: float) -> None:
    """Have new connections give up a server that hangs, where the driver lets us.

    It does for psycopg 3. For any other this does nothing: psycopg2 waits as long as
    the connection lives.

    Call it last: SQLAlchemy does not ask those who listen to ``do_connect`` after it.

    :param engine: whose connections have what :func:`time_limits` returns.
    :param timeout: seconds, as there. A statement may take :data:`GRACE` longer: the
        server, if it runs, is to end it by itself.
    """
    import sqlalchemy  # noqa: PLC0415

    if engine.dialect.driver != "psycopg":
        return
    kind = limited_connection(timeout + GRACE)

    def open_connection(_: Any, __: Any, args: Any, options: Any) -> Any:
        return kind.connect(*args, **options)

    sqlalchemy.event.listen(engine, "do_connect", open_connection)


def time_limits(url: URL, *, timeout: float) -> dict[str, Any]:
    """Return the arguments of a driver with which no wait for it is without end.

    :param url: of the database.
    :param timeout: seconds; connecting to PostgreSQL may take 2.
    :raises ValueError: the driver is none whose time-outs are known.
    """
    dialect = url.get_dialect()
    if dialect.name == "sqlite":
        return {"timeout": timeout}
    if dialect.driver in ("psycopg", "psycopg2"):
        milliseconds = int(timeout * 1000)
        return {
            "connect_timeout": 2,
            "options": f"-c statement_timeout={milliseconds}",
            "tcp_user_timeout": milliseconds,
            # A machine that is gone after it has taken a statement sends nothing, and
            # is owed nothing: only these notice, where the system takes two hours.
            "keepalives_idle": 1,
            "keepalives_interval": 1,
            "keepalives_count": 2,
        }
    raise ValueError("time-outs are known for psycopg and psycopg2 only")


def _prepare_sqlite(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    # No fsync for each proof; the class says what that can lose.
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.close()
