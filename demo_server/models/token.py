"""Tokens that were issued: an access token and the refresh token beside it."""

from __future__ import annotations

from authlib.oauth2.rfc6749 import TokenMixin
from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from demo_server.models.base import Base
from demo_server.models.client import Client
from demo_server.models.consent import Consent
from dpop_ext.integrations.sqla_oauth2 import OAuth2DPoPTokenMixin


class Token(Base, TokenMixin, OAuth2DPoPTokenMixin):
    """One answer of the token endpoint. The tokens themselves are not in it."""

    __tablename__ = "tokens"

    id: Mapped[int] = mapped_column(primary_key=True)
    access_token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    #: ``jti`` of the access token.
    token_id: Mapped[str | None] = mapped_column(String(256))
    refresh_token_hash: Mapped[str | None] = mapped_column(String(64), unique=True)
    client_id: Mapped[str] = mapped_column(ForeignKey("clients.client_id"))
    client: Mapped[Client] = relationship(lazy="joined")
    #: None for a client that acts for itself.
    consent_id: Mapped[int | None] = mapped_column(
        ForeignKey("consents.id"), index=True
    )
    consent: Mapped[Consent | None] = relationship(lazy="joined")
    audience: Mapped[str | None] = mapped_column(String(256))
    scope: Mapped[str] = mapped_column(Text)
    issued_at: Mapped[int]
    access_token_expires_at: Mapped[int] = mapped_column(index=True)
    access_token_revoked_at: Mapped[int] = mapped_column(default=0)
    refresh_token_expires_at: Mapped[int] = mapped_column(default=0)
    #: Also set when the token is used up for the next one.
    refresh_token_revoked_at: Mapped[int] = mapped_column(default=0)
    #: The token that this one was exchanged for (:rfc:`8693`), whose row may be gone.
    exchanged_id: Mapped[int | None]
    exchanged: Mapped[Token | None] = relationship(
        primaryjoin="foreign(Token.exchanged_id) == remote(Token.id)", viewonly=True
    )

    @property
    def subject(self) -> str:
        """The user, or the client that acts for itself."""
        return self.consent.username if self.consent else self.client_id

    def check_client(self, client: Client) -> bool:
        """Whether the token was issued to *client*."""
        return self.client_id == client.client_id

    def get_scope(self) -> str:
        """Return what a refresh may ask for: all that the user allowed.

        Even if this access token, on request, got less (:rfc:`6749#section-6`).
        """
        return self.consent.scope if self.consent else self.scope

    def is_access_token_good(self, now: float) -> bool:
        """Whether the access token is neither expired nor revoked at *now*."""
        return (
            not self.access_token_revoked_at
            and now < self.access_token_expires_at
            and self._is_family_good()
            and self._is_origin_good(now)
        )

    def is_refresh_token_good(self, now: float) -> bool:
        """Whether the refresh token is neither expired nor revoked at *now*.

        One that was exchanged already is no reason to say no here: the grant finds
        out when it claims the row, and then revokes the family.
        """
        return now < self.refresh_token_expires_at and self._is_family_good()

    def _is_family_good(self) -> bool:
        return self.client.enabled and not (self.consent and self.consent.revoked_at)

    def _is_origin_good(self, now: float) -> bool:
        if self.exchanged_id is None:
            return True
        # It does not outlive the other one, so a row that is gone proves nothing good.
        return self.exchanged is not None and self.exchanged.is_access_token_good(now)
