"""Token issuance by one Authlib server, with DPoP and a symmetric key and without."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any, Literal

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, grants
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from flask import Flask
from joserfc.jwk import OKPKey, RSAKey
from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder, run_wsgi_app

from benchmarks.by_hand_issuance import ByHandGenerator
from benchmarks.operations import Row
from benchmarks.world import (
    AUDIENCE,
    CLIENT,
    EC_KEY,
    ISSUER,
    ISSUER_KEY,
    NOW,
    SECRET,
    clock,
    ring,
)
from dpop_ext.authorization_server import AccessTokenGenerator, DPoP, SymmetricKeys
from dpop_ext.core.proof_making import make_proof
from dpop_ext.stores.memory import MemoryReplayStore
from dpop_ext.symmetric.key_request import key_request_claim
from dpop_ext.symmetric.secret_ring import SecretRing
from dpop_ext.verifier import ProofVerifier

#: Requests that are made before the clock runs, each with a proof of its own.
REQUESTS = 1_500
_URL = f"{ISSUER}/token"


class _Client(ClientMixin):  # type: ignore[misc]
    """One that authenticates, and gets tokens for the one audience."""

    client_id = CLIENT
    client_metadata: dict[str, Any] = {"audiences": [AUDIENCE]}  # noqa: RUF012

    def get_client_id(self) -> str:
        return self.client_id

    def get_allowed_scope(self, scope: str | None) -> str:
        return scope or ""

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == "secret"

    def check_endpoint_auth_method(self, _method: str, _endpoint: str) -> bool:
        return True

    def check_grant_type(self, _grant_type: str) -> bool:
        return True


class _Secrets:
    """The derivation secrets of the one audience."""

    def __init__(self) -> None:
        self._ring = ring()

    def load(self, audience: str) -> SecretRing | None:
        return self._ring if audience == AUDIENCE else None


class _AuthlibGenerator(JWTBearerTokenGenerator):  # type: ignore[misc]
    """What a server without this package has, with the same claims."""

    def get_jwks(self) -> RSAKey:
        return ISSUER_KEY

    def get_audiences(self, _client: object, _user: object, _scope: str | None) -> str:
        return AUDIENCE


def issuing() -> list[Row]:
    """Return what a token response takes, and one key agreement.

    A symmetric key is encrypted for an X25519 key that is new in each request, as the
    clients of this package send one; or, where it says so, for the P-256 key of the
    proof, which does for clients that can add nothing to their proofs.
    """
    private, other = X25519PrivateKey.generate(), X25519PrivateKey.generate()
    public = other.public_key()
    return [
        Row(
            name="X25519",
            call=lambda: private.exchange(public),
            base=("X25519",),
        ),
        Row(
            name="issue a token, Authlib's own generator",
            call=_asking(dpop=False, authlib=True),
            base=("issue a token",),
        ),
        Row(
            name="issue a token",
            call=_asking(dpop=False),
            base=("issue a token",),
        ),
        Row(
            name="issue a token, DPoP",
            call=_asking(dpop=True),
            base=("issue a token",),
        ),
        Row(
            name="issue a token, DPoP and a symmetric key",
            call=_asking(dpop=True, key_for="new"),
            base=("issue a token",),
        ),
        Row(
            name="issue a token, DPoP and a symmetric key for the proof's",
            call=_asking(dpop=True, key_for="proof"),
            base=("issue a token",),
        ),
        Row(
            name="issue a token, DPoP and a symmetric key, by hand",
            call=_asking(dpop=True, key_for="new", by_hand=True),
            base=("issue a token",),
        ),
    ]


def application(*, dpop: bool, authlib: bool = False, by_hand: bool = False) -> Flask:
    """Return an authorization server, for one client.

    :param authlib: with the token generator of Authlib.
    :param by_hand: with DPoP by :mod:`benchmarks.by_hand_issuance`.
    """
    app = Flask("issuer")
    client = _Client()
    server = AuthorizationServer(
        app,
        query_client=lambda client_id: client if client_id == CLIENT else None,
        save_token=lambda _token, _request: None,
    )
    generator: JWTBearerTokenGenerator = AccessTokenGenerator(
        ISSUER,
        lambda: ISSUER_KEY,
        alg="RS256",
        audience=AUDIENCE,
        expires_generator=300,
        clock=clock,
    )
    if authlib:
        generator = _AuthlibGenerator(
            ISSUER, alg="RS256", expires_generator=lambda _client, _grant_type: 300
        )
    if by_hand:
        generator = ByHandGenerator(
            ISSUER,
            lambda: ISSUER_KEY,
            alg="RS256",
            audience=AUDIENCE,
            expires_generator=300,
            clock=clock,
            secret=SECRET.reveal(),
            url=_URL,
        )
    server.register_token_generator("default", generator)
    server.register_grant(grants.ClientCredentialsGrant)
    if dpop and not by_hand:
        verifier = ProofVerifier(MemoryReplayStore(10_000_000), clock=clock)
        symmetric = SymmetricKeys(_Secrets(), issuer=ISSUER)
        server.register_extension(
            DPoP(verifier, symmetric=symmetric, public_url=ISSUER)
        )
    app.add_url_rule("/token", view_func=server.create_token_response, methods=["POST"])
    return app


def _asking(
    *,
    dpop: bool,
    key_for: Literal["new", "proof"] | None = None,
    authlib: bool = False,
    by_hand: bool = False,
) -> Callable[[], object]:
    environments = [
        request(
            dpop=dpop,
            key_for=key_for,
            key=OKPKey.generate_key("X25519") if key_for == "new" else None,
        )
        for _ in range(REQUESTS)
    ]
    upcoming = iter(environments)
    app = application(dpop=dpop, authlib=authlib, by_hand=by_hand)

    def call() -> None:
        nonlocal upcoming, app
        environ = next(upcoming, None)
        if environ is None:
            app = application(dpop=dpop, authlib=authlib, by_hand=by_hand)
            upcoming = iter(environments)
            environ = next(upcoming)
        environ["wsgi.input"].seek(0)
        body, status, _ = run_wsgi_app(app, dict(environ))
        if status != "200 OK":
            raise AssertionError(b"".join(body))

    return call


def request(
    *,
    dpop: bool,
    key_for: Literal["new", "proof"] | None = None,
    key: OKPKey | None = None,
) -> dict[str, Any]:
    """Return the environ of a token request.

    :param key_for: whose encryption key a symmetric key is asked for with.
    :param key: that key, if it is a new one.
    """
    secret = base64.b64encode(f"{CLIENT}:secret".encode()).decode()
    headers = {"Authorization": f"Basic {secret}"}
    if dpop:
        claims = {}
        if key_for is not None:
            claims["dsk"] = key_request_claim(
                algorithms=("HS256",),
                encryption_key=key,
                key_algorithms=("ECDH-ES",),
                encodings=("A256GCM",),
            )
        headers["DPoP"] = make_proof(
            EC_KEY, algorithm="ES256", method="POST", url=_URL, now=NOW, claims=claims
        )
    builder = EnvironBuilder(
        "/token",
        _URL.removesuffix("/token"),
        method="POST",
        headers=Headers(headers),
        data={"grant_type": "client_credentials", "scope": "accounts"},
    )
    return builder.get_environ()
