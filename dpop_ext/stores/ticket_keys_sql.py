"""Ticket keys in a database: SQLite or PostgreSQL (DPoP Symmetric Profile 1.0)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from dpop_ext.stores.circuit import CircuitBreaker
from dpop_ext.stores.sql_engine import SQLStore, connect, require_engine
from dpop_ext.stores.sql_parts import create_missing, insert_of
from dpop_ext.symmetric.sealed_ticket_key import (
    open_ticket_key,
    seal_ticket_key,
    ticket_row_key,
)
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.ticket_keys import TicketKey, period_of

if TYPE_CHECKING:
    from sqlalchemy import Engine, MetaData, Table

#: Name of the table of ticket keys.
TABLE: Final = "dpop_ticket_key"


def define_ticket_key_table(metadata: MetaData, *, name: str = TABLE) -> Table:
    """Add the table to *metadata*, for migrations with Alembic.

    :param metadata: of the application.
    :param name: of the table.
    """
    from sqlalchemy import (  # noqa: PLC0415
        BigInteger,
        Column,
        LargeBinary,
        String,
        Table,
    )

    return Table(
        name,
        metadata,
        Column("audience", String(256), primary_key=True),
        # Hours since the epoch: there is one key for each.
        Column("period", BigInteger, primary_key=True, autoincrement=False),
        Column("sealed", LargeBinary, nullable=False),
        Column("expires_at", BigInteger, nullable=False),
    )


class SQLTicketKeyTable(SQLStore):
    """Keep the ticket keys of one resource server in a database, encrypted.

    For :class:`dpop_ext.stores.ticket_keys.RotatingTicketKeys`. Each statement is a
    transaction of its own. Make one in each process, after it was forked.

    A deleted row stays in backups and maybe in the files of the database: *row_key* is
    what keeps it from being read there.

    :param engine: for SQLite in a file or PostgreSQL, with time-outs of its own;
        :meth:`from_url` makes one.
    :param audience: the resource server's own identifier.
    :param row_key: encrypts the keys, 32 bytes, and is nowhere in the database. For
        another one take another table.
    :param table: name of the table; see :func:`define_ticket_key_table`.
    :param circuit: when to stop asking a database that is down; None is the default.
    :raises ValueError: another database, SQLite in memory, or a *row_key* of another
        length.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        audience: str,
        row_key: SecretBytes,
        table: str = TABLE,
        circuit: CircuitBreaker | None = None,
    ) -> None:
        self._audience = audience
        self._row_key = ticket_row_key(row_key, audience=audience)
        self._statements = _Statements(require_engine(engine).dialect.name, table)
        super().__init__(engine, schema=self._statements.schema, circuit=circuit)

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        audience: str,
        row_key: SecretBytes,
        timeout: float = 0.5,
        table: str = TABLE,
        circuit: CircuitBreaker | None = None,
    ) -> Self:
        """Connect to a database; as :meth:`SQLReplayStore.from_url`.

        :param timeout: seconds.
        """
        return cls(
            connect(url, timeout=timeout),
            audience=audience,
            row_key=row_key,
            table=table,
            circuit=circuit,
        )

    def add(self, key: TicketKey, *, now: int) -> None:
        """Keep *key*, unless there is one for the same hour.

        :raises StoreError: the database did not answer.
        """
        row = {
            "audience": self._audience,
            "period": period_of(key.issue_from),
            "sealed": seal_ticket_key(
                key, audience=self._audience, row_key=self._row_key
            ),
            "expires_at": key.expires_at,
        }
        with self._connection() as connection:
            connection.execute(self._statements.insert, row)

    def read(self, *, now: int) -> list[TicketKey]:
        """Return the keys that are good at *now* or later, oldest first.

        :raises StoreError: the database did not answer, or a row was not written by us.
        """
        parameters = {"audience": self._audience, "now": now}
        with self._connection() as connection:
            rows = connection.execute(self._statements.find, parameters).all()
        keys = [
            open_ticket_key(
                sealed, period=period, audience=self._audience, row_key=self._row_key
            )
            for period, sealed in rows
        ]
        return [key for key in keys if now < key.expires_at]

    def erase(self, *, now: int) -> None:
        """Delete the keys that have ended by *now*.

        :raises StoreError: the database did not answer.
        """
        parameters = {"audience": self._audience, "now": now}
        with self._connection() as connection:
            connection.execute(self._statements.delete, parameters)


class _Statements:
    """What the table executes."""

    def __init__(self, dialect: str, table: str) -> None:
        from sqlalchemy import (  # noqa: PLC0415
            BigInteger,
            MetaData,
            String,
            bindparam,
            delete,
            select,
        )

        rows = define_ticket_key_table(MetaData(), name=table)
        self.schema = create_missing(rows)
        #: The first one for an hour stays.
        self.insert = insert_of(dialect)(rows).on_conflict_do_nothing()
        audience = bindparam("audience", type_=String)
        now = bindparam("now", type_=BigInteger)
        self.find = (
            select(rows.c.period, rows.c.sealed)
            .where(rows.c.audience == audience, rows.c.expires_at > now)
            .order_by(rows.c.period)
        )
        self.delete = delete(rows).where(
            rows.c.audience == audience, rows.c.expires_at <= now
        )
