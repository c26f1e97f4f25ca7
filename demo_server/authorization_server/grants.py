"""The three grants: a code from a user, its refresh tokens, a client for itself."""

from __future__ import annotations

import logging
from typing import Any

from authlib.oauth2.rfc6749 import grants
from sqlalchemy import select, update

from demo_server.authorization_server.denials import deny_family
from demo_server.client_file import AUTH_METHODS
from demo_server.models import AuthorizationCode, Consent, Token, User
from demo_server.token_hash import token_hash
from dpop_ext.authorization_server.fapi2 import CODE_LIFETIME
from dpop_ext.integrations.sqla_oauth2 import AnySession, RedeemOnce

log = logging.getLogger(__name__)


class _Redeem(RedeemOnce):
    """One use, and the end of the whole family at the second."""

    server: Any
    TOKEN_ENDPOINT_AUTH_METHODS = tuple(AUTH_METHODS)

    def __init__(self, request: Any, server: Any) -> None:
        super().__init__(request, server)  # type: ignore[call-arg]
        self.clock = server.clock

    def get_session(self) -> AnySession:
        """Return the session of this request."""
        session: AnySession = self.server.database.session
        return session

    def authenticate_user(self, credential: AuthorizationCode | Token) -> User | None:
        """Return who allowed what the code or the refresh token is good for."""
        if credential.consent is None:
            return None
        return self.get_session().get(User, credential.consent.username)

    def on_second_use(self, credential: AuthorizationCode | Token) -> None:
        """Revoke all that came of the consent: one of the two users is a thief.

        The second one passed every check of the first, with client authentication,
        PKCE and key; so nobody can end a family by having seen a code.
        """
        session = self.get_session()
        session.execute(
            update(Consent)
            .where(Consent.id == credential.consent_id, Consent.revoked_at == 0)
            .values(revoked_at=self.server.now)
        )
        session.commit()
        deny_family(
            self.server.denials, session, credential.consent_id, now=self.server.now
        )
        log.warning(
            "used twice, all tokens revoked: client %s, consent %d",
            ascii(credential.consent.client_id if credential.consent else None),
            credential.consent_id,
        )


class AuthorizationCodeGrant(_Redeem, grants.AuthorizationCodeGrant):
    """Codes that live a minute and have one use."""

    def save_authorization_code(self, code: str, request: Any) -> None:
        """Store the hash of a code, with what the user allowed."""
        session = self.get_session()
        consent = Consent(
            username=request.user.username,
            client_id=request.client.client_id,
            scope=request.scope,
            audience=request.audience,
            given_at=self.server.now,
        )
        row = AuthorizationCode(
            code_hash=token_hash(code),
            consent=consent,
            redirect_uri=request.payload.redirect_uri,
            code_challenge=request.payload.data["code_challenge"],
            expires_at=self.server.now + CODE_LIFETIME,
            dpop_jkt=request.dpop_jkt,
        )
        session.add(row)
        session.commit()

    def query_authorization_code(
        self, code: str, client: Any
    ) -> AuthorizationCode | None:
        """Return a code of this client that is good, or was and has been used."""
        row = self.get_session().get(AuthorizationCode, token_hash(code))
        if row is None or row.consent.client_id != client.client_id:
            return None
        if row.consent.revoked_at:
            return None
        if self.server.now >= row.expires_at and not row.redeemed_at:
            return None
        return row

    def delete_authorization_code(self, authorization_code: AuthorizationCode) -> None:
        """Use up a code; the row stays, to know the code again."""
        self.redeem(authorization_code)


class RefreshTokenGrant(_Redeem, grants.RefreshTokenGrant):
    """Refresh tokens that are exchanged at each use (:rfc:`9700#section-4.14.2`).

    The FAPI profile turns that off; they are then good until they expire.
    """

    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token: str) -> Token | None:
        """Return the row of a refresh token that is good, or was and has been used."""
        query = select(Token).where(
            Token.refresh_token_hash == token_hash(refresh_token)
        )
        row: Token | None = self.get_session().scalar(query)
        if row is None or not row.is_refresh_token_good(self.server.now):
            return None
        return row

    def revoke_old_credential(self, refresh_token: Token) -> None:
        """Nothing is left to do: it was claimed before a new one was made, if any."""


class ClientCredentialsGrant(grants.ClientCredentialsGrant):
    """A client that acts for itself."""

    TOKEN_ENDPOINT_AUTH_METHODS = tuple(m for m in AUTH_METHODS if m != "none")
