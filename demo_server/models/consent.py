"""What a user allowed a client: everything issued on it hangs on this row."""

from __future__ import annotations

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from demo_server.models.base import Base


class Consent(Base):
    """One approval on the consent page, the family of its code and tokens.

    Codes and tokens are good only while their consent is. To revoke a family is one
    write here, and it also reaches a token that is being issued at that moment.
    """

    __tablename__ = "consents"

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(ForeignKey("users.username"))
    client_id: Mapped[str] = mapped_column(ForeignKey("clients.client_id"))
    scope: Mapped[str] = mapped_column(Text)
    audience: Mapped[str | None] = mapped_column(String(256))
    given_at: Mapped[int]
    revoked_at: Mapped[int] = mapped_column(default=0)
