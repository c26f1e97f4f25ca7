"""Derivation secrets of the symmetric profile, one row for each version."""

from __future__ import annotations

from sqlalchemy import LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from demo_server.models.base import Base


class DerivationSecret(Base):
    """A version of the secret that an audience shares with the authorization server.

    ``sealed`` is the encrypted secret; of a retired version, an encrypted nothing.
    All other columns are authenticated by it, so none is believed before it opened.
    """

    __tablename__ = "derivation_secrets"

    issuer: Mapped[str] = mapped_column(String(256), primary_key=True)
    audience: Mapped[str] = mapped_column(String(256), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    state: Mapped[str] = mapped_column(String(16))
    not_before: Mapped[int]
    expires_at: Mapped[int]
    #: One more with every change of the row.
    sequence: Mapped[int] = mapped_column(default=0)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
