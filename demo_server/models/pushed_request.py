"""Authorization requests that clients pushed (RFC 9126)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, String
from sqlalchemy.orm import Mapped, mapped_column

from demo_server.models.base import Base


class PushedRequest(Base):
    """A request, until it is answered or its time is over.

    The reference is hashed: who reads the table cannot go on with a log-in.
    """

    __tablename__ = "pushed_requests"

    reference_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    client_id: Mapped[str] = mapped_column(String(255))
    parameters: Mapped[dict[str, Any]] = mapped_column(JSON)
    dpop_jkt: Mapped[str | None] = mapped_column(String(43))
    expires_at: Mapped[int] = mapped_column(index=True)
