"""The route that is measured end to end, protected as the settings say.

They come as JSON in a file that ``BENCHMARK_SETTINGS`` names.
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any
from urllib.parse import quote

from flask import Flask, abort, g, request
from joserfc.jwk import RSAKey

from benchmarks import by_hand
from dpop_ext.integrations.asgi import DPoPMiddleware
from dpop_ext.integrations.asgi_threads import AtOnce
from dpop_ext.integrations.asgi_types import ASGIApp, Receive, Scope, Send
from dpop_ext.integrations.flask_oauth2 import ResourceProtector
from dpop_ext.resource_server import AccessTokenValidator, DPoPTokenValidator
from dpop_ext.stores.base import ReplayStore
from dpop_ext.stores.memory import MemoryKeyring, MemoryReplayStore
from dpop_ext.stores.redis import RedisReplayStore
from dpop_ext.stores.sql import SQLReplayStore
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.secret_ring import AudienceSecret, SecretRing
from dpop_ext.verifier import ProofVerifier

View = Callable[..., Any]


def make_app(settings: dict[str, Any]) -> Flask:
    """Make the application."""
    app = Flask("resource_server")
    ways = {"open": _open, "bearer": _bearer, "dpop": _dpop, "by hand": _by_hand}
    protect = ways[settings["kind"]]

    @app.get("/accounts/<number>")
    @protect(settings)
    def account(number: str) -> dict[str, str]:
        return {"number": number}

    return app


def make_asgi(settings: dict[str, Any]) -> ASGIApp:
    """Make an ASGI application that is nothing but the route."""

    async def account(scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = json.dumps({"number": scope["path"].rpartition("/")[2]}).encode()
        fields = [(b"content-type", b"application/json")]
        fields.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": body})

    if settings["kind"] == "open":
        return account
    verifier, tokens = _verifier(settings)
    in_memory = settings["store"] == "memory"
    return DPoPMiddleware(
        account,
        verifier=verifier,
        find_token=tokens,
        scopes=["accounts"],
        public_url=settings["audience"],
        # As the documentation says, where nothing has to be waited for.
        executor=AtOnce() if in_memory else None,
    )


def _open(_settings: dict[str, Any]) -> Callable[[View], View]:
    return lambda view: view


def _bearer(settings: dict[str, Any]) -> Callable[[View], View]:
    """Check a Bearer token by PyJWT, as one would write it."""
    jwt: Any = importlib.import_module("jwt")
    key = RSAKey.import_key(settings["issuer_key"]).public_key

    def protect(view: View) -> View:
        @wraps(view)
        def protected(**arguments: Any) -> Any:
            scheme, _, text = request.headers.get("Authorization", "").partition(" ")
            if scheme != "Bearer":
                abort(401)
            try:
                claims = jwt.decode(
                    text,
                    key,
                    algorithms=["RS256"],
                    audience=settings["audience"],
                    issuer=settings["issuer"],
                )
            except jwt.PyJWTError:
                abort(401)
            if "accounts" not in claims["scope"].split():
                abort(403)
            return view(**arguments)

        return protected

    return protect


def _by_hand(settings: dict[str, Any]) -> Callable[[View], View]:
    url = settings["store"]
    store = by_hand.BareRedis(url) if url.startswith("unix:") else _store(url)
    check = by_hand.checking(settings, store=store)

    def protect(view: View) -> View:
        @wraps(view)
        def protected(**arguments: Any) -> Any:
            environ = request.environ
            if "access_token" in environ["QUERY_STRING"]:
                abort(400)
            try:
                g.token = check(
                    environ["REQUEST_METHOD"],
                    environ.get("RAW_URI") or quote(environ["PATH_INFO"]),
                    environ["HTTP_AUTHORIZATION"],
                    environ["HTTP_DPOP"],
                )
            except (LookupError, ValueError, by_hand.RefusedError):
                abort(401)
            return view(**arguments)

        return protected

    return protect


def _dpop(settings: dict[str, Any]) -> Callable[[View], View]:
    verifier, tokens = _verifier(settings)
    require_oauth = ResourceProtector()
    require_oauth.register_token_validator(
        DPoPTokenValidator(tokens, verifier, public_url=settings["audience"])
    )
    return require_oauth("accounts")  # type: ignore[no-any-return]


def _verifier(settings: dict[str, Any]) -> tuple[ProofVerifier, AccessTokenValidator]:
    issuer, audience = settings["issuer"], settings["audience"]
    secret = AudienceSecret(
        version=1,
        state="active",
        not_before=0,
        expires_at=settings["expires_at"],
        secret=SecretBytes(bytes.fromhex(settings["secret"])),
    )
    ring = SecretRing([secret], issuer=issuer, audience=audience)
    verifier = ProofVerifier(
        _store(settings["store"]),
        keyring=MemoryKeyring(ring),
        issuer=issuer,
        audience=audience,
    )
    jwks = {"keys": [settings["issuer_key"]]}
    return verifier, AccessTokenValidator(issuer, audience, jwks=jwks)


def _store(url: str) -> ReplayStore:
    if url.startswith("sqlite:"):
        return SQLReplayStore.from_url(url, timeout=5)
    if url.startswith("unix:"):
        return RedisReplayStore.from_url(url)
    return MemoryReplayStore(10_000_000)


if "BENCHMARK_SETTINGS" in os.environ:
    _FILE = Path(os.environ["BENCHMARK_SETTINGS"])
    _SETTINGS = json.loads(_FILE.read_text(encoding="utf-8"))
    app = make_app(_SETTINGS)
    if _SETTINGS["kind"] in ("open", "dpop"):
        asgi = make_asgi(_SETTINGS)
