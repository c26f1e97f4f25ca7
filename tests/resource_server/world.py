"""An issuer, a client and a resource server, with one clock and no network."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import unquote

from authlib.integrations.flask_oauth2 import current_token
from authlib.oauth2.rfc6750 import BearerTokenValidator, InsufficientScopeError
from django.http import JsonResponse
from fastapi import FastAPI, Security
from fastapi.responses import JSONResponse
from flask import Flask, jsonify
from joserfc.jwk import ECKey
from werkzeug.test import run_wsgi_app

from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.challenge import Challenge, parse_challenges
from dpop_ext.core.confirmation import AccessToken
from dpop_ext.core.jws_signature import sign_compact
from dpop_ext.core.nonce import NonceIssuer
from dpop_ext.core.proof_making import make_proof
from dpop_ext.integrations import asgi, asgi_types
from dpop_ext.integrations.client_certificate import ClientCertificate
from dpop_ext.integrations.django_oauth2 import DPoPProtector
from dpop_ext.integrations.fastapi_security import DPoPSecurity
from dpop_ext.integrations.flask_oauth2 import (
    ResourceProtector,
    current_observation,
    current_proof,
)
from dpop_ext.integrations.wsgi import DPoPMiddleware
from dpop_ext.integrations.wsgi_answers import SignedAnswers
from dpop_ext.resource_server import AccessTokenValidator, DPoPTokenValidator
from dpop_ext.resource_server.gate import VerifiedRequest
from dpop_ext.resource_server.observation import ObservedRequest
from dpop_ext.resource_server.observer import Observer
from dpop_ext.resource_server.route_policy import ANY_PROOF, RoutePolicy
from dpop_ext.stores.memory import MemoryKeyring, MemoryReplayStore
from dpop_ext.stores.quota import KeyQuota
from dpop_ext.symmetric.derivation import symmetric_key
from dpop_ext.symmetric.encapsulation import KeyDecryptor, KeyRecipient, encapsulate_key
from dpop_ext.symmetric.proof import make_symmetric_proof
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.secret_ring import AudienceSecret, SecretRing
from dpop_ext.tickets import Tickets
from dpop_ext.verifier import ProofVerifier
from tests.resource_server.django_project import django_application
from tests.resource_server.under_wsgi import under_wsgi

ISSUER = "https://as.example.com"
AUDIENCE = "https://api.example.com"
CLIENT = "client-1"
R = bytes(range(100, 132))
VERSION = 7
#: What :meth:`World.app` makes: the same decision, in each framework.
ADAPTERS = ("flask", "wsgi", "asgi", "fastapi", "django")
#: The key of symmetric proofs with tokens that bring it along.
ENCAPSULATED = SecretBytes(bytes(range(60, 92)))

Field = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Response:
    """An answer, with its header fields as they were sent."""

    status: int
    headers: list[Field]
    body: bytes

    def values(self, name: str) -> list[str]:
        return [v for n, v in self.headers if n.lower() == name.lower()]

    def only(self, name: str) -> str:
        (value,) = self.values(name)
        return value

    @property
    def challenges(self) -> dict[str, Challenge]:
        found = parse_challenges(self.values("WWW-Authenticate"))
        by_scheme = {challenge.scheme: challenge for challenge in found}
        assert len(by_scheme) == len(found)
        return by_scheme

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What goes over the wire, before a server makes an environ of it."""

    headers: list[Field]
    method: str = "GET"
    target: str = "/accounts"
    host: str = "api.example.com"
    scheme: str = "https"
    body: bytes = b""

    def environ(self, **changes: Any) -> dict[str, Any]:
        """Return the environ that gunicorn makes of it."""
        path, _, query = self.target.partition("?")
        if "://" in path:
            path = "/" + path.partition("://")[2].partition("/")[2]
        environ: dict[str, Any] = {
            "REQUEST_METHOD": self.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote(path, encoding="latin-1"),
            "QUERY_STRING": query,
            "RAW_URI": self.target,
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "8000",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": self.host,
            "wsgi.url_scheme": self.scheme,
            "wsgi.version": (1, 0),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "wsgi.errors": None,
            "wsgi.input": Body(self.body),
        }
        if self.body:
            environ["CONTENT_LENGTH"] = str(len(self.body))
        for name, value in self.headers:
            key = name.upper().replace("-", "_")
            if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
                key = "HTTP_" + key
            environ[key] = f"{environ[key]},{value}" if key in environ else value
        return environ | changes


