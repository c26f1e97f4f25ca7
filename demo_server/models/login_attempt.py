"""Log-ins that were tried, to limit how fast passwords can be guessed."""

from __future__ import annotations

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from demo_server.models.base import Base


class LoginAttempt(Base):
    """One try. The name is hashed: people type passwords into the wrong field."""

    __tablename__ = "login_attempts"

    id: Mapped[int] = mapped_column(primary_key=True)
    name_hash: Mapped[str] = mapped_column(String(64), index=True)
    attempted_at: Mapped[int] = mapped_column(index=True)
