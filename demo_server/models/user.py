"""The people who sign in."""

from __future__ import annotations

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from demo_server.models.base import Base


class User(Base):
    """An account; its name is the subject of its tokens."""

    __tablename__ = "users"

    username: Mapped[str] = mapped_column(String(64), primary_key=True)
    password_hash: Mapped[str] = mapped_column(String(255))
    display_name: Mapped[str] = mapped_column(String(120))

    def get_user_id(self) -> str:
        """Return the subject identifier, as Authlib asks for it."""
        return self.username