class Body:
    """The input of a WSGI server: it can be read once."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def read(self, size: int = -1) -> bytes:
        size = len(self._content) if size < 0 else size
        piece, self._content = self._content[:size], self._content[size:]
        return piece

    def readline(self, size: int = -1) -> bytes:
        line = self._content.partition(b"\n")[0] + b"\n"
        return self.read(len(line) if size < 0 else min(size, len(line)))


class Rows(BearerTokenValidator):
    """A validator for Bearer as applications have it: it knows nothing of DPoP."""

    def __init__(self, find: Any) -> None:
        super().__init__()
        self._find = find

    def authenticate_token(self, token_string: str) -> Any:
        return self._find(token_string)

    def validate_token(self, token: Any, scopes: Any, request: Any) -> None:
        if self.scope_insufficient(token.scope, scopes):
            raise InsufficientScopeError


@dataclass(kw_only=True)
class World:
    """The three parties. Change a field before the first request."""

    clock: Any
    key: ECKey
    issuer_key: ECKey
    other_key: ECKey
    accept_bearer: bool = False
    use_nonces: bool = False
    symmetric: bool = False
    #: Private keys for keys that come in tokens; the keyring is then left out.
    private_keys: list[ECKey] | None = None
    tickets: Tickets | None = None
    token_form: Literal["jwt", "opaque"] = "jwt"
    public_url: str | None = AUDIENCE
    realm: str | None = None
    resource_metadata: str | None = None
    client_certificate: ClientCertificate | None = None
    scope: str = "accounts"
    route: RoutePolicy = ANY_PROOF
    store: MemoryReplayStore = field(default_factory=MemoryReplayStore)
    quota: KeyQuota | None = None
    #: Lets requests pass, in the adapters that take one.
    observer: Observer | None = None
    #: What those said that were served: None if a proof was demanded.
    observed: list[str | None] = field(default_factory=list)
    #: The tokens and the proofs that those were told of.
    told: list[tuple[Any, Any]] = field(default_factory=list)
    #: How often the protected code ran.
    served: int = 0
    #: Header fields of the protected code's answer.
    answer_headers: list[Field] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.keyring = MemoryKeyring(ring(secret(VERSION)))
        self.nonces = NonceIssuer([bytes(range(32))])
        self.jkt: str = self.key.thumbprint()
        self.validator = AccessTokenValidator(
            ISSUER,
            AUDIENCE,
            jwks={"keys": [self.issuer_key.as_dict(private=False)]},
            clock=self.clock,
        )
        self._verifier: ProofVerifier | None = None

    @property
    def verifier(self) -> ProofVerifier:
        if self._verifier is None:
            symmetric: dict[str, Any] = {"issuer": ISSUER, "audience": AUDIENCE}
            symmetric["token_form"] = self.token_form
            if self.private_keys is None:
                symmetric["keyring"] = self.keyring
            else:
                private_keys = self.private_keys
                symmetric["decryptor"] = KeyDecryptor(lambda: private_keys)
            self._verifier = ProofVerifier(
                self.store,
                nonces=self.nonces if self.use_nonces else None,
                quota=self.quota,
                clock=self.clock,
                tickets=self.tickets,
                **(symmetric if self.symmetric or self.tickets is not None else {}),
            )
        return self._verifier

    # --- what the issuer makes

    def token(self, *, header: dict[str, Any] | None = None, **changes: Any) -> str:
        """Make an access token that is bound to the client's key."""
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "alice",
            "client_id": CLIENT,
            "iat": self.clock.now,
            "exp": self.clock.now + 300,
            "jti": "token-1",
            "scope": "accounts transfers",
            "cnf": {"jkt": self.jkt},
        } | changes
        claims = {name: value for name, value in claims.items() if value is not None}
        return sign_compact(
            {"typ": "at+jwt", "alg": "ES256"} | (header or {}), claims, self.issuer_key
        )

    def unbound_token(self, **changes: Any) -> str:
        return self.token(cnf=None, **changes)

    def symmetric_token(self, *, version: int = VERSION, **changes: Any) -> str:
        """Make an access token with a key for symmetric proofs."""
        dsk = {"alg": "HS256", "v": version, "r": b64url_encode(R)} | changes
        return self.token(cnf={"jkt": self.jkt, "dsk": dsk})

    def encapsulate(self, **changes: Any) -> str:
        """Encrypt :data:`ENCAPSULATED` for the first private key, as ``cnf.jwe``."""
        assert self.private_keys is not None
        public = self.private_keys[0].as_dict(private=False)
        values: dict[str, Any] = {
            "recipient": KeyRecipient(
                key=ECKey.import_key(public), algorithm="ECDH-ES"
            ),
            "mac_algorithm": "HS256",
            "issuer": ISSUER,
            "audience": AUDIENCE,
            "client_id": CLIENT,
            "jkt": self.jkt,
            "expires_at": self.clock.now + 300,
        }
        return encapsulate_key(ENCAPSULATED, **(values | changes))

    def encapsulated_token(self, **changes: Any) -> str:
        """Make an access token that brings a key along; *changes* are those of it."""
        cnf = {"jkt": self.jkt, "jwe": self.encapsulate(**changes)}
        return self.token(cnf=cnf)

    # --- what the client makes

    def proof(
        self, token: str | None, *, key: ECKey | None = None, **changes: Any
    ) -> str:
        values: dict[str, Any] = {
            "algorithm": "ES256",
            "method": "GET",
            "url": AUDIENCE + "/accounts",
            "now": self.clock.now,
            "access_token": token,
            "nonce": self.nonce() if self.use_nonces else None,
        }
        return make_proof(key or self.key, **(values | changes))

    def symmetric_proof(
        self, token: str, *, version: int = VERSION, **changes: Any
    ) -> str:
        values: dict[str, Any] = {
            "algorithm": "HS256",
            "method": "GET",
            "url": AUDIENCE + "/accounts",
            "now": self.clock.now,
            "access_token": token,
            "nonce": self.nonce() if self.use_nonces else None,
        }
        key = symmetric_key(
            secret(version).secret.reveal(),
            algorithm="HS256",
            issuer=ISSUER,
            audience=AUDIENCE,
            client_id=CLIENT,
            jkt=self.jkt,
            version=version,
            r=R,
        )
        return make_symmetric_proof(SecretBytes(key), **(values | changes))

    def encapsulated_proof(self, token: str, **changes: Any) -> str:
        values: dict[str, Any] = {
            "algorithm": "HS256",
            "method": "GET",
            "url": AUDIENCE + "/accounts",
            "now": self.clock.now,
            "access_token": token,
            "nonce": self.nonce() if self.use_nonces else None,
        } | changes
        return make_symmetric_proof(values.pop("key", ENCAPSULATED), **values)

    def nonce(self, *, age: int = 0) -> str:
        """Return the nonce of *age* steps ago."""
        return self.nonces.issue(purpose="rs", now=self.clock.now - 60 * age)

    # --- the resource server

    def note(self, observed: ObservedRequest | None, token: Any, proof: Any) -> None:
        """Remember what the application was told."""
        self.observed.append(observed.reason if observed else None)
        self.told.append((token, proof))

    def wsgi_app(self) -> Any:
        """Return an application behind the WSGI middleware."""

        def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            self.served += 1
            proof = environ["dpop_ext.proof"]
            token = environ["dpop_ext.token"]
            self.note(environ.get("dpop_ext.observed"), token, proof)
            assert isinstance(token, AccessToken)
            body = json.dumps(
                {"kind": proof and proof.kind, "client": token.client_id}
            ).encode()
            headers = [("Content-Type", "application/json"), *self.answer_headers]
            start_response("200 OK", headers)
            return [body]

        return DPoPMiddleware(
            app,
            verifier=self.verifier,
            find_token=self.validator,
            scopes=[self.scope],
            public_url=self.public_url,
            realm=self.realm,
            resource_metadata=self.resource_metadata,
            accept_bearer=self.accept_bearer,
            client_certificate=self.client_certificate,
            route=self.route,
            observer=self.observer,
        )

    def protector(self) -> ResourceProtector:
        protector = ResourceProtector(
            client_certificate=self.client_certificate, observer=self.observer
        )
        protector.register_token_validator(
            DPoPTokenValidator(
                self.validator,
                self.verifier,
                public_url=self.public_url,
                realm=self.realm,
                resource_metadata=self.resource_metadata,
            )
        )
        if self.accept_bearer:
            protector.register_token_validator(Rows(self.validator))
        return protector

    def flask_app(self) -> Any:
        """Return a Flask application with one protected view for everything."""
        app = Flask("resource-server")
        require_oauth = self.protector()
        # As most applications have it, which demand nothing else.
        demands: dict[str, Any] = (
            {} if self.route is ANY_PROOF else {"route": self.route}
        )
        methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]

        @app.route("/", defaults={"path": ""}, methods=methods)
        @app.route("/<path:path>", methods=methods)
        @require_oauth(self.scope, **demands)  # type: ignore[untyped-decorator]
        def view(path: str) -> Any:
            self.served += 1
            token, proof = unproxied(current_token), unproxied(current_proof)
            self.note(current_observation, token, proof)
            response = jsonify(kind=proof and proof.kind, client=token.client_id)
            for name, value in self.answer_headers:
                response.headers[name] = value
            return response

        app.wsgi_app = SignedAnswers(app.wsgi_app)  # type: ignore[method-assign]
        return app

    def asgi_app(self) -> Any:
        """Return an application behind the ASGI middleware."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            self.served += 1
            proof, token = scope["dpop_ext.proof"], scope["dpop_ext.token"]
            self.note(scope.get("dpop_ext.observed"), token, proof)
            assert isinstance(token, AccessToken)
            body = json.dumps(
                {"kind": proof and proof.kind, "client": token.client_id}
            ).encode()
            headers = [("Content-Type", "application/json"), *self.answer_headers]
            await send(
                {
                    "type": "http.response.start",
                    "status": 200,
                    "headers": asgi_types.as_bytes(headers),
                }
            )
            await send({"type": "http.response.body", "body": body})

        find_certificate = self.client_certificate
        return asgi.DPoPMiddleware(
            app,
            verifier=self.verifier,
            find_token=self.validator,
            scopes=[self.scope],
            public_url=self.public_url,
            realm=self.realm,
            resource_metadata=self.resource_metadata,
            accept_bearer=self.accept_bearer,
            client_certificate=(
                (lambda scope: find_certificate(scope["test.environ"]))
                if find_certificate
                else None
            ),
            route=self.route,
            observer=self.observer,
        )

    def fastapi_app(self) -> Any:
        """Return a FastAPI application with one protected route for everything."""
        app = FastAPI(openapi_url=None, redirect_slashes=False)
        find_certificate = self.client_certificate
        dpop = DPoPSecurity(
            verifier=self.verifier,
            find_token=self.validator,
            public_url=self.public_url,
            realm=self.realm,
            resource_metadata=self.resource_metadata,
            accept_bearer=self.accept_bearer,
            client_certificate=(
                (lambda scope: find_certificate(scope["test.environ"]))
                if find_certificate
                else None
            ),
            observer=self.observer,
        )
        dpop.install(app)
        caller = Security(dpop.demanding(self.route), scopes=[self.scope])
        methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]

        @app.api_route("/{path:path}", methods=methods)
        async def view(
            path: str, caller: VerifiedRequest | ObservedRequest = caller
        ) -> Any:
            self.served += 1
            seen = caller if isinstance(caller, ObservedRequest) else None
            self.note(seen, caller.token, caller.proof)
            return JSONResponse(
                {
                    "kind": caller.proof and caller.proof.kind,
                    "client": caller.token.client_id,
                },
                headers=dict(self.answer_headers),
            )

        return app

    def django_app(self) -> Any:
        """Return a Django application with one protected view for everything."""
        protector = DPoPProtector(
            verifier=self.verifier,
            find_token=self.validator,
            public_url=self.public_url,
            realm=self.realm,
            resource_metadata=self.resource_metadata,
            accept_bearer=self.accept_bearer,
            client_certificate=self.client_certificate,
            observer=self.observer,
        )

        @protector(self.scope, route=self.route)
        def view(request: Any) -> Any:
            self.served += 1
            proof, token = request.dpop.proof, request.dpop.token
            seen = request.dpop
            observed = seen if isinstance(seen, ObservedRequest) else None
            self.note(observed, token, proof)
            return JsonResponse(
                {"kind": proof and proof.kind, "client": token.client_id},
                headers=dict(self.answer_headers),
            )

        return SignedAnswers(django_application(view))

    def app(self, adapter: str) -> Any:
        """Return a WSGI application, around whatever *adapter* protects."""
        match adapter:
            case "flask":
                return self.flask_app()
            case "wsgi":
                return self.wsgi_app()
            case "asgi":
                return under_wsgi(self.asgi_app())
            case "django":
                return self.django_app()
            case _:
                return under_wsgi(self.fastapi_app())


def send(app: Any, environ: dict[str, Any]) -> Response:
    """Run *app* as a server would, and read the whole answer."""
    body, status, headers = run_wsgi_app(app, environ, buffered=True)
    return Response(
        status=int(status.split()[0]), headers=list(headers), body=b"".join(body)
    )


def unproxied(value: Any) -> Any:
    """Return what a proxy of Werkzeug stands for."""
    return value._get_current_object()


def secret(version: int, state: Any = "active") -> Any:
    """Make a derivation secret; one that has ended is a tombstone."""
    value = bytes((version * 37 + i * 11) % 256 for i in range(32))
    return AudienceSecret(
        version=version,
        state=state,
        not_before=0,
        expires_at=1_790_009_000,
        secret=None if state in ("retired", "revoked") else SecretBytes(value),
    )


def ring(*secrets: Any) -> SecretRing:
    return SecretRing(secrets, issuer=ISSUER, audience=AUDIENCE)
