"""The authorization server of Authlib, on our database and with our errors."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.integrations.flask_oauth2.requests import (
    FlaskOAuth2Payload,
    FlaskOAuth2Request,
)
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import (
    InvalidGrantError,
    OAuth2Request,
    UnsupportedGrantTypeError,
    UnsupportedResponseTypeError,
)
from flask import Response
from flask import request as flask_request
from joserfc.jwk import Key
from sqlalchemy import select

from demo_server import demo_data
from demo_server.authorization_server.denials import deny_token, record_exchange
from demo_server.authorization_server.sweep import Sweep
from demo_server.database import Database
from demo_server.decryption_keys import KEY_FILE, open_keys
from demo_server.models import Client, Token
from demo_server.settings import Settings
from demo_server.signing_keys import ALGORITHM, SIGNING_KEYS_FILE, SigningKeys
from demo_server.token_hash import token_hash
from dpop_ext.authorization_server import AccessTokenGenerator, dpop_columns
from dpop_ext.core.jose import parse_compact_jws
from dpop_ext.core.key import thumbprint
from dpop_ext.integrations.sqla_denials import SQLDenials

#: How long a refresh token can be exchanged, in seconds.
REFRESH_TOKEN_LIFETIME = 14 * 86_400

AUTHORIZATION_PATH = "/authorize"

_LOGGED_HERE = ("protocol.introspect", "protocol.revoke")

log = logging.getLogger(__name__)


class TokenGenerator(AccessTokenGenerator):
    """Makes JWTs that name who may act with them."""

    def get_extra_claims(
        self, client: Client, grant_type: str, user: Any, scope: str
    ) -> dict[str, Any]:
        """Return ``may_act`` of the registration (:rfc:`8693#section-4.4`)."""
        named = client.client_metadata.get("may_act")
        return {} if named is None else {"may_act": named}


class Server(AuthorizationServer):
    """What the grants, endpoints and pages share.

    :param settings: what the operator chose.
    :param database: clients, codes, tokens.
    :param clock: seconds since the epoch.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.database = database
        self.clock = clock
        self.issuer = settings.issuer_url
        #: Tells resource servers what was revoked; None if they get nothing from us.
        self.denials: SQLDenials | None = None
        if settings.derives_keys:
            self.denials = SQLDenials(database.engine, issuer=self.issuer, clock=clock)
        self._sweep = Sweep(database.engine)
        self.scopes_supported = list(demo_data.SCOPES)
        self.signing_keys = SigningKeys(
            settings.keys_directory / SIGNING_KEYS_FILE, clock=clock
        )
        self.decryption_keys: Callable[[], Sequence[Key]] = tuple
        if settings.encapsulates_keys:
            self.decryption_keys = open_keys(
                settings.keys_directory / KEY_FILE, clock=clock
            )
        self.register_token_generator(
            "default",
            TokenGenerator(
                self.issuer,
                self.signing_keys.signing_key,
                alg=ALGORITHM,
                refresh_token_generator=lambda **_: secrets.token_urlsafe(32),
                expires_generator=settings.access_token_lifetime,
                clock=clock,
            ),
        )

    def public_jwks(self) -> dict[str, list[dict[str, Any]]]:
        """Return the keys that sign, and the one that others may encrypt for.

        :raises PrivateFileError: a file of keys cannot be read.
        """
        jwks = self.signing_keys.public_jwks()
        for key in self.decryption_keys()[:1]:
            jwks["keys"].append(
                {**key.as_dict(private=False), "use": "enc", "kid": thumbprint(key)}
            )
        return jwks

    @property
    def now(self) -> int:
        """Seconds since the epoch."""
        return int(self.clock())

    def query_client(self, client_id: str) -> Client | None:
        """Return the client, unless it is not registered any more."""
        if "\0" in client_id:  # PostgreSQL refuses to look for that
            return None
        query = select(Client).where(Client.client_id == client_id, Client.enabled)
        return self.database.session.scalar(query)

    def save_token(self, token: dict[str, Any], request: Any) -> None:
        """Store hashes of what was issued, with the keys that it is bound to."""
        grant = request.authorization_code or request.refresh_token
        # What came of another token belongs to the same consent.
        exchanged = getattr(request, "exchanged_row", None)
        origin = grant or exchanged
        refresh_token = token.get("refresh_token")
        row = Token(
            access_token_hash=token_hash(token["access_token"]),
            token_id=_token_id(token["access_token"]),
            refresh_token_hash=refresh_token and token_hash(refresh_token),
            client_id=request.client.client_id,
            consent_id=origin.consent_id if origin else None,
            exchanged_id=exchanged.id if exchanged else None,
            audience=request.audience,
            scope=token.get("scope", ""),
            issued_at=self.now,
            access_token_expires_at=self.now + token["expires_in"],
            refresh_token_expires_at=self.now + REFRESH_TOKEN_LIFETIME,
            **dpop_columns(request),
        )
        self.database.session.add(row)
        self.database.session.commit()
        record_exchange(self.denials, row, subject=exchanged)
        # What it was issued for may have been revoked meanwhile.
        for known in filter(None, (row.consent, exchanged)):
            self.database.session.refresh(known)
        is_good = row.is_access_token_good(self.now)
        # Give the connection back: a denial has one of its own.
        self.database.session.commit()
        if not is_good:
            deny_token(self.denials, row)
        self._sweep.now_and_then(self.now)

    def create_oauth2_request(self, request: Any) -> OAuth2Request:
        """Take parameters from where they belong, and from nowhere else.

        Authlib reads query and form as one. But a code or a secret in the query is in
        every log on the way, and a consent form must not add to what was consented to.
        """
        oauth2_request = FlaskOAuth2Request(flask_request)
        at_authorization = flask_request.path == AUTHORIZATION_PATH
        place = _Query if at_authorization else _Form
        oauth2_request.payload = place(flask_request)
        return oauth2_request

    def handle_error_response(self, request: Any, error: OAuth2Error) -> Response:
        """Answer with an error that repeats nothing of the request."""
        # The extension for DPoP logs what the grants refuse.
        if request is not None and flask_request.endpoint in _LOGGED_HERE:
            log_refusal(error.error, request)
        response: Response = super().handle_error_response(request, constant(error))
        return response


def log_refusal(reason: str, request: Any = None) -> None:
    """Log one line about a refusal: why, whose, and where."""
    client = getattr(request, "client", None)
    client_id = ascii(client.client_id) if client is not None else "-"
    endpoint = flask_request.endpoint
    log.info("refused: %s, client %s, %s endpoint", reason, client_id, endpoint)


def _token_id(access_token: str) -> str | None:
    jws = parse_compact_jws(access_token, max_length=len(access_token))
    token_id: str | None = jws.payload.get("jti")
    return token_id


class _Query(FlaskOAuth2Payload):
    # Read no earlier than Authlib asks: the extension refuses an odd query before.
    @property
    def data(self) -> Any:
        return self._request.args


class _Form(FlaskOAuth2Payload):
    @property
    def data(self) -> Any:
        return self._request.form


def constant(error: OAuth2Error) -> OAuth2Error:
    """Return *error* with a description, and without words of the caller in it."""
    if isinstance(error, UnsupportedResponseTypeError):
        description = "The only response type is code."
    elif isinstance(error, UnsupportedGrantTypeError):
        description = "The grant type is not supported."
    elif isinstance(error, InvalidGrantError) and not error.description:
        description = "The grant or token is not good, or is of another client."
    else:
        return error
    return OAuth2Error(
        error=error.error,
        description=description,
        state=error.state,
        redirect_uri=error.redirect_uri,
    )
