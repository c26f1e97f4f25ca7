"""Parts of the statements of the stores in a database: SQLite or PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from sqlalchemy import Column, Delete, Table

#: Expired rows that are deleted at most when one is inserted.
SWEPT_AT_ONCE: Final = 100


def insert_of(dialect: str) -> Callable[[Table], Any]:
    """Return the ``insert`` that knows what to do with a row that is there already.

    :param dialect: ``sqlite`` or ``postgresql``. The two have the same methods, and no
        common type that has them.
    """
    from sqlalchemy.dialects import postgresql, sqlite  # noqa: PLC0415

    return postgresql.insert if dialect == "postgresql" else sqlite.insert


def create_missing(*tables: Table) -> list[Any]:
    """Return the statements that create what is missing of *tables*."""
    from sqlalchemy.schema import CreateIndex, CreateTable  # noqa: PLC0415

    statements: list[Any] = []
    for table in tables:
        statements.append(CreateTable(table, if_not_exists=True))
        indexes = sorted(table.indexes, key=lambda index: str(index.name))
        statements += (CreateIndex(index, if_not_exists=True) for index in indexes)
    return statements


def sweep(key: Column[bytes]) -> Delete:
    """Return the statement that deletes some rows that have expired by ``now``.

    :param key: column of the primary key, in a table with ``expires_at``.
    """
    from sqlalchemy import BigInteger, bindparam, delete, select  # noqa: PLC0415

    rows = key.table
    expired = (
        select(key)
        .where(rows.c.expires_at <= bindparam("now", type_=BigInteger))
        .limit(SWEPT_AT_ONCE)
        # Two that sweep at once do not wait for each other's rows.
        .with_for_update(skip_locked=True)
    )
    return delete(rows).where(key.in_(expired))
