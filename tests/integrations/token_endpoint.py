"""A token endpoint for clients that are more than one request."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.client.token_server import token_response
from tests.conftest import Clock
from tests.integrations.scripted_server import Answer, Received, ScriptedServer

ISSUER = "https://as.example"
STALE = Answer(
    401,
    [("WWW-Authenticate", 'DPoP error="invalid_token", sym_error="stale_key"')],
)


class AuthorizationServer:
    """A token endpoint that numbers its tokens; the test changes what it says."""

    def __init__(self, server: ScriptedServer, resource: str, clock: Clock) -> None:
        server.script = self.script
        self.url = f"{server.url}/token"
        self.received = server.received
        self.resource = resource
        self.clock = clock
        self.version = 7
        self.members: dict[str, Any] = {"refresh_token": "refresh"}
        self.answer: Answer | None = None
        self.nonce: str | None = None
        self.issuer = ISSUER
        #: Called when it has been asked for a token, and before it answers.
        self.before_answer: Callable[[], object] = bool
        #: What it says about itself; None says nothing.
        self.metadata: dict[str, Any] | None = None

    def script(self, request: Received) -> Answer:
        if self.metadata is not None and request.method == "GET":
            self.received.remove(request)
            return Answer(body=json.dumps(self.metadata).encode())
        self.before_answer()
        if self.answer is not None:
            return self.answer
        if self.nonce not in (None, request.proof.claims.get("nonce")):
            error = b'{"error": "use_dpop_nonce"}'
            return Answer(400, [("DPoP-Nonce", self.nonce)], error)
        response = token_response(
            request.dpop,
            access_token=f"access-{len(self.received)}",
            now=self.clock.now,
            version=self.version,
            audience=self.resource,
            issuer=self.issuer,
        )
        response.update(self.members)
        return Answer(body=json.dumps(response).encode())

    @property
    def forms(self) -> list[dict[str, str]]:
        return [request.form for request in self.received]


class Jobs(list[Callable[[], None]]):
    """A schedule that waits for the test."""

    def __call__(self, job: Callable[[], None]) -> None:
        self.append(job)
