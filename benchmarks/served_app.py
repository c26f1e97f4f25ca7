"""The Flask route that is measured end to end, protected as the settings say.

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

from flask import Flask, abort, request
from joserfc.jwk import RSAKey

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
    protect = {"open": _open, "bearer": _bearer, "dpop": _dpop}[settings["kind"]]

    @app.get("/accounts/<number>")
    @protect(settings)
    def account(number: str) -> dict[str, str]:
        return {"number": number}

    return app


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


def _dpop(settings: dict[str, Any]) -> Callable[[View], View]:
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
    tokens = AccessTokenValidator(issuer, audience, jwks=jwks)
    require_oauth = ResourceProtector()
    require_oauth.register_token_validator(
        DPoPTokenValidator(tokens, verifier, public_url=audience)
    )
    return require_oauth("accounts")  # type: ignore[no-any-return]


def _store(url: str) -> ReplayStore:
    if url.startswith("sqlite:"):
        return SQLReplayStore.from_url(url, timeout=5)
    if url.startswith("unix:"):
        return RedisReplayStore.from_url(url)
    return MemoryReplayStore(10_000_000)


if "BENCHMARK_SETTINGS" in os.environ:
    _FILE = Path(os.environ["BENCHMARK_SETTINGS"])
    app = make_app(json.loads(_FILE.read_text(encoding="utf-8")))
