"""Which answers of an ASGI application are held and signed, and which pass."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from dpop_ext.integrations.asgi import DPoPMiddleware
from dpop_ext.symmetric.response import MAX_ANSWER
from tests.resource_server.test_answer import asking, assert_unsigned, verify
from tests.resource_server.under_wsgi import scope_of
from tests.resource_server.world import AUDIENCE, Request, Response, World

Message = dict[str, Any]


@pytest.fixture
def world(world: World) -> World:
    return replace(world, symmetric=True)


def start(status: int = 200, *fields: tuple[str, object]) -> Message:
    headers = [(name.lower().encode(), str(value).encode()) for name, value in fields]
    return {"type": "http.response.start", "status": status, "headers": headers}


def body(content: bytes = b"", *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": content, "more_body": more}


def length(value: object) -> tuple[str, object]:
    return "Content-Length", value


FILE = {"type": "http.response.pathsend", "path": "/content"}


def answer_of(
    world: World, request: Request, *messages: Message
) -> tuple[Response, list[int]]:
    """Return the answer, and how much of it had gone out after each message."""
    sent: list[Message] = []
    passed: list[int] = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)
            passed.append(len(sent))

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    protected = DPoPMiddleware(
        app, verifier=world.verifier, find_token=world.validator, public_url=AUDIENCE
    )
    asyncio.run(protected(scope_of(request.environ()), receive, send))
    assert [each["type"] for each in sent] == [each["type"] for each in messages]
    content = b"".join(each.get("body", b"") for each in sent)
    fields = [(n.decode(), v.decode()) for n, v in sent[0]["headers"]]
    return Response(status=sent[0]["status"], headers=fields, body=content), passed


@pytest.mark.requirement("R2162", "R2164")
@pytest.mark.parametrize(
    "messages",
    [
        (start(), body(b"a")),
        (start(200, length(2)), body(b"a", more=True), body(b"b")),
        (start(200, ("DPoP-Response", "of another")), body(b"a")),
        (start(204), body(b"", more=True), body()),
        (start(304, length(MAX_ANSWER + 1)), body()),
        (start(200, length(MAX_ANSWER)), body(bytes(MAX_ANSWER), more=True), body()),
    ],
)
def test_an_answer_of_known_length_is_held_and_has_a_proof(
    world: World, messages: tuple[Message, ...]
) -> None:
    request = asking(world)
    answer, passed = answer_of(world, request, *messages)
    verify(world, request, answer)
    assert passed == [0] * (len(messages) - 1) + [len(messages)]


@pytest.mark.requirement("R2162")
def test_the_answer_to_head_is_signed_whatever_length_it_names(world: World) -> None:
    request = asking(world, method="HEAD")
    messages = (start(200, length(MAX_ANSWER + 1)), body())
    verify(world, request, answer_of(world, request, *messages)[0])


@pytest.mark.requirement("R2164")
@pytest.mark.parametrize(
    ("messages", "passed"),
    [
        ((start(), body(b"a", more=True), body(b"b")), [0, 2, 3]),
        ((start(200, length(MAX_ANSWER + 1)), body(bytes(MAX_ANSWER + 1))), [1, 2]),
        ((start(200, length("9" * 5000)), body(b"a")), [1, 2]),
        # It says less than there is, or more.
        ((start(200, length(1)), body(b"ab")), [0, 2]),
        ((start(200, length(3)), body(b"ab")), [0, 2]),
        (
            (start(200, length(1)), body(bytes(MAX_ANSWER + 1), more=True), body()),
            [0, 2, 3],
        ),
        # It says so twice, or says nothing.
        (
            (start(200, length(2), length(2)), body(b"a", more=True), body(b"b")),
            [0, 2, 3],
        ),
        ((start(200, length("x")), body(b"a", more=True), body(b"b")), [0, 2, 3]),
        # What the server sends then is not known here.
        ((start(), FILE), [0, 2]),
        ((start(200, length(0)), FILE), [0, 2]),
    ],
)
def test_a_stream_passes_as_it_comes_and_has_no_proof(
    world: World, messages: tuple[Message, ...], passed: list[int]
) -> None:
    answer, found = answer_of(world, asking(world), *messages)
    assert_unsigned(answer, 200)
    assert found == passed


def test_nothing_is_held_of_an_answer_that_is_not_to_be_proved(world: World) -> None:
    messages = (start(), body(b"a"))
    answer, passed = answer_of(world, asking(world, claims={}), *messages)
    assert_unsigned(answer, 200)
    assert passed == [1, 2]
