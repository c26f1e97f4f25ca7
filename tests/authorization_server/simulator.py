"""An authorization server in memory: Flask, Authlib, seven grants, one clock.

Everything that an application has to write is here, the way that it would be written
over a database. What a grant uses up is looked for in ``codes``, ``tokens``,
``device_credentials`` and ``used_assertions``.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
from dataclasses import dataclass
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import (
    AuthorizationCodeMixin,
    ClientMixin,
    InvalidGrantError,
    OAuth2Error,
    TokenMixin,
    grants,
)
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7523 import JWTBearerGrant
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from authlib.oauth2.rfc8628 import DEVICE_CODE_GRANT_TYPE, DeviceCodeGrant
from flask import Flask, Response, jsonify, request
from joserfc import jwt
from joserfc.jwk import ECKey, Key
from werkzeug.test import TestResponse

from dpop_ext.authorization_server import (
    AccessTokenGenerator,
    DPoP,
    IntrospectionConfirmation,
    TokenExchangeGrant,
    dpop_columns,
)
from dpop_ext.core.confirmation import AccessToken, Confirmation
from dpop_ext.core.jws_signature import sign_compact
from dpop_ext.core.proof_making import make_proof
from dpop_ext.stores.memory import MemoryReplayStore
from dpop_ext.verifier import ProofVerifier

ISSUER = "https://as.example"
TOKEN_URL = f"{ISSUER}/token"
AUDIENCE = "https://api.example"
REDIRECT_URI = "https://client.example/cb"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
GRANTS = (
    "authorization_code",
    "refresh_token",
    "client_credentials",
    "password",
    DEVICE_CODE_GRANT_TYPE,
    JWT_BEARER,
    TOKEN_EXCHANGE,
)
#: Those that a client which does not authenticate can use.
PUBLIC_GRANTS = (
    "authorization_code",
    "refresh_token",
    "password",
    DEVICE_CODE_GRANT_TYPE,
)
METHODS = ["client_secret_basic", "client_secret_post", "none"]
VERIFIER = "v" * 43


class Client(ClientMixin):
    """A registered client."""

    def __init__(self, client_id: str, secret: str | None, **metadata: Any) -> None:
        self.client_id = client_id
        self.secret = secret
        self.client_metadata: dict[str, Any] = {"audiences": [AUDIENCE]} | metadata

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> str:
        return REDIRECT_URI

    def get_allowed_scope(self, scope: str | None) -> str:
        return scope or ""

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri == REDIRECT_URI

    def check_client_secret(self, client_secret: str) -> bool:
        return bool(self.secret) and client_secret == self.secret

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        is_public = self.secret is None
        return is_public == (method == "none")

    def check_response_type(self, response_type: str) -> bool:
        return True

    def check_grant_type(self, grant_type: str) -> bool:
        return True


@dataclass
class User:
    name: str = "alice"

    def get_user_id(self) -> str:
        return self.name


@dataclass
class Code(AuthorizationCodeMixin):
    code: str
    client_id: str
    scope: str = ""
    dpop_jkt: str | None = None
    audience: str | None = None
    code_challenge: str | None = VERIFIER
    code_challenge_method: str = "plain"

    def get_redirect_uri(self) -> str:
        return REDIRECT_URI

    def get_scope(self) -> str:
        return self.scope


@dataclass
class Token(TokenMixin):
    client_id: str
    token_type: str
    access_token: str
    expires_in: int | None = 0
    refresh_token: str | None = None
    scope: str = ""
    dpop_jkt: str | None = None
    refresh_dpop_jkt: str | None = None
    dpop_dsk: str | None = None
    audience: str | None = None
    issued_at: int = 0
    revoked: bool = False
    sub: str = "alice"
    act: dict[str, Any] | None = None
    may_act: dict[str, Any] | None = None

    def check_client(self, client: Any) -> bool:
        return bool(self.client_id == client.get_client_id())

    def get_scope(self) -> str:
        return self.scope

    def get_expires_in(self) -> int | None:
        return self.expires_in

    def is_expired(self) -> bool:
        return False

    def is_revoked(self) -> bool:
        return self.revoked


@dataclass
class DeviceCredential:
    device_code: str
    client_id: str

    def get_client_id(self) -> str:
        return self.client_id

    def get_scope(self) -> str:
        return ""

    def get_user_code(self) -> str:
        return "user-code"

    def is_expired(self) -> bool:
        return False


class Simulator:
    """The server, its data, and a client that talks to it.

    :param way: ``extension`` registers with the server, ``grant`` with each grant,
        ``both`` does both, and ``profile`` leaves it to another extension.
    :param form: ``opaque`` or ``jwt`` access tokens.
    """

    def __init__(
        self,
        clock: Any,
        *,
        way: str = "extension",
        form: str = "opaque",
        rotate: bool = True,
        lifetime: int = 300,
        dpop_class: type[DPoP] = DPoP,
        replay_store: Any = None,
        generator: Any = None,
        public_url: str | None = ISSUER,
        symmetric: Any = None,
        extra_grants: Any = (),
        **verifier_options: Any,
    ) -> None:
        self.clock = clock
        self.form = form
        self.codes: dict[str, Code] = {}
        self.tokens: list[Token] = []
        self.device_credentials: dict[str, DeviceCredential] = {}
        self.used_assertions: set[str] = set()
        self.lock = threading.Lock()
        self.clients = {
            "confidential": Client("confidential", "secret"),
            "public": Client("public", None),
            "rs": Client("rs", "secret", resource_server_audiences=[AUDIENCE]),
            "other-rs": Client("other-rs", "secret"),
        }
        self.assertion_key = ECKey.generate_key("P-256")
        self.signing_key = ECKey.generate_key("P-256", {"kid": "k1"})
        self.verifier = ProofVerifier(
            MemoryReplayStore() if replay_store is None else replay_store,
            clock=clock,
            **verifier_options,
        )
        self.dpop = dpop_class(
            self.verifier, symmetric=symmetric, public_url=public_url
        )
        self.app = Flask(__name__)
        self.http = self.app.test_client()
        self.server = AuthorizationServer(
            self.app, query_client=self.clients.get, save_token=self._save_token
        )
        self.server.register_token_generator(
            "default", generator or self._generator(form, lifetime)
        )
        extensions = [self.dpop] if way in ("grant", "both") else []
        for grant in _grants(self, rotate=rotate):
            more = [CodeChallenge()] if hasattr(grant, "RESPONSE_TYPES") else []
            self.server.register_grant(grant, [*more, *extensions])
        for grant in extra_grants:
            self.server.register_grant(grant, extensions)
        if way in ("extension", "both"):
            self.server.register_extension(self.dpop)
        _endpoints(self)
        _routes(self)

    # --- what the client does

    def token(
        self,
        form: dict[str, Any],
        proof: str | None = None,
        *,
        client: str = "confidential",
        headers: Any = (),
        url: str = TOKEN_URL,
        environ: dict[str, str] | None = None,
    ) -> TestResponse:
        """Send a token request as *client*."""
        fields = [*headers]
        if proof is not None:
            fields.append(("DPoP", proof))
        if self.clients[client].secret is None:
            form = {"client_id": client} | form
        elif form.get("grant_type") != JWT_BEARER:
            fields.append(("Authorization", basic(client, "secret")))
        return self.http.post(url, data=form, headers=fields, environ_overrides=environ)

    def grant(self, grant_type: str, client: str = "confidential") -> dict[str, Any]:
        """Return the form of a token request, and make what it refers to."""
        form: dict[str, Any] = {"grant_type": grant_type}
        if grant_type == "authorization_code":
            code = self.add_code(client)
            form |= {"code": code.code, "redirect_uri": REDIRECT_URI}
            form |= {"code_verifier": VERIFIER}
        elif grant_type == "refresh_token":
            form["refresh_token"] = self.add_token(client).refresh_token
        elif grant_type == "password":
            form |= {"username": "alice", "password": "wonderland"}
        elif grant_type == DEVICE_CODE_GRANT_TYPE:
            credential = DeviceCredential(secrets.token_hex(8), client)
            self.device_credentials[credential.device_code] = credential
            form["device_code"] = credential.device_code
        elif grant_type == JWT_BEARER:
            form["assertion"] = self.assertion(client)
        elif grant_type == TOKEN_EXCHANGE:
            form |= self.subject(self.add_token(client))
        return form

    def subject(self, token: Token, name: str = "subject") -> dict[str, str]:
        """Return the parameters that offer *token* for exchange."""
        return {
            f"{name}_token": token.access_token,
            f"{name}_token_type": ACCESS_TOKEN,
        }

    def add_code(self, client: str = "confidential", **values: Any) -> Code:
        code = Code(secrets.token_hex(8), client, **values)
        self.codes[code.code] = code
        return code

    def add_token(self, client: str = "confidential", **values: Any) -> Token:
        """A token that was issued earlier, without a proof if not said otherwise."""
        token = Token(
            client_id=client,
            token_type="Bearer",
            access_token=secrets.token_hex(8),
            refresh_token=secrets.token_hex(8),
            issued_at=self.clock.now,
            expires_in=600,
        )
        for name, value in values.items():
            setattr(token, name, value)
        self.tokens.append(token)
        return token

    def assertion(self, client: str) -> str:
        now = self.clock.now
        claims = {
            "iss": client,
            "sub": "alice",
            "aud": ISSUER,
            # Authlib reads the time of the day, so this one does not follow our clock.
            "exp": 4_000_000_000,
            "iat": now,
            "jti": secrets.token_hex(8),
        }
        return jwt.encode({"alg": "ES256"}, claims, self.assertion_key)

    def is_unused(self, form: dict[str, Any]) -> bool:
        """Whether what *form* refers to can still be redeemed."""
        if "code" in form:
            return form["code"] in self.codes
        if "refresh_token" in form:
            found = self.find_refresh_token(form["refresh_token"])
            return found is not None
        if "device_code" in form:
            return form["device_code"] in self.device_credentials
        if "assertion" in form:
            return form["assertion"] not in self.used_assertions
        return True

    def find_refresh_token(self, value: str) -> Token | None:
        for token in self.tokens:
            if token.refresh_token == value and not token.revoked:
                return token
        return None

    def find_access_token(self, value: str) -> AccessToken | None:
        """Return the token as it has to be for an exchange."""
        for token in self.tokens:
            if token.access_token == value and not token.revoked:
                jkt, lifetime = token.dpop_jkt, token.expires_in
                claims = {"sub": token.sub, "act": token.act, "may_act": token.may_act}
                return AccessToken(
                    issuer=ISSUER,
                    audience=(token.audience,) if token.audience else (),
                    client_id=token.client_id,
                    expires_at=(
                        None if lifetime is None else token.issued_at + lifetime
                    ),
                    token_id=None,
                    confirmation=Confirmation(jkt=jkt, dsk=None) if jkt else None,
                    scope=token.scope,
                    claims={name: value for name, value in claims.items() if value},
                )
        return None

    def introspect(self, token: str, client: str = "rs") -> Any:
        response = self.http.post(
            f"{ISSUER}/introspect",
            data={"token": token},
            headers=[("Authorization", basic(client, "secret"))],
        )
        assert response.status_code == 200
        return response.get_json()

    def claims(self, response: TestResponse) -> dict[str, Any]:
        """What a resource server learns about the access token of a response."""
        access_token = response.get_json()["access_token"]
        if self.form == "opaque":
            claims: dict[str, Any] = self.introspect(access_token)
            return claims
        decoded = jwt.decode(access_token, self.signing_key, algorithms=["ES256"])
        return decoded.claims

    # --- what the application does

    def _generator(self, form: str, lifetime: int) -> BearerTokenGenerator:
        def random_token(**_: Any) -> str:
            return secrets.token_urlsafe(24)

        if form == "opaque":
            return BearerTokenGenerator(random_token, random_token, lifetime)
        return AccessTokenGenerator(
            ISSUER,
            lambda: self.signing_key,
            refresh_token_generator=random_token,
            expires_generator=lifetime,
            clock=self.clock,
        )

    def _save_token(self, token: dict[str, Any], oauth2_request: Any) -> None:
        exchange = getattr(oauth2_request, "token_exchange", None)
        self.tokens.append(
            Token(
                client_id=oauth2_request.client.client_id,
                issued_at=self.clock.now,
                audience=getattr(oauth2_request, "audience", None),
                act=exchange.act if exchange else None,
                **(dpop_columns(oauth2_request) | token),
            )
        )


def _grants(  # noqa: C901 (seven grants, each with the few methods that it needs)
    sim: Simulator, *, rotate: bool
) -> list[Any]:
    class AuthorizationCodeGrant(grants.AuthorizationCodeGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = METHODS

        def save_authorization_code(self, code: str, oauth2_request: Any) -> None:
            sim.codes[code] = Code(
                code,
                oauth2_request.client.client_id,
                dpop_jkt=oauth2_request.dpop_jkt,
                audience=oauth2_request.audience,
                code_challenge=oauth2_request.payload.data.get("code_challenge"),
            )

        def query_authorization_code(self, code: str, client: Any) -> Code | None:
            found = sim.codes.get(code)
            return found if found and found.client_id == client.client_id else None

        def delete_authorization_code(self, authorization_code: Code) -> None:
            sim.codes.pop(authorization_code.code, None)

        def save_token(self, token: Any) -> None:
            # Trap: Authlib reads, saves, then deletes, so two requests at once would
            # both succeed. The one that takes the code out gets the token.
            if sim.codes.pop(self.request.authorization_code.code, None) is None:
                raise InvalidGrantError
            super().save_token(token)

        def authenticate_user(self, authorization_code: Code) -> User:
            return User()

    class RefreshTokenGrant(grants.RefreshTokenGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = METHODS
        INCLUDE_NEW_REFRESH_TOKEN = rotate

        def authenticate_refresh_token(self, refresh_token: str) -> Token | None:
            return sim.find_refresh_token(refresh_token)

        def authenticate_user(self, refresh_token: Token) -> User:
            return User()

        def save_token(self, token: Any) -> None:
            old = self.request.refresh_token
            with sim.lock:
                if old.revoked:
                    raise InvalidGrantError
                old.revoked = rotate
            super().save_token(token)

        def revoke_old_credential(self, refresh_token: Token) -> None:
            pass

    class PasswordGrant(grants.ResourceOwnerPasswordCredentialsGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = METHODS

        def authenticate_user(self, username: str, password: str) -> User | None:
            return User() if (username, password) == ("alice", "wonderland") else None

    class DeviceGrant(DeviceCodeGrant):
        def query_device_credential(self, device_code: str) -> Any:
            return sim.device_credentials.get(device_code)

        def query_user_grant(self, user_code: str) -> tuple[User, bool]:
            return User(), True

        def should_slow_down(self, credential: Any) -> bool:
            return False

        def save_token(self, token: Any) -> None:
            device_code = self.request.credential.device_code
            if sim.device_credentials.pop(device_code, None) is None:
                raise InvalidGrantError
            super().save_token(token)

    class AssertionGrant(JWTBearerGrant):
        def resolve_issuer_client(self, issuer: str) -> Client | None:
            return sim.clients.get(issuer)

        def resolve_client_public_key(self, client: Any) -> Key:
            return sim.assertion_key

        def process_assertion_claims(self, assertion: str) -> Any:
            claims = super().process_assertion_claims(assertion)
            if assertion in sim.used_assertions:
                raise InvalidGrantError("The assertion has been used before.")
            sim.used_assertions.add(assertion)
            return claims

        def authenticate_user(self, subject: str) -> User:
            return User(subject)

        def get_audiences(self) -> list[str]:
            return [ISSUER]

        def has_granted_permission(self, client: Any, user: User) -> bool:
            return True

    class ExchangeGrant(TokenExchangeGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = METHODS
        issuer = ISSUER
        clock = sim.clock

        def authenticate_subject_token(
            self, token: str, token_type: str
        ) -> AccessToken | None:
            return sim.find_access_token(token)

        def authenticate_actor_token(
            self, token: str, token_type: str
        ) -> AccessToken | None:
            return sim.find_access_token(token)

        def authenticate_user(self, subject: AccessToken) -> User | None:
            name = subject.claims["sub"]
            return None if name in sim.clients else User(name)

    return [
        AuthorizationCodeGrant,
        RefreshTokenGrant,
        grants.ClientCredentialsGrant,
        PasswordGrant,
        DeviceGrant,
        AssertionGrant,
        ExchangeGrant,
    ]


def _endpoints(sim: Simulator) -> None:
    class Introspection(IntrospectionConfirmation, IntrospectionEndpoint):
        issuer = ISSUER

        def query_token(self, token_string: str, token_type_hint: Any) -> Token | None:
            for token in sim.tokens:
                if token.access_token == token_string:
                    return token
            return None

        def check_permission(self, token: Any, client: Any, request: Any) -> bool:
            return True

        def introspect_token(self, token: Token) -> dict[str, Any]:
            return {
                "token_type": token.token_type,
                "client_id": token.client_id,
                "iss": ISSUER,
                "aud": token.audience,
                "exp": token.issued_at + (token.expires_in or 0),
                **({"act": token.act} if token.act else {}),
            }

    class Revocation(RevocationEndpoint):
        def query_token(self, token_string: str, token_type_hint: Any) -> Token | None:
            for token in sim.tokens:
                if token_string in (token.access_token, token.refresh_token):
                    return token
            return None

        def revoke_token(self, token: Token, request: Any) -> None:
            token.revoked = True

    sim.server.register_endpoint(Introspection)
    sim.server.register_endpoint(Revocation)


def _routes(sim: Simulator) -> None:
    @sim.app.post("/token")
    @sim.app.post("/tenant/<path:name>/token")
    def token(name: str = "") -> Response:
        return sim.server.create_token_response()  # type: ignore[no-any-return]

    @sim.app.post("/introspect")
    def introspect() -> Response:
        return sim.server.create_endpoint_response("introspection")  # type: ignore[no-any-return]

    @sim.app.post("/revoke")
    def revoke() -> Response:
        return sim.server.create_endpoint_response("revocation")  # type: ignore[no-any-return]

    @sim.app.route("/authorize", methods=["GET", "POST"])
    def authorize() -> Any:
        # Login and consent happen between the two: the request is read again.
        try:
            grant = sim.server.get_consent_grant(end_user=User())
        except OAuth2Error as error:
            return sim.server.handle_error_response(None, error)
        if request.method == "GET":
            return jsonify(consent=True)
        user = User() if request.form.get("confirm") else None
        return sim.server.create_authorization_response(grant_user=user, grant=grant)


@dataclass
class Prover:
    """A client's key and the proofs made with it."""

    key: Key
    clock: Any
    algorithm: str = "ES256"

    @property
    def jkt(self) -> str:
        return self.key.thumbprint()

    def __call__(self, **changes: Any) -> str:
        """A new proof for the token endpoint; *changes* replace what it says."""
        values: dict[str, Any] = {
            "algorithm": self.algorithm,
            "method": "POST",
            "url": TOKEN_URL,
            "now": self.clock.now,
        }
        return make_proof(self.key, **(values | changes))

    def raw(self, **claims: Any) -> str:
        """A proof with exactly these claims in place of the usual ones."""
        usual = {"jti": secrets.token_hex(8), "iat": self.clock.now}
        usual |= {"htm": "POST", "htu": TOKEN_URL}
        jwk = self.key.as_dict(private=False)
        header = {"typ": "dpop+jwt", "alg": self.algorithm, "jwk": jwk}
        return sign_compact(header, usual | claims, self.key)


def basic(client: str, secret: str) -> str:
    credentials = base64.b64encode(f"{client}:{secret}".encode()).decode()
    return f"Basic {credentials}"


def dsk_column(token: Token) -> dict[str, Any]:
    assert token.dpop_dsk is not None
    column: dict[str, Any] = json.loads(token.dpop_dsk)
    return column
