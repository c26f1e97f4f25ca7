"""The first tables."""

from __future__ import annotations

from alembic import op
from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
)

revision = "dpop_ext_1"
down_revision = None
branch_labels = ("dpop_ext",)
depends_on = None


def upgrade() -> None:
    """Create them; the table of what was swept has one row."""
    op.create_table(
        "dpop_used_proof",
        Column("key", LargeBinary(16), primary_key=True),
        Column("expires_at", BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    swept = op.create_table(
        "dpop_used_proof_swept",
        Column("id", Integer, primary_key=True, autoincrement=False),
        Column("until", BigInteger, nullable=False),
    )
    op.bulk_insert(swept, [{"id": 1, "until": -1}])
    op.create_table(
        "dpop_pushed_request",
        Column("reference", LargeBinary(32), primary_key=True),
        Column("client", LargeBinary(32), nullable=False),
        Column("request", Text, nullable=False),
        Column("expires_at", BigInteger, nullable=False),
    )
    op.create_index(
        "ix_dpop_pushed_request_client", "dpop_pushed_request", ["client", "expires_at"]
    )
    op.create_index(
        "ix_dpop_pushed_request_expires_at", "dpop_pushed_request", ["expires_at"]
    )
    _create_secret_tables()
    _create_denial_tables()
    op.create_table(
        "dpop_ticket_key",
        Column("audience", String(256), primary_key=True),
        Column("period", BigInteger, primary_key=True, autoincrement=False),
        Column("sealed", LargeBinary, nullable=False),
        Column("expires_at", BigInteger, nullable=False),
    )
    op.create_table(
        "dpop_logout",
        Column("name", LargeBinary(32), primary_key=True),
        Column("not_before", BigInteger, nullable=False),
        Column("expires_at", BigInteger, nullable=False),
    )
    op.create_index("ix_dpop_logout_expires_at", "dpop_logout", ["expires_at"])


def _create_secret_tables() -> None:
    op.create_table(
        "dpop_derivation_secret",
        Column("issuer", String(256), primary_key=True),
        Column("audience", String(256), primary_key=True),
        Column("version", BigInteger, primary_key=True, autoincrement=False),
        Column("state", String(16), nullable=False),
        Column("not_before", BigInteger, nullable=False),
        Column("expires_at", BigInteger, nullable=False),
        Column("sequence", BigInteger, nullable=False),
        Column("sealed", LargeBinary, nullable=False),
        Column("root_id", LargeBinary(16), nullable=True),
        UniqueConstraint("issuer", "audience", "sequence"),
    )
    op.create_table(
        "dpop_root_secret",
        Column("issuer", String(256), primary_key=True),
        Column("root_id", LargeBinary(16), primary_key=True),
        Column("created_at", BigInteger, nullable=False),
        Column("sealed", LargeBinary, nullable=False),
    )
    op.create_table(
        "dpop_audience",
        Column("issuer", String(256), primary_key=True),
        Column("audience", String(256), primary_key=True),
        Column("poll", Integer, nullable=False),
        Column("fetch_timeout", Integer, nullable=False),
        Column("token_lifetime", Integer, nullable=False),
        Column("pending_period", Integer, nullable=False),
        Column("active_period", Integer, nullable=False),
        Column("verify_period", Integer, nullable=False),
    )


def _create_denial_tables() -> None:
    op.create_table(
        "dpop_denial",
        Column("issuer", String(256), primary_key=True),
        Column("audience", String(256), primary_key=True),
        Column("sequence", BigInteger, primary_key=True, autoincrement=False),
        Column("token_id", String(256), nullable=True),
        Column("r", LargeBinary(32), nullable=True),
        Column("expires_at", BigInteger, nullable=False),
    )
    op.create_table(
        "dpop_exchanged_token",
        Column("issuer", String(256), primary_key=True),
        Column("token_id", String(256), primary_key=True),
        Column("subject_id", String(256), nullable=False),
        Column("audience", String(256), nullable=False),
        Column("expires_at", BigInteger, nullable=False),
    )
    for column in "subject_id", "expires_at":
        op.create_index(
            f"ix_dpop_exchanged_token_{column}", "dpop_exchanged_token", [column]
        )


def downgrade() -> None:
    """Drop them, with all that is in them."""
    for table in (
        "dpop_logout",
        "dpop_ticket_key",
        "dpop_exchanged_token",
        "dpop_denial",
        "dpop_audience",
        "dpop_root_secret",
        "dpop_derivation_secret",
        "dpop_pushed_request",
        "dpop_used_proof_swept",
        "dpop_used_proof",
    ):
        op.drop_table(table)
