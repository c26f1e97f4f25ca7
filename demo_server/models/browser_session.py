"""Who is signed in, in which browser."""

from __future__ import annotations

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from demo_server.models.base import Base


class BrowserSession(Base):
    """A log-in, until its time is over or the person signs out.

    The identifier in the cookie is hashed: who reads the table cannot go on with it.
    """

    __tablename__ = "browser_sessions"

    session_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    username: Mapped[str] = mapped_column(ForeignKey("users.username"))
    expires_at: Mapped[int] = mapped_column(index=True)
