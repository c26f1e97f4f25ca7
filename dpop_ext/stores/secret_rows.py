"""Where a resource server reads its derivation secrets, sealed: in a database.

DPoP Symmetric Profile 1.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, Self

from dpop_ext.errors import StoreError
from dpop_ext.stores.secret_tables import (
    PREFIX,
    define_secret_tables,
    read_rows,
    sealed_row,
)
from dpop_ext.stores.sql_engine import connect, named
from dpop_ext.symmetric.sealed_row import SealedRow

if TYPE_CHECKING:
    from sqlalchemy import Engine


class SecretRows(Protocol):
    """Where the sealed secrets of one audience are."""

    def read(self) -> Sequence[SealedRow]:
        """Return the newest versions, in one piece: all of one moment.

        :raises StoreError: they cannot be read.
        """
        ...


class SQLSecretRows:
    """The rows of one audience in the database of the authorization server.

    All that is needed is the right to read the one table, and there the rows of this
    audience: those of others could not be opened.

    :param engine: for SQLite in a file or PostgreSQL, with time-outs of its own;
        :meth:`from_url` makes one.
    :param issuer: identifier of the authorization server, as in its tokens.
    :param audience: this resource server.
    :param prefix: beginning of the names of the tables.
    """

    def __init__(
        self, engine: Engine, *, issuer: str, audience: str, prefix: str = PREFIX
    ) -> None:
        from sqlalchemy import MetaData  # noqa: PLC0415

        self._engine = engine
        self._issuer = issuer
        self._audience = audience
        self._table = define_secret_tables(MetaData(), prefix=prefix).versions

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        issuer: str,
        audience: str,
        timeout: float = 0.5,
        prefix: str = PREFIX,
    ) -> Self:
        """Connect to a database, with time-outs.

        :param url: SQLAlchemy URL: ``sqlite:///FILE``, ``postgresql+psycopg://...``.
        :param timeout: seconds to wait for a lock, a connection or an answer.
        """
        engine = connect(url, timeout=timeout)
        return cls(engine, issuer=issuer, audience=audience, prefix=prefix)

    def read(self) -> Sequence[SealedRow]:
        """Return the newest versions, as :class:`SecretRows`."""
        from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

        try:
            with self._engine.connect() as connection:
                rows = read_rows(
                    connection,
                    self._table,
                    issuer=self._issuer,
                    audience=self._audience,
                )
        except SQLAlchemyError as error:
            raise StoreError from named(error)
        return [sealed_row(row) for row in rows]

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()
