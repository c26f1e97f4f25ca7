"""A client with a symmetric key, a proxy in the middle, and a resource server."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from flask import Flask, Response, redirect, request
from joserfc.jwk import OKPKey
from werkzeug.serving import make_server

from demo_client.proxy import MeddlingProxy, Passing, meddling_proxy
from dpop_ext.client import Audience, Protection
from dpop_ext.client.exchange import Outcome, Reply
from dpop_ext.client.signer import ProofSigner
from dpop_ext.integrations.wsgi_answers import SignedAnswers
from dpop_ext.resource_server.route_policy import RoutePolicy
from dpop_ext.symmetric.delivery import wrap_key
from dpop_ext.symmetric.derivation import symmetric_key
from dpop_ext.symmetric.secret_bytes import SecretBytes
from tests.client.driving import TOKEN_ENDPOINT
from tests.client.reading import read
from tests.resource_server.world import (
    AUDIENCE,
    CLIENT,
    ISSUER,
    VERSION,
    R,
    World,
    secret,
)

DIGESTS = Protection(request_digests=True)
ANSWERS = Protection(authenticated_responses=True)
BOTH = Protection(request_digests=True, authenticated_responses=True)
TIMEOUT = 5


@dataclass
class ProtectedParties:
    """A client with a key, a resource server, and a proxy between them."""

    world: World
    signer: ProofSigner
    token: str
    url: str
    proxy: MeddlingProxy
    #: Contents that the views of the server got.
    seen: list[bytes] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)


def make_app(parties_seen: list[bytes], world: World) -> Flask:
    app = Flask("resource-server")
    protect = world.protector()
    strict = RoutePolicy(request_digest=True)
    methods = ["GET", "POST", "PUT"]

    @app.route("/echo", methods=methods)
    @protect(route=strict)  # type: ignore[untyped-decorator]
    def echo() -> Response:
        parties_seen.append(request.get_data())
        answer = {
            "query": request.query_string.decode(),
            "length": len(parties_seen[-1]),
        }
        return Response(json.dumps(answer), content_type="application/json")

    @app.route("/open", methods=methods)
    @protect()  # type: ignore[untyped-decorator]
    def open_() -> Response:
        parties_seen.append(request.get_data())
        answer = Response(b"answer")
        answer.set_cookie("seen", "1")
        return answer

    @app.post("/step-up")
    @protect(route=RoutePolicy(asymmetric=True))  # type: ignore[untyped-decorator]
    def step_up() -> bytes:
        typ: str = read(request.headers["DPoP"]).header["typ"]
        return typ.encode()

    @app.get("/coded")
    @protect()  # type: ignore[untyped-decorator]
    def coded() -> Response:
        return Response(gzip.compress(b"answer"), headers={"Content-Encoding": "gzip"})

    @app.get("/long/<int:size>")
    @protect()  # type: ignore[untyped-decorator]
    def long(size: int) -> bytes:
        return b"a" * size

    @app.get("/stream")
    @protect()  # type: ignore[untyped-decorator]
    def stream() -> Response:
        return Response(iter([b"a", b"b"]))

    @app.get("/empty/<int:status>")
    @protect()  # type: ignore[untyped-decorator]
    def empty(status: int) -> Response:
        return Response(status=status)

    @app.route("/redirect/<int:status>", methods=methods)
    @protect()  # type: ignore[untyped-decorator]
    def redirected(status: int) -> Any:
        return redirect(request.args["to"], status)

    app.wsgi_app = SignedAnswers(app.wsgi_app)  # type: ignore[method-assign]
    return app


@contextmanager
def serving(make: Callable[[str], Any]) -> Iterator[str]:
    """Run the application on a free port; yield its URL."""

    def app(environ: Any, start_response: Any) -> Any:
        return made(environ, start_response)

    server = make_server("127.0.0.1", 0, app, threaded=True)
    url = f"http://127.0.0.1:{server.server_port}"
    made = make(url)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield url
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def deliver(world: World, signer: ProofSigner, token: str, base: str) -> None:
    """Give the client the symmetric key of its token, as a token endpoint does."""
    key = symmetric_key(
        secret(VERSION).secret.reveal(),
        algorithm="HS256",
        issuer=ISSUER,
        audience=AUDIENCE,
        client_id=CLIENT,
        jkt=world.jkt,
        version=VERSION,
        r=R,
    )
    audience = Audience.of(ISSUER, AUDIENCE, (base,))
    flow = signer.token_request(method="POST", url=TOKEN_ENDPOINT, audience=audience)
    claim = read(next(flow).headers()["DPoP"]).claims["dsk"]
    jwe = wrap_key(
        SecretBytes(key),
        recipient=OKPKey.import_key(claim["jwk"]),
        algorithm="ECDH-ES",
        encoding="A256GCM",
        mac_algorithm="HS256",
        issuer=ISSUER,
        audience=AUDIENCE,
        version=VERSION,
        expires_at=world.clock.now + 300,
        access_token=token,
    )
    response = {"access_token": token, "token_type": "DPoP", "cnf": {"jwe": jwe}}

    with pytest.raises(StopIteration):
        flow.send(Reply(status=200, body=json.dumps(response).encode()))
    assert signer.has_symmetric_key(token)


@contextmanager
def protected_messages(world: World, *, use_nonces: bool) -> Iterator[ProtectedParties]:
    """Run the server and the proxy."""
    world = replace(world, symmetric=True, use_nonces=use_nonces)
    seen: list[bytes] = []

    def make(url: str) -> Any:
        world.public_url = url
        return make_app(seen, world)

    signer = ProofSigner(world.key, clock=world.clock)
    token = world.symmetric_token()
    with serving(make) as url, meddling_proxy() as proxy:
        deliver(world, signer, token, url)
        yield ProtectedParties(world, signer, token, url, proxy, seen)


def without_proof(message: Passing) -> None:
    message.fields = [each for each in message.fields if each[0] != "DPoP-Response"]


def doubled_proof(message: Passing) -> None:
    message.fields += [each for each in message.fields if each[0] == "DPoP-Response"]


def other_content(message: Passing) -> None:
    message.content = message.content.replace(b"answer", b"Answer")


def other_status(message: Passing) -> None:
    message.status = 404


def more_fields(message: Passing) -> None:
    message.fields.append(("Location", "https://evil.example/"))


def fewer_fields(message: Passing) -> None:
    message.fields = [each for each in message.fields if each[0] != "Content-Type"]


def cut_off(message: Passing) -> None:
    message.content = message.content[:-1]


CHANGES = [
    without_proof,
    doubled_proof,
    other_content,
    other_status,
    more_fields,
    fewer_fields,
    cut_off,
]
