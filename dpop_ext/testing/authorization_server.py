"""An authorization server in memory, of the real parts (:rfc:`9449#section-5`)."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer as FlaskServer
from authlib.oauth2.rfc6749 import grants
from flask import Flask, Response, jsonify
from joserfc.jwk import ECKey

from dpop_ext.authorization_server import (
    AccessTokenGenerator,
    DPoP,
    S256CodeChallenge,
    SymmetricKeys,
    dpop_columns,
)
from dpop_ext.core.nonce import NonceIssuer
from dpop_ext.stores.memory import MemoryKeyring, MemoryReplayStore
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.secret_ring import AudienceSecret, SecretRing
from dpop_ext.testing.rows import MemoryClient, MemoryCode, MemoryToken, MemoryUser
from dpop_ext.verifier import ProofVerifier

#: Seconds that an access token lives.
LIFETIME = 300
#: What symmetric keys are for, whatever port the resource server has.
AUDIENCE = "urn:dpop-ext:test"


class AuthorizationServer:
    """Issues bound access tokens (:rfc:`9068`) to two clients, or to yours.

    ``client`` has the secret ``secret``; ``app`` is a public client. The one user
    consents to everything without being asked.

    :param nonces: demand nonces in proofs.
    :param symmetric: give symmetric keys to clients that ask for the resource
        :data:`AUDIENCE`.
    :param clients: others in place of the two.
    :param clock: seconds since the epoch.
    """

    def __init__(
        self,
        *,
        nonces: bool = False,
        symmetric: bool = False,
        clients: tuple[MemoryClient, ...] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.url = ""
        self.clock = clock
        self.clients = clients or (
            MemoryClient(
                client_id="client", client_secret="secret", audiences=(AUDIENCE,)
            ),
            MemoryClient(client_id="app", audiences=(AUDIENCE,)),
        )
        self.codes: dict[str, MemoryCode] = {}
        self.refresh_tokens: dict[str, MemoryToken] = {}
        self._key = ECKey.generate_key("P-256", {"kid": "test"})
        self._nonces = NonceIssuer([secrets.token_bytes(32)]) if nonces else None
        self._secret = secrets.token_bytes(32) if symmetric else None

    @property
    def jwks(self) -> dict[str, Any]:
        """The public keys, as a JWK Set."""
        return {"keys": [self._key.as_dict(private=False)]}

    @property
    def keyring(self) -> MemoryKeyring | None:
        """What a resource server derives symmetric keys from; None without them."""
        return MemoryKeyring(self._ring()) if self._secret is not None else None

    def make_app(self) -> Flask:
        """Return the application."""
        app = Flask("authorization-server")
        app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = True
        server = FlaskServer(
            app, query_client=self._find_client, save_token=self._save_token
        )
        server.register_grant(grants.ClientCredentialsGrant)
        server.register_grant(self._refresh_grant())
        server.register_grant(self._code_grant(), [S256CodeChallenge(required=True)])
        server.register_token_generator("default", self._token_generator())
        verifier = ProofVerifier(
            MemoryReplayStore(), nonces=self._nonces, clock=self.clock
        )
        symmetric = None
        if self._secret is not None:
            symmetric = SymmetricKeys(self, issuer=self.url)
        dpop = DPoP(verifier, symmetric=symmetric, public_url=self.url)
        server.register_extension(dpop)

        @app.get("/authorize")
        def authorize() -> Any:
            user = MemoryUser()
            grant = server.get_consent_grant(end_user=user)
            return server.create_authorization_response(grant_user=user, grant=grant)

        @app.post("/token")
        def token() -> Any:
            return server.create_token_response()

        @app.get("/jwks")
        def jwks() -> Response:
            return jsonify(self.jwks)

        @app.get("/.well-known/oauth-authorization-server")
        def metadata() -> Response:
            return jsonify(
                issuer=self.url,
                authorization_endpoint=f"{self.url}/authorize",
                token_endpoint=f"{self.url}/token",
                jwks_uri=f"{self.url}/jwks",
                response_types_supported=["code"],
                code_challenge_methods_supported=["S256"],
                **dpop.get_metadata(),
            )

        return app

    def load(self, audience: str) -> SecretRing | None:
        """Return the derivation secret, for :class:`SymmetricKeys`."""
        return self._ring() if audience == AUDIENCE else None

    def _ring(self) -> SecretRing:
        active = AudienceSecret(
            version=1,
            state="active",
            not_before=0,
            expires_at=2**40,
            secret=SecretBytes(self._secret or b""),
        )
        return SecretRing([active], issuer=self.url, audience=AUDIENCE)

    def _token_generator(self) -> AccessTokenGenerator:
        return AccessTokenGenerator(
            self.url,
            lambda: self._key,
            audience=AUDIENCE,
            refresh_token_generator=_random_token,
            expires_generator=LIFETIME,
            clock=self.clock,
        )

    def _find_client(self, client_id: str) -> MemoryClient | None:
        return next((c for c in self.clients if c.client_id == client_id), None)

    def _save_token(self, token: dict[str, Any], oauth_request: Any) -> None:
        columns = dpop_columns(oauth_request)
        refresh_token = token.get("refresh_token")
        if refresh_token is not None:
            self.refresh_tokens[refresh_token] = MemoryToken(
                refresh_token=refresh_token,
                client_id=oauth_request.client.client_id,
                scope=token.get("scope", ""),
                refresh_dpop_jkt=columns["refresh_dpop_jkt"],
            )

    def _code_grant(server: AuthorizationServer) -> type[grants.AuthorizationCodeGrant]:  # noqa: N805 - self is the grant below
        class CodeGrant(grants.AuthorizationCodeGrant):
            TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic", "none")

            def save_authorization_code(self, code: str, request: Any) -> None:
                data = request.payload.data
                server.codes[code] = MemoryCode(
                    code=code,
                    client_id=request.client.client_id,
                    redirect_uri=request.payload.redirect_uri,
                    scope=request.scope or "",
                    code_challenge=data.get("code_challenge"),
                    code_challenge_method=data.get("code_challenge_method"),
                    dpop_jkt=request.dpop_jkt,
                    resource=data.get("resource"),
                )

            def query_authorization_code(self, code: str, client: Any) -> Any:
                found = server.codes.get(code)
                return found if found and found.client_id == client.client_id else None

            def delete_authorization_code(self, code: MemoryCode) -> None:
                server.codes.pop(code.code, None)

            def authenticate_user(self, code: MemoryCode) -> MemoryUser:
                return MemoryUser()

        return CodeGrant

    def _refresh_grant(server: AuthorizationServer) -> type[grants.RefreshTokenGrant]:  # noqa: N805
        class RefreshGrant(grants.RefreshTokenGrant):
            TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic", "none")
            INCLUDE_NEW_REFRESH_TOKEN = True

            def authenticate_refresh_token(self, refresh_token: str) -> Any:
                return server.refresh_tokens.get(refresh_token)

            def authenticate_user(self, refresh_token: MemoryToken) -> MemoryUser:
                return MemoryUser()

            def revoke_old_credential(self, refresh_token: MemoryToken) -> None:
                server.refresh_tokens.pop(refresh_token.refresh_token, None)

        return RefreshGrant


def _random_token(*_args: Any, **_kwargs: Any) -> str:
    return secrets.token_urlsafe(32)
