"""Tables and statements of the replay store in a database (RFC 9449 section 11.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dpop_ext.stores.sql_parts import create_missing, insert_of

if TYPE_CHECKING:
    from sqlalchemy import MetaData, Table

#: Name of the table of used proofs.
TABLE: Final = "dpop_used_proof"
#: Parts of the table that are swept one at a time. The keys are hashes, so each part
#: is a range of keys: no index on the time is needed, which would cost every insertion.
SLICES: Final = 256


def define_tables(metadata: MetaData, *, name: str = TABLE) -> tuple[Table, Table]:
    """Add the two tables of the store to *metadata*, for migrations with Alembic.

    The second one needs one row, with ``id`` 1 and ``until`` -1: the time up to which
    entries may have been deleted. :meth:`SQLReplayStore.create_schema` inserts it.

    :param metadata: of the application.
    :param name: of the first table; the other is called the same and ``_swept``.
    :returns: both tables.
    """
    from sqlalchemy import (  # noqa: PLC0415
        BigInteger,
        Column,
        Integer,
        LargeBinary,
        Table,
    )

    entries = Table(
        name,
        metadata,
        Column("key", LargeBinary(16), primary_key=True),
        Column("expires_at", BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    swept = Table(
        f"{name}_swept",
        metadata,
        Column("id", Integer, primary_key=True, autoincrement=False),
        Column("until", BigInteger, nullable=False),
    )
    return entries, swept


class Statements:
    """What the store executes.

    :param dialect: ``sqlite`` or ``postgresql``.
    :param table: name of the table of used proofs.
    :param tolerance: seconds for which expired entries are kept.
    """

    def __init__(self, dialect: str, table: str, tolerance: int) -> None:
        from sqlalchemy import (  # noqa: PLC0415
            BigInteger,
            LargeBinary,
            MetaData,
            bindparam,
            case,
            cast,
            delete,
            extract,
            func,
            select,
            update,
        )

        insert = insert_of(dialect)
        entries, swept = define_tables(MetaData(), name=table)
        self.schema = (
            *create_missing(entries, swept),
            insert(swept).values(id=1, until=-1).on_conflict_do_nothing(),
        )
        key = bindparam("key", type_=LargeBinary)
        expires_at = bindparam("expires_at", type_=BigInteger)
        now = bindparam("now", type_=BigInteger)
        until = select(swept.c.until).scalar_subquery()

        absent = insert(entries).from_select(
            ["key", "expires_at"], select(key, expires_at).where(now > until)
        )
        #: One row, if there was no live entry. One that has expired is replaced.
        self.insert = absent.on_conflict_do_update(
            index_elements=[entries.c.key],
            set_={"expires_at": absent.excluded.expires_at},
            where=entries.c.expires_at < now,
        ).execution_options(preserve_rowcount=True)
        #: One row, if there is a live entry.
        self.find = select(1).where(entries.c.key == key, entries.c.expires_at >= now)

        database_time = cast(extract("epoch", func.now()), BigInteger)
        earlier = case((now < database_time, now), else_=database_time)
        before = earlier - (tolerance + 1)
        #: Tell all servers what may be deleted from now on.
        self.announce = update(swept).values(until=before).where(swept.c.until < before)

        # While this statement waits for the lock of a row, an insertion may replace
        # the row: PostgreSQL then checks the condition again, with the new values.
        #: Delete what may be, in one slice.
        self.delete = delete(entries).where(
            entries.c.key >= bindparam("low", type_=LargeBinary),
            entries.c.key < bindparam("high", type_=LargeBinary),
            entries.c.expires_at <= until,
        )


def slice_bounds(number: int) -> dict[str, bytes]:
    """Return the parameters with which :attr:`Statements.delete` takes one slice.

    :param number: any number; each is one of :data:`SLICES` in turn.
    """
    first = number % SLICES
    # No key is longer than what stands for the end.
    high = bytes([first + 1]) if first + 1 < SLICES else b"\xff" * 17
    return {"low": bytes([first]), "high": high}
