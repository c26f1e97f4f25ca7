"""The resource server as a Flask app."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

from flask import Flask

from demo_server import demo_data, json_errors, shared_stores, tls
from demo_server.public_url import PublicURL
from demo_server.resource_server import api
from demo_server.resource_server.keyring import create_decryptor, create_keyring
from demo_server.resource_server_keys import load_keys
from demo_server.resource_server_tickets import create_tickets
from demo_server.settings import Settings
from dpop_ext import ProofVerifier
from dpop_ext.core.confirmation import AccessToken
from dpop_ext.integrations.flask_oauth2 import ResourceProtector
from dpop_ext.integrations.wsgi_answers import SignedAnswers
from dpop_ext.integrations.wsgi_cors import CORS
from dpop_ext.resource_server import (
    AccessTokenValidator,
    DPoPTokenValidator,
    IntrospectionTokenValidator,
    RejectBoundTokens,
    RemoteKeys,
)
from dpop_ext.resource_server.token_finder import TokenFinder
from dpop_ext.resource_server.transport import fetch

#: How often, at most, the keys of the authorization server are fetched for the sake of
#: a token with an unknown one, in seconds.
KEYS_INTERVAL = 1


def create_app(
    settings: Settings,
    *,
    fetch: Callable[..., bytes] | None = None,
    clock: Callable[[], float] = time.time,
) -> Flask:
    """Make the app, after :func:`demo_server.first_start.prepare_resource_server`.

    :param settings: what the operator chose; the ports are known by now.
    :param fetch: asks the authorization server; None does so over HTTP.
    :param clock: seconds since the epoch.
    :raises PrivateFileError: a key file cannot be read or trusted.
    """
    app = Flask(__name__)
    app.config.update(MAX_CONTENT_LENGTH=65_536, MAX_FORM_MEMORY_SIZE=65_536)
    keys = RemoteKeys(
        f"{settings.issuer_url}/jwks",
        min_interval=KEYS_INTERVAL,
        fetch=fetch or _fetch(settings),
        clock=clock,
    )
    verifier = ProofVerifier(
        shared_stores.open_replay_store(settings, "rs"),
        policy=settings.policy,
        nonces=shared_stores.open_nonces(settings, "rs"),
        quota=shared_stores.open_quota(),
        keyring=create_keyring(settings, jwks=keys, fetch=fetch, clock=clock),
        decryptor=create_decryptor(settings),
        issuer=settings.issuer_url,
        audience=settings.resource_url,
        token_form="opaque" if settings.introspection_url else "jwt",
        tickets=create_tickets(settings, clock=clock),
        clock=clock,
    )
    tokens = create_token_finder(
        settings, keys=keys, fetch=fetch or _fetch(settings), clock=clock
    )
    protector = ResourceProtector()
    protector.register_token_validator(
        DPoPTokenValidator(
            tokens,
            verifier,
            public_url=settings.resource_url,
            resource_metadata=settings.resource_url + api.METADATA_PATH,
        )
    )
    if settings.bearer:
        protector.register_token_validator(UnboundTokens(tokens))
    app.register_blueprint(api.create_blueprint(settings, verifier, protector))
    api.add_echo(app, protector)
    json_errors.register(app)
    app.wsgi_app = CORS(  # type: ignore[method-assign]
        SignedAnswers(PublicURL(app.wsgi_app, settings.resource_url)),
        origins=settings.script_origins,
    )
    return app


class UnboundTokens(RejectBoundTokens, TokenFinder):
    """Takes Bearer tokens, unless they are bound to a key.

    :param tokens: finds and verifies them.
    """

    def __init__(self, tokens: TokenFinder) -> None:
        self._tokens = tokens

    def __call__(self, text: str) -> AccessToken:
        """Return the verified token, bound or not."""
        return self._tokens(text)


def _fetch(settings: Settings) -> Callable[..., bytes]:
    return functools.partial(fetch, context=tls.client_context(settings))


def create_token_finder(
    settings: Settings,
    *,
    keys: RemoteKeys,
    fetch: Callable[..., bytes],
    clock: Callable[[], float],
) -> TokenFinder:
    """Return what finds an access token good: its signature, or its issuer."""
    if settings.introspection_url:
        return IntrospectionTokenValidator(
            settings.introspection_url,
            client_id=demo_data.RESOURCE_SERVER_ID,
            signing_key=load_keys(settings.rs_keys_directory)[0],
            issuer=settings.issuer_url,
            audience=settings.resource_url,
            post=fetch,
            clock=clock,
        )
    return AccessTokenValidator(
        settings.issuer_url, settings.resource_url, jwks=keys, clock=clock
    )
