"""Token exchange: a client that was named acts for another (RFC 8693)."""

from __future__ import annotations

from typing import Any

from authlib.oauth2.rfc6749 import InvalidRequestError
from sqlalchemy import select

from demo_server.client_file import AUTH_METHODS
from demo_server.models import Token, User
from demo_server.token_hash import token_hash
from dpop_ext.authorization_server import TokenExchangeGrant
from dpop_ext.core.confirmation import AccessToken, parse_confirmation
from dpop_ext.core.token_text import parse_token


class TokenExchange(TokenExchangeGrant):
    """Exchanges our own access tokens.

    The registration of a client says in ``may_act`` who may act with its tokens, and
    they say so. What came of a token ends with it, and with the consent behind it.
    """

    TOKEN_ENDPOINT_AUTH_METHODS = tuple(m for m in AUTH_METHODS if m != "none")

    def __init__(self, request: Any, server: Any) -> None:
        super().__init__(request, server)
        self.clock = server.clock
        self.issuer = server.issuer

    def authenticate_subject_token(
        self, token: str, token_type: str
    ) -> AccessToken | None:
        """Return one of our tokens that is neither expired nor revoked."""
        row: Token | None = self.server.database.session.scalar(
            select(Token).where(Token.access_token_hash == token_hash(token))
        )
        if row is None or not row.is_access_token_good(self.server.now):
            return None
        self.request.exchanged_row = row
        # Found by its hash, so it is the JWT that we signed.
        claims = parse_token(token).payload
        cnf = claims.get("cnf")
        return AccessToken(
            issuer=self.server.issuer,
            audience=(row.audience,) if row.audience else (),
            client_id=row.client_id,
            expires_at=row.access_token_expires_at,
            token_id=claims.get("jti"),
            confirmation=parse_confirmation(cnf) if cnf is not None else None,
            scope=row.scope,
            claims=claims,
        )

    def authenticate_user(self, subject: AccessToken) -> User | None:
        """Return who consented; None for the token of a client that acts for itself."""
        consent = self.request.exchanged_row.consent
        if consent is None:
            return None
        user: User | None = self.server.database.session.get(User, consent.username)
        if user is None:
            raise InvalidRequestError("The subject_token names no user.")
        return user
