"""Who logged out lately, in a database: SQLite or PostgreSQL (Symmetric Profile)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from dpop_ext.stores.circuit import CircuitBreaker
from dpop_ext.stores.logouts import logout_name
from dpop_ext.stores.sql_engine import SQLStore, connect, require_engine
from dpop_ext.stores.sql_parts import create_missing, insert_of, sweep

if TYPE_CHECKING:
    from sqlalchemy import Engine, MetaData, Table

#: Name of the table of log-outs.
TABLE: Final = "dpop_logout"


def define_logout_table(metadata: MetaData, *, name: str = TABLE) -> Table:
    """Add the table of the store to *metadata*, for migrations with Alembic.

    :param metadata: of the application.
    :param name: of the table.
    """
    from sqlalchemy import (  # noqa: PLC0415
        BigInteger,
        Column,
        Index,
        LargeBinary,
        Table,
    )

    return Table(
        name,
        metadata,
        Column("name", LargeBinary(32), primary_key=True),
        Column("not_before", BigInteger, nullable=False),
        Column("expires_at", BigInteger, nullable=False),
        Index(f"ix_{name}_expires_at", "expires_at"),
    )


class SQLLogoutStore(SQLStore):
    """Remember log-outs in a database that many processes share.

    A :class:`dpop_ext.stores.base.LogoutStore`. Make one in each process, after it was
    forked.

    :param engine: for SQLite in a file or PostgreSQL, with time-outs of its own;
        :meth:`from_url` makes one.
    :param table: name of the table; see :func:`define_logout_table`.
    :param circuit: when to stop asking a database that is down; None is the default.
    :raises ValueError: another database, or SQLite in memory, which is not shared.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        table: str = TABLE,
        circuit: CircuitBreaker | None = None,
    ) -> None:
        self._statements = _Statements(require_engine(engine).dialect.name, table)
        super().__init__(engine, schema=self._statements.schema, circuit=circuit)

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        timeout: float = 0.5,
        table: str = TABLE,
        circuit: CircuitBreaker | None = None,
    ) -> Self:
        """Connect to a database; as :meth:`SQLReplayStore.from_url`.

        :param timeout: seconds.
        """
        return cls(connect(url, timeout=timeout), table=table, circuit=circuit)

    def put(
        self, issuer: str, jkt: str, *, not_before: int, expires_at: int, now: int
    ) -> None:
        """Remember a log-out, and delete some that have expired.

        :raises StoreError: the database did not answer.
        """
        row = {
            "name": logout_name(issuer, jkt),
            "not_before": not_before,
            "expires_at": expires_at,
        }
        with self._connection() as connection:
            connection.execute(self._statements.insert, row)
            connection.execute(self._statements.sweep, {"now": now})

    def find(self, issuer: str, jkt: str, *, now: int) -> int | None:
        """Return the last bad second of this key's tickets, or None.

        :raises StoreError: the database did not answer.
        """
        parameters = {"name": logout_name(issuer, jkt), "now": now}
        with self._connection() as connection:
            found = connection.execute(self._statements.find, parameters).scalar()
        return None if found is None else int(found)


class _Statements:
    """What the store executes."""

    def __init__(self, dialect: str, table: str) -> None:
        from sqlalchemy import (  # noqa: PLC0415
            BigInteger,
            LargeBinary,
            MetaData,
            bindparam,
            case,
            select,
        )

        rows = define_logout_table(MetaData(), name=table)
        self.schema = create_missing(rows)
        new = insert_of(dialect)(rows)
        #: The later of two log-outs stays.
        self.insert = new.on_conflict_do_update(
            index_elements=[rows.c.name],
            set_={
                column.name: case(
                    (column > new.excluded[column.name], column),
                    else_=new.excluded[column.name],
                )
                for column in (rows.c.not_before, rows.c.expires_at)
            },
        )
        now = bindparam("now", type_=BigInteger)
        self.find = select(rows.c.not_before).where(
            rows.c.name == bindparam("name", type_=LargeBinary), rows.c.expires_at > now
        )
        self.sweep = sweep(rows.c.name)
