"""Pushed authorization requests in a database: SQLite or PostgreSQL (RFC 9126)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from dpop_ext.errors import TooManyRequestsError
from dpop_ext.stores.circuit import CircuitBreaker
from dpop_ext.stores.pushed_requests import (
    MAX_PER_CLIENT,
    PushedRequest,
    dump_request,
    name_hash,
    parse_request,
)
from dpop_ext.stores.sql_engine import SQLStore, connect
from dpop_ext.stores.sql_parts import create_missing, sweep

if TYPE_CHECKING:
    from sqlalchemy import Engine, MetaData, Table

#: Name of the table of pushed requests.
TABLE: Final = "dpop_pushed_request"


def define_pushed_request_table(metadata: MetaData, *, name: str = TABLE) -> Table:
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
        Text,
    )

    return Table(
        name,
        metadata,
        # Hashes: who reads the table cannot go on with a log-in.
        Column("reference", LargeBinary(32), primary_key=True),
        Column("client", LargeBinary(32), nullable=False),
        Column("request", Text, nullable=False),
        Column("expires_at", BigInteger, nullable=False),
        Index(f"ix_{name}_client", "client", "expires_at"),
        Index(f"ix_{name}_expires_at", "expires_at"),
    )


class SQLPushedRequestStore(SQLStore):
    """Keep pushed requests in a database that many processes share.

    A :class:`dpop_ext.stores.pushed_requests.PushedRequestStore`. Each statement is a
    transaction of its own. Make one in each process, after it was forked.

    :param engine: for SQLite in a file or PostgreSQL, with time-outs of its own;
        :meth:`from_url` makes one.
    :param table: name of the table; see :func:`define_pushed_request_table`.
    :param max_per_client: live requests of one client. Requests to PostgreSQL at the
        same moment can exceed it by their number.
    :param circuit: when to stop asking a database that is down; None is the default.
    :raises ValueError: another database, or SQLite in memory, which is not shared.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        table: str = TABLE,
        max_per_client: int = MAX_PER_CLIENT,
        circuit: CircuitBreaker | None = None,
    ) -> None:
        if max_per_client < 1:
            raise ValueError("max_per_client must be positive")
        self._statements = _Statements(table)
        self._max_per_client = max_per_client
        super().__init__(engine, schema=self._statements.schema, circuit=circuit)

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        timeout: float = 0.5,
        table: str = TABLE,
        max_per_client: int = MAX_PER_CLIENT,
        circuit: CircuitBreaker | None = None,
    ) -> Self:
        """Connect to a database; as :meth:`SQLReplayStore.from_url`.

        :param timeout: seconds.
        """
        return cls(
            connect(url, timeout=timeout),
            table=table,
            max_per_client=max_per_client,
            circuit=circuit,
        )

    def save(self, reference: str, pushed: PushedRequest, *, now: int) -> None:
        """Store *pushed*, and delete some that have expired.

        :raises TooManyRequestsError: its client has as many as it may have.
        :raises StoreError: the database did not answer.
        """
        row = {
            "reference": name_hash(reference),
            "client": name_hash(pushed.client_id),
            "request": dump_request(pushed),
            "expires_at": pushed.expires_at,
            "now": now,
            "max_per_client": self._max_per_client,
        }
        with self._connection() as connection:
            connection.execute(self._statements.sweep, {"now": now})
            saved = connection.execute(self._statements.insert, row).rowcount
        if saved != 1:
            raise TooManyRequestsError

    def load(self, reference: str) -> PushedRequest | None:
        """Return a request that was saved and not consumed; its time may be over.

        :raises StoreError: the database did not answer.
        """
        row = {"reference": name_hash(reference)}
        with self._connection() as connection:
            text = connection.execute(self._statements.find, row).scalar()
        return None if text is None else parse_request(text)

    def consume(self, reference: str) -> bool:
        """Remove a request in one statement; True for the one call that did.

        :raises StoreError: the database did not answer. It may be removed or not.
        """
        row = {"reference": name_hash(reference)}
        with self._connection() as connection:
            return connection.execute(self._statements.delete, row).rowcount == 1


class _Statements:
    """What the store executes."""

    def __init__(self, table: str) -> None:
        from sqlalchemy import (  # noqa: PLC0415
            BigInteger,
            LargeBinary,
            MetaData,
            Text,
            bindparam,
            delete,
            func,
            insert,
            select,
        )

        rows = define_pushed_request_table(MetaData(), name=table)
        self.schema = create_missing(rows)
        client = bindparam("client", type_=LargeBinary)
        reference = bindparam("reference", type_=LargeBinary)
        now = bindparam("now", type_=BigInteger)
        of_client = (
            select(func.count())
            .select_from(rows)
            .where(rows.c.client == client, rows.c.expires_at > now)
            .scalar_subquery()
        )
        #: One row, unless the client has too many.
        self.insert = (
            insert(rows)
            .from_select(
                ["reference", "client", "request", "expires_at"],
                select(
                    reference,
                    client,
                    bindparam("request", type_=Text),
                    bindparam("expires_at", type_=BigInteger),
                ).where(of_client < bindparam("max_per_client", type_=BigInteger)),
            )
            .execution_options(preserve_rowcount=True)
        )
        self.find = select(rows.c.request).where(rows.c.reference == reference)
        self.delete = delete(rows).where(rows.c.reference == reference)
        self.sweep = sweep(rows.c.reference)
