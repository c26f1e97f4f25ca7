"""What the authorization server says about a token (RFC 7662)."""

from __future__ import annotations

from typing import Any

from authlib.oauth2.rfc6749 import InvalidRequestError
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from joserfc.jwk import ECKey
from sqlalchemy import select

from demo_server.authorization_server.server import Server
from demo_server.client_file import AUTH_METHODS
from demo_server.models import Token
from demo_server.signing_keys import ALGORITHM
from demo_server.token_hash import token_hash
from dpop_ext.authorization_server import (
    IntrospectionConfirmation,
    SignedIntrospection,
)
from dpop_ext.core.token_text import parse_token

_ANSWERED = (
    *("iss", "sub", "aud", "client_id", "scope", "iat", "exp", "jti", "cnf"),
    *("act", "may_act"),
)


class IntrospectedToken(dict[str, Any]):
    """The claims of one of our access tokens, and what became of it since.

    :param row: as it was stored.
    :param claims: of the JWT.
    :param good: neither expired nor revoked.
    """

    def __init__(self, row: Token, claims: dict[str, Any], *, good: bool) -> None:
        super().__init__(claims)
        self.row = row
        self._good = good

    def is_expired(self) -> bool:
        """Whether it is no longer good, for this or another reason."""
        return not self._good

    def is_revoked(self) -> bool:
        """Whether it is no longer good, for this or another reason."""
        return not self._good


class Introspection(
    SignedIntrospection, IntrospectionConfirmation, IntrospectionEndpoint
):
    """Answers a resource server, about access tokens for itself.

    :param server: whose tokens they are.
    """

    signing_alg = ALGORITHM
    CLIENT_AUTH_METHODS = tuple(m for m in AUTH_METHODS if m != "none")

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self.issuer = server.issuer
        self.clock = server.clock

    def get_signing_keys(self) -> ECKey:
        """Return the private key to sign with."""
        key: ECKey = self.server.signing_keys.signing_key()
        return key

    def check_params(self, request: Any, client: Any) -> None:
        """Demand a token. A hint that is not known is no reason to refuse."""
        if not request.form.get("token"):
            raise InvalidRequestError("The token parameter is missing.")

    def query_token(self, token_string: str, token_type_hint: str | None) -> Any:
        """Return one of our access tokens; a refresh token is none."""
        query = select(Token).where(Token.access_token_hash == token_hash(token_string))
        row = self.server.database.session.scalar(query)
        if row is None:
            return None
        # Found by its hash, so it is the JWT that we signed.
        jws = parse_token(token_string)
        good = row.is_access_token_good(self.server.now)
        return IntrospectedToken(row, jws.payload, good=good)

    def check_permission(self, token: IntrospectedToken, client: Any, _: Any) -> bool:
        """Whether *client* is the resource server that the token is for."""
        return token.row.audience in client.resource_server_audiences

    def introspect_token(self, token: IntrospectedToken) -> dict[str, Any]:
        """Return the claims; whether they count is decided by the caller."""
        answer = {name: token[name] for name in _ANSWERED if name in token}
        return {**answer, "token_type": "Bearer"}
