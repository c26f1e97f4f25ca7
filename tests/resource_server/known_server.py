"""Servers that know a token and the keys of a client, and what counts their work."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import Any, Final

import pytest
from flask import Flask

from dpop_ext.integrations.flask_oauth2 import ResourceProtector
from dpop_ext.resource_server import (
    AccessTokenValidator,
    DPoPTokenValidator,
)
from dpop_ext.resource_server.credentials import ResourceRequest
from dpop_ext.resource_server.gate import Gate
from dpop_ext.resource_server.refusal import AccessRefusedError, Refusal
from dpop_ext.stores.memory import MemoryReplayStore
from dpop_ext.symmetric.deny_list import Denial, DenyList
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.secret_ring import AudienceSecret, SecretRing
from tests.resource_server.world import (
    AUDIENCE,
    ISSUER,
    VERSION,
    Request,
    Response,
    World,
    secret,
    send,
)

KINDS: Final = ("symmetric", "asymmetric")
#: Flask, and a gate behind the least of adapters.
adapters = pytest.mark.parametrize("adapter", ["flask", "wsgi"])
kinds = pytest.mark.parametrize("kind", KINDS)


class Calls:
    """Counts the calls of one method of one object."""

    def __init__(self, owner: Any, name: str) -> None:
        self.count = 0
        self._call = getattr(owner, name)
        setattr(owner, name, self)

    def __call__(self, *values: Any, **names: Any) -> Any:
        self.count += 1
        return self._call(*values, **names)


class Known:
    """A server that has served requests with one token, by both kinds of proof."""

    def __init__(
        self,
        world: World,
        adapter: str,
        *,
        app: Any = None,
        token: str | None = None,
        request: dict[str, Any] | None = None,
    ) -> None:
        self.world = world
        self.app = app or world.app(adapter)
        self.token = token or world.symmetric_token()
        self.opened = Calls(world.verifier, "open")
        for kind in KINDS:
            answer = self.get(kind, **(request or {}))
            assert answer.status == 200, answer.body

    def make(
        self, kind: str, *, more: tuple[tuple[str, str], ...] = (), **changes: Any
    ) -> Request:
        wire = {
            name: changes.pop(name)
            for name in ("method", "target", "body")
            if name in changes
        }
        changes = {"jti": secrets.token_urlsafe(12)} | changes
        make = self.world.symmetric_proof if kind == "symmetric" else self.world.proof
        proof = make(self.token, method=wire.get("method", "GET"), **changes)
        fields = [("Authorization", f"DPoP {self.token}"), ("DPoP", proof), *more]
        return Request(headers=fields, **wire)

    def send(self, request: Request) -> Response:
        return send(self.app, request.environ())

    def get(self, kind: str, **changes: Any) -> Response:
        return self.send(self.make(kind, **changes))

    def is_quick(self, kind: str, **changes: Any) -> bool:
        """Tell whether a good request is served without the steps."""
        before = self.opened.count
        assert self.get(kind, **changes).status == 200
        return self.opened.count == before


def flask_app(
    world: World,
    scopes: Any,
    *,
    protector: Any = ResourceProtector,
    validator: Any = DPoPTokenValidator,
) -> Flask:
    """Return an application with one view that demands nothing but *scopes*."""
    app = Flask("resource-server")
    protect = protector()
    protect.register_token_validator(
        validator(world.validator, world.verifier, public_url=AUDIENCE)
    )

    @app.get("/accounts")
    @protect(scopes)  # type: ignore[untyped-decorator]
    def view() -> str:
        return "served"

    return app


@dataclass
class Gates:
    """A gate that gets to know a token, and one that knows nothing."""

    world: World
    public_url: str = AUDIENCE
    known: Any = None

    def __post_init__(self) -> None:
        self.opened = Calls(self.world.verifier, "open")
        if self.known is None:
            self.known = self.make(self.world)

    def make(self, world: World) -> Gate:
        return Gate(world.verifier, world.validator, public_url=self.public_url)

    def warm(self, text: str, **changes: Any) -> None:
        for kind in KINDS * 2:
            request = self.request(kind, text, **changes)
            assert not isinstance(outcome_of(self.known, request), Refusal)
        self.opened.count = 0

    @property
    def was_quick(self) -> bool:
        """Whether no request took the steps since this was asked."""
        count, self.opened.count = self.opened.count, 0
        return count == 0

    def request(
        self, kind: str, text: str, *, target: str = "/accounts", **changes: Any
    ) -> ResourceRequest:
        make = self.world.symmetric_proof if kind == "symmetric" else self.world.proof
        proof = make(text, **({"jti": secrets.token_urlsafe(12)} | changes))
        return ResourceRequest(
            method="GET",
            scheme="http",
            host="unknown.example",
            raw_target=target,
            authorization=(f"DPoP {text}",),
            proofs=(proof,),
        )

    def same(self, kind: str, text: str, **changes: Any) -> Any:
        return self.compare(self.request(kind, text, **changes))

    def compare(self, request: ResourceRequest, scopes: Any = ()) -> Any:
        """Return what comes of a request, which is the same at both gates."""
        new = replace(self.world, store=MemoryReplayStore())
        new.keyring.replace(self.world.keyring.load())
        expected = outcome_of(self.make(new), replace(request, spent=set()), scopes)
        found = outcome_of(self.known, request, scopes)
        assert found == expected
        return found


def outcome_of(gate: Gate, request: ResourceRequest, scopes: Any = ()) -> Any:
    """Return token and proof, the refusal, or the class of another error."""
    try:
        served = gate.check(request, scopes=scopes)
    except AccessRefusedError as error:
        return error.refusal
    except Exception as error:  # noqa: BLE001 - of wrong arguments
        return type(error)
    return served.token, tuple(served.proof or ()), served.ticket


def made(*entries: Any, **options: Any) -> SecretRing:
    return SecretRing(entries, issuer=ISSUER, audience=AUDIENCE, **options)


def denying(denial: Denial) -> SecretRing:
    return made(secret(VERSION), denied=DenyList([denial]))


def other_secret() -> AudienceSecret:
    value = SecretBytes(bytes(range(3, 35)))
    other: AudienceSecret = replace(secret(VERSION), secret=value)
    return other


def make_validator(world: World, *, remember: float) -> AccessTokenValidator:
    return AccessTokenValidator(
        ISSUER,
        AUDIENCE,
        jwks={"keys": [world.issuer_key.as_dict(private=False)]},
        remember=remember,
        clock=world.clock,
    )
