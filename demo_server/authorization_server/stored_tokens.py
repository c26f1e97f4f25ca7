"""Access tokens found in the database, for an endpoint of their own issuer."""

from __future__ import annotations

from sqlalchemy import select

from demo_server.authorization_server.server import Server
from demo_server.models import Token
from demo_server.token_hash import token_hash
from dpop_ext.core.confirmation import AccessToken, Confirmation
from dpop_ext.errors import AccessTokenError
from dpop_ext.resource_server.token_finder import TokenFinder


class StoredTokens(TokenFinder):
    """Finds tokens of users, whatever resource server they are for.

    :param server: which issued them.
    """

    def __init__(self, server: Server) -> None:
        self._server = server

    def __call__(self, text: str) -> AccessToken:
        """Return a token that is neither expired nor revoked.

        :raises AccessTokenError: there is none, or it is not of a user.
        """
        query = select(Token).where(Token.access_token_hash == token_hash(text))
        row = self._server.database.session.scalar(query)
        if row is None or row.consent is None:
            raise AccessTokenError
        if not row.is_access_token_good(self._server.now):
            raise AccessTokenError
        jkt = row.dpop_jkt
        return AccessToken(
            issuer=self._server.issuer,
            audience=(row.audience,) if row.audience else (),
            client_id=row.client_id,
            expires_at=row.access_token_expires_at,
            token_id=None,
            confirmation=Confirmation(jkt=jkt, dsk=None) if jkt else None,
            scope=row.scope,
            claims={"sub": row.consent.username},
        )
