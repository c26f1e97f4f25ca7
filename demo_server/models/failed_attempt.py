"""Passwords and secrets that were tried, to limit how fast they can be guessed."""

from __future__ import annotations

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from demo_server.models.base import Base


class FailedAttempt(Base):
    """One try for one name, counted for everybody and for one address.

    Both are hashed: people type passwords into the wrong field.
    """

    __tablename__ = "failed_attempts"

    id: Mapped[int] = mapped_column(primary_key=True)
    name_hash: Mapped[str] = mapped_column(String(64), index=True)
    address_hash: Mapped[str] = mapped_column(String(64))
    attempted_at: Mapped[int] = mapped_column(index=True)
