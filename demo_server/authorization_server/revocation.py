"""The end of a token on its client's wish (RFC 7009)."""

from __future__ import annotations

from typing import Any

from authlib.oauth2.rfc6749 import InvalidRequestError
from authlib.oauth2.rfc7009 import RevocationEndpoint
from sqlalchemy import or_, select

from demo_server.authorization_server.denials import deny_family, deny_token
from demo_server.client_file import AUTH_METHODS
from demo_server.models import Token
from demo_server.token_hash import token_hash


class Revocation(RevocationEndpoint):
    """Revokes an access token alone, or with a refresh token its whole family.

    No proof is asked for, and one that is sent is not looked at.
    """

    CLIENT_AUTH_METHODS = tuple(AUTH_METHODS)

    def check_params(self, request: Any, client: Any) -> None:
        """Demand a token. A hint that is not known is no reason to refuse."""
        if not request.form.get("token"):
            raise InvalidRequestError("The token parameter is missing.")

    def query_token(self, token_string: str, token_type_hint: str | None) -> Any:
        """Return the row of an access or refresh token."""
        hashed = token_hash(token_string)
        query = select(Token).where(
            or_(Token.access_token_hash == hashed, Token.refresh_token_hash == hashed)
        )
        return self.server.database.session.scalar(query)

    def revoke_token(self, token: Token, request: Any) -> None:
        """Mark it; the row stays."""
        now = self.server.now
        if token.access_token_hash == token_hash(request.form["token"]):
            token.access_token_revoked_at = now
        elif token.consent is not None:
            token.consent.revoked_at = now
        self.server.database.session.commit()
        if token.access_token_revoked_at:
            deny_token(self.server.denials, token)
        else:
            session = self.server.database.session
            deny_family(self.server.denials, session, token.consent_id, now=now)
