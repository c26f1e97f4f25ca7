"""Tables of derivation secrets in a database (DPoP Symmetric Profile 1.0).

The authorization server writes them. A resource server that may read the rows of its
audience needs no more, see :class:`dpop_ext.stores.secret_rows.SQLSecretRows`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from dpop_ext.symmetric.sealed_row import ROOT_ID_LENGTH, SealedRow

if TYPE_CHECKING:
    from sqlalchemy import Connection, MetaData, Table

#: Beginning of the names of the tables.
PREFIX: Final = "dpop_"
#: Newest versions that are looked at. Three are live at most; the others are there so
#: that it is known what became of them.
MAX_VERSIONS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretTables:
    """The three tables."""

    #: One row for each version of the secret of an audience, never deleted.
    versions: Table
    #: What the secrets were derived from, until the last of these has ended.
    roots: Table
    #: Which audiences there are, and how their secrets are rotated.
    audiences: Table


def define_secret_tables(metadata: MetaData, *, prefix: str = PREFIX) -> SecretTables:
    """Add the tables to *metadata*, for migrations with Alembic.

    :param metadata: of the application.
    :param prefix: beginning of the names.
    """
    from sqlalchemy import (  # noqa: PLC0415
        BigInteger,
        Column,
        Integer,
        LargeBinary,
        String,
        Table,
        UniqueConstraint,
    )

    versions = Table(
        f"{prefix}derivation_secret",
        metadata,
        Column("issuer", String(256), primary_key=True),
        Column("audience", String(256), primary_key=True),
        Column("version", BigInteger, primary_key=True, autoincrement=False),
        Column("state", String(16), nullable=False),
        Column("not_before", BigInteger, nullable=False),
        Column("expires_at", BigInteger, nullable=False),
        Column("sequence", BigInteger, nullable=False),
        Column("sealed", LargeBinary, nullable=False),
        Column("root_id", LargeBinary(ROOT_ID_LENGTH), nullable=True),
        # Two servers that change the secrets of an audience at the same time both
        # take the next number, and one of them is refused.
        UniqueConstraint("issuer", "audience", "sequence"),
    )
    roots = Table(
        f"{prefix}root_secret",
        metadata,
        Column("issuer", String(256), primary_key=True),
        Column("root_id", LargeBinary(ROOT_ID_LENGTH), primary_key=True),
        Column("created_at", BigInteger, nullable=False),
        Column("sealed", LargeBinary, nullable=False),
    )
    audiences = Table(
        f"{prefix}audience",
        metadata,
        Column("issuer", String(256), primary_key=True),
        Column("audience", String(256), primary_key=True),
        Column("poll", Integer, nullable=False),
        Column("fetch_timeout", Integer, nullable=False),
        Column("token_lifetime", Integer, nullable=False),
        Column("pending_period", Integer, nullable=False),
        Column("active_period", Integer, nullable=False),
        Column("verify_period", Integer, nullable=False),
    )
    return SecretTables(versions=versions, roots=roots, audiences=audiences)


def read_rows(
    connection: Connection, table: Table, *, issuer: str, audience: str
) -> Sequence[Any]:
    """Return the rows of the newest versions, the newest first."""
    from sqlalchemy import select  # noqa: PLC0415

    query = (
        select(table)
        .where(table.c.issuer == issuer, table.c.audience == audience)
        .order_by(table.c.version.desc())
        .limit(MAX_VERSIONS)
    )
    return connection.execute(query).all()


def sealed_row(row: Any) -> SealedRow:
    """Return a row of the table of versions as a value."""
    return SealedRow(
        issuer=row.issuer,
        audience=row.audience,
        version=row.version,
        state=row.state,
        not_before=row.not_before,
        expires_at=row.expires_at,
        sequence=row.sequence,
        sealed=bytes(row.sealed),
    )
