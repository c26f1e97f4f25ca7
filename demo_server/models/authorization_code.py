"""Authorization codes (RFC 6749 section 4.1.2, RFC 7636 section 4.4)."""

from __future__ import annotations

from authlib.oauth2.rfc6749 import AuthorizationCodeMixin
from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from demo_server.models.base import Base
from demo_server.models.consent import Consent
from dpop_ext.integrations.sqla_oauth2 import OAuth2DPoPCodeMixin


class AuthorizationCode(Base, AuthorizationCodeMixin, OAuth2DPoPCodeMixin):
    """A code, kept after its use: a second use gives the thief away."""

    __tablename__ = "authorization_codes"

    code_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    consent_id: Mapped[int] = mapped_column(ForeignKey("consents.id"), index=True)
    consent: Mapped[Consent] = relationship(lazy="joined")
    redirect_uri: Mapped[str] = mapped_column(Text)
    #: SHA-256 of the verifier, base64url: the one method there is.
    code_challenge: Mapped[str] = mapped_column(String(43))
    expires_at: Mapped[int]

    @property
    def audience(self) -> str | None:
        """The resource server that the user allowed access to."""
        return self.consent.audience

    def get_redirect_uri(self) -> str:
        """Return the redirect URI of the authorization request."""
        return self.redirect_uri

    def get_scope(self) -> str:
        """Return what the user allowed."""
        return self.consent.scope
