"""Answers that come piece by piece leave every adapter piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from django.http import StreamingHttpResponse
from fastapi import FastAPI, Security
from fastapi.responses import StreamingResponse
from flask import Flask, Response

from dpop_ext.integrations import asgi, asgi_answers, wsgi, wsgi_answers
from dpop_ext.integrations.django_oauth2 import DPoPProtector
from dpop_ext.integrations.fastapi_security import DPoPSecurity
from dpop_ext.symmetric.response import ASKS
from tests.patience import PATIENCE
from tests.resource_server.django_project import django_application
from tests.resource_server.under_wsgi import scope_of
from tests.resource_server.world import AUDIENCE, Request, World

EVENTS = [b"data: 0\n\n", b"data: 1\n\n"]
KIND = "text/event-stream"


def options(world: World) -> dict[str, Any]:
    return {
        "verifier": world.verifier,
        "find_token": world.validator,
        "public_url": AUDIENCE,
    }


def plain_wsgi(world: World, events: Callable[[], Iterator[bytes]]) -> Any:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", KIND)])
        return events()

    return wsgi.DPoPMiddleware(app, **options(world))


def flask(world: World, events: Callable[[], Iterator[bytes]]) -> Any:
    app = Flask("resource-server")
    require_oauth = world.protector()

    @app.route("/accounts")
    @require_oauth("accounts")  # type: ignore[untyped-decorator]
    def view() -> Response:
        return Response(events(), content_type=KIND)

    return wsgi_answers.SignedAnswers(app.wsgi_app)


def django(world: World, events: Callable[[], Iterator[bytes]]) -> Any:
    protect = DPoPProtector(**options(world))

    def view(request: Any) -> StreamingHttpResponse:
        return StreamingHttpResponse(events(), content_type=KIND)

    return wsgi_answers.SignedAnswers(django_application(protect("accounts")(view)))


def request(world: World, *, asks: bool) -> Request:
    token = world.symmetric_token()
    proof = world.symmetric_proof(token, claims={ASKS: True} if asks else {})
    return Request(headers=[("Authorization", f"DPoP {token}"), ("DPoP", proof)])


@pytest.mark.requirement("U-32")
@pytest.mark.parametrize("asks", [False, True], ids=["plain", "asks for a proof"])
@pytest.mark.parametrize("make", [plain_wsgi, flask, django])
def test_a_generator_is_asked_for_one_piece_at_a_time(
    make: Any, asks: bool, world: World
) -> None:
    world = replace(world, symmetric=True)
    asked: list[int] = []

    def events() -> Iterator[bytes]:
        for number, event in enumerate(EVENTS):
            asked.append(number)
            yield event

    statuses: list[str] = []

    def start(status: str, headers: Any, exc_info: Any = None) -> Any:
        statuses.append(status)

    app = make(world, events)
    body = app(request(world, asks=asks).environ(), start)
    for number, piece in enumerate(body):
        assert piece == EVENTS[number]
        assert asked == list(range(number + 1))
    assert len(asked) == len(EVENTS)
    assert statuses[0].startswith("200")
    body.close()


def plain_asgi(world: World, events: Callable[[], AsyncIterator[bytes]]) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", KIND.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async for event in events():
            await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return asgi.DPoPMiddleware(app, **options(world))


def fastapi(world: World, events: Callable[[], AsyncIterator[bytes]]) -> Any:
    app = FastAPI()
    dpop = DPoPSecurity(**options(world))
    dpop.install(app)

    @app.get("/accounts", dependencies=[Security(dpop, scopes=["accounts"])])
    async def view() -> StreamingResponse:
        return StreamingResponse(events(), media_type=KIND)

    return app


def django_async(world: World, events: Callable[[], AsyncIterator[bytes]]) -> Any:
    protect = DPoPProtector(**options(world))

    async def view(request: Any) -> StreamingHttpResponse:
        return StreamingHttpResponse(events(), content_type=KIND)

    app = django_application(protect("accounts")(view), asynchronous=True)
    return asgi_answers.SignedAnswers(app)


@pytest.mark.requirement("U-32")
@pytest.mark.parametrize("asks", [False, True], ids=["plain", "asks for a proof"])
@pytest.mark.parametrize("make", [plain_asgi, fastapi, django_async])
def test_an_event_is_sent_before_the_next_one_is_there(
    make: Any, asks: bool, world: World
) -> None:
    world = replace(world, symmetric=True)
    scope = scope_of(request(world, asks=asks).environ())

    async def serve() -> list[bytes]:
        seen = asyncio.Event()
        sent: list[bytes] = []
        read = False

        async def events() -> AsyncIterator[bytes]:
            for event in EVENTS:
                yield event
                # Whoever holds the event back waits for ever.
                await seen.wait()
                seen.clear()

        async def receive() -> Any:
            nonlocal read
            if read:
                await asyncio.Event().wait()
            read = True
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                assert message["status"] == 200
            elif message.get("body"):
                sent.append(message["body"])
                seen.set()

        await asyncio.wait_for(make(world, events)(scope, receive, send), PATIENCE)
        return sent

    assert asyncio.run(serve()) == EVENTS
