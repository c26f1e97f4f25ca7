"""The authorization server as a Flask app."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from flask import Flask

from demo_server import json_errors, shared_stores
from demo_server.authorization_server import (
    browser_session,
    consent_pages,
    html_page,
    keyring,
    login_pages,
    protocol,
    security_headers,
)
from demo_server.authorization_server.client_authentication import ClientSecretBasic
from demo_server.authorization_server.grants import (
    AuthorizationCodeGrant,
    ClientCredentialsGrant,
    RefreshTokenGrant,
)
from demo_server.authorization_server.server import Server
from demo_server.authorization_server.symmetric_keys import create_symmetric_keys
from demo_server.authorization_server.token_exchange import TokenExchange
from demo_server.database import Database
from demo_server.derivation_secrets import open_secrets
from demo_server.public_url import PublicURL
from demo_server.settings import Settings
from dpop_ext import ProofVerifier
from dpop_ext.authorization_server import (
    ClientAssertion,
    DPoP,
    FAPI2SecurityProfile,
    IssuerIdentification,
    PushedAuthorizationRequests,
    S256CodeChallenge,
)
from dpop_ext.integrations.wsgi_cors import CORS
from dpop_ext.stores.base import ReplayStore


def create_app(settings: Settings, *, clock: Callable[[], float] = time.time) -> Flask:
    """Make the app, for a database that :func:`demo_server.first_start.prepare` saw.

    :param settings: what the operator chose; the ports are known by now.
    :param clock: seconds since the epoch.
    :raises PrivateFileError: a key file cannot be read or trusted.
    """
    app = Flask(__name__)
    # No form of ours is larger, and no honest request.
    app.config.update(MAX_CONTENT_LENGTH=65_536, MAX_FORM_MEMORY_SIZE=65_536)
    browser_session.configure(app, settings)
    database = Database(settings.database)
    app.teardown_appcontext(database.release)
    server = Server(settings, database, clock=clock)
    derivation_secrets = None
    if settings.derives_keys:
        derivation_secrets = open_secrets(
            settings, database.engine, denials=server.denials, clock=clock
        )
    replay_store = shared_stores.open_replay_store(settings, "as")
    server.register_client_auth_method("client_secret_basic", ClientSecretBasic(clock))
    server.register_grant(AuthorizationCodeGrant, [S256CodeChallenge()])
    server.register_grant(RefreshTokenGrant)
    server.register_grant(ClientCredentialsGrant)
    server.register_grant(TokenExchange)
    dpop = DPoP(
        ProofVerifier(
            replay_store,
            policy=settings.policy,
            nonces=shared_stores.open_nonces(settings, "as"),
            quota=shared_stores.open_quota(),
            clock=clock,
        ),
        symmetric=create_symmetric_keys(server, derivation_secrets),
        public_url=server.issuer,
    )
    metadata = register_profile(server, dpop, replay_store)

    app.register_blueprint(login_pages.create_blueprint(server))
    app.register_blueprint(consent_pages.create_blueprint(server))
    app.register_blueprint(protocol.create_blueprint(server, dpop, metadata))
    if derivation_secrets is not None:
        app.register_blueprint(
            keyring.create_blueprint(server, derivation_secrets, replay_store)
        )
    security_headers.register(app)
    json_errors.register(
        app, html_for=html_page.error_page, html_endpoints=("login.", "authorization.")
    )
    app.wsgi_app = CORS(  # type: ignore[method-assign]
        PublicURL(app.wsgi_app, server.issuer),
        origins=settings.script_origins,
        paths=protocol.SCRIPT_PATHS,
        methods=("GET", "POST"),
    )
    return app


def register_profile(
    server: Server, dpop: DPoP, replay_store: ReplayStore
) -> dict[str, Any]:
    """Register what the profile demands; return its members of the metadata."""
    pushed_requests = shared_stores.open_pushed_requests(
        server.settings, server.database
    )
    if server.settings.profile == "fapi2":
        profile = FAPI2SecurityProfile(
            server.issuer,
            dpop=dpop,
            replay_store=replay_store,
            pushed_requests=pushed_requests,
        )
        server.register_extension(profile)
        return profile.get_metadata()
    assertion = ClientAssertion(
        server.issuer,
        replay_store,
        token_endpoint=f"{server.issuer}/token",
        clock=server.clock,
    )
    server.register_client_auth_method("private_key_jwt", assertion)
    server.register_extension(dpop)
    server.register_extension(PushedAuthorizationRequests(pushed_requests, dpop=dpop))
    server.register_extension(IssuerIdentification(server.issuer))
    return dpop.get_metadata()
