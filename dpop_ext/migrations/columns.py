"""The columns of the mixins, for migrations of an application (RFC 9449 5, 6, 10)."""

from __future__ import annotations

from typing import Any

from alembic.operations import Operations
from sqlalchemy import Column, Integer, String, Text, text

#: Length of a thumbprint.
_JKT = String(43)


def add_token_columns(op: Operations | Any, table: str) -> None:
    """Add the columns of ``OAuth2DPoPTokenMixin``.

    Tokens that are there stay what they are: bound to no key.

    :param op: ``alembic.op``.
    :param table: name of the table of tokens.
    """
    with op.batch_alter_table(table) as batch:
        batch.add_column(Column("dpop_jkt", _JKT, nullable=True))
        batch.add_column(Column("refresh_dpop_jkt", _JKT, nullable=True))
        batch.add_column(Column("dpop_dsk", Text, nullable=True))


def drop_token_columns(op: Operations | Any, table: str) -> None:
    """Take :func:`add_token_columns` back: bound tokens look unbound from then on.

    :param op: ``alembic.op``.
    :param table: name of the table of tokens.
    """
    with op.batch_alter_table(table) as batch:
        for name in ("dpop_dsk", "refresh_dpop_jkt", "dpop_jkt"):
            batch.drop_column(name)


def add_code_columns(op: Operations | Any, table: str, *, bound: bool = True) -> None:
    """Add the columns of ``OAuth2DPoPCodeMixin``, or of ``OAuth2RedeemableMixin``.

    Codes that are there count as not redeemed, and may be redeemed with any key. So do
    those of an application that does not know the columns yet.

    :param op: ``alembic.op``.
    :param table: name of the table of authorization codes or device codes.
    :param bound: also the column for the key of a code; device codes have none.
    """
    with op.batch_alter_table(table) as batch:
        batch.add_column(
            Column("redeemed_at", Integer, nullable=False, server_default=text("0"))
        )
        if bound:
            batch.add_column(Column("dpop_jkt", _JKT, nullable=True))


def drop_code_columns(op: Operations | Any, table: str, *, bound: bool = True) -> None:
    """Take :func:`add_code_columns` back: used codes look unused from then on.

    :param op: ``alembic.op``.
    :param table: name of the table of codes.
    :param bound: as it was given to :func:`add_code_columns`.
    """
    with op.batch_alter_table(table) as batch:
        if bound:
            batch.drop_column("dpop_jkt")
        batch.drop_column("redeemed_at")
