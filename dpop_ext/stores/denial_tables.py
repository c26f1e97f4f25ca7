"""Tables of access tokens that were revoked, and of what was exchanged from which.

DPoP Symmetric Profile 1.0, revocation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dpop_ext.stores.secret_tables import PREFIX
from dpop_ext.symmetric.deny_list import MAX_TOKEN_ID
from dpop_ext.symmetric.derivation import SECRET_LENGTH

if TYPE_CHECKING:
    from sqlalchemy import MetaData, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class DenialTables:
    """The two tables."""

    #: Tokens that resource servers must refuse.
    denials: Table
    #: Tokens that came of an exchange, with the one that they came of.
    exchanges: Table


def define_denial_tables(metadata: MetaData, *, prefix: str = PREFIX) -> DenialTables:
    """Add the tables to *metadata*, for migrations with Alembic.

    :param metadata: of the application.
    :param prefix: beginning of the names.
    """
    from sqlalchemy import (  # noqa: PLC0415
        BigInteger,
        Column,
        LargeBinary,
        String,
        Table,
    )

    denials = Table(
        f"{prefix}denial",
        metadata,
        Column("issuer", String(256), primary_key=True),
        Column("audience", String(256), primary_key=True),
        # As that of the secrets: of two servers that take the same, one is refused.
        Column("sequence", BigInteger, primary_key=True, autoincrement=False),
        Column("token_id", String(MAX_TOKEN_ID), nullable=True),
        Column("r", LargeBinary(SECRET_LENGTH), nullable=True),
        Column("expires_at", BigInteger, nullable=False),
    )
    exchanges = Table(
        f"{prefix}exchanged_token",
        metadata,
        Column("issuer", String(256), primary_key=True),
        Column("token_id", String(MAX_TOKEN_ID), primary_key=True),
        Column("subject_id", String(MAX_TOKEN_ID), nullable=False, index=True),
        Column("audience", String(256), nullable=False),
        Column("expires_at", BigInteger, nullable=False, index=True),
    )
    return DenialTables(denials=denials, exchanges=exchanges)
