"""Decisions that are made in the event loop, because nothing in them waits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from dpop_ext.core.request_digest import content_digest
from dpop_ext.errors import StoreError
from dpop_ext.integrations import asgi_reading
from dpop_ext.integrations.asgi import DPoPMiddleware
from dpop_ext.integrations.asgi_store import InEventLoop
from dpop_ext.integrations.asgi_threads import AtOnce, DecisionThreads
from dpop_ext.verifier import ProofVerifier
from tests.conftest import Clock
from tests.integrations.test_asgi import (
    AsyncStore,
    credentials,
    echo,
    starlette_application,
)
from tests.patience import PATIENCE
from tests.resource_server.world import World

URL = "https://api.example/"

Call = Callable[..., Any]


@pytest.fixture
def world(clock: Clock, ec_key: Any, other_ec_key: Any) -> World:
    return World(
        clock=clock,
        key=ec_key,
        other_key=other_ec_key,
        issuer_key=other_ec_key,
        public_url=None,
    )


@pytest.fixture(params=["middleware", "dependency"])
def call(request: pytest.FixtureRequest, world: World) -> Call:
    """Send one request; return the status of the answer."""
    if request.param == "dependency":
        app = starlette_application(world, AtOnce())
    else:
        app = protect(world)

    async def call(headers: dict[str, str], receive: Any = None) -> int:
        return await send(app, headers, receive)

    return call


def protect(world: World, **options: Any) -> DPoPMiddleware:
    options = {"verifier": world.verifier, "find_token": world.validator, **options}
    return DPoPMiddleware(echo, executor=AtOnce(), **options)


async def send(app: Any, headers: dict[str, str], receive: Any = None) -> int:
    async def no_content() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    sent: list[Any] = []

    async def note(message: Any) -> None:
        sent.append(message)

    fields = {"host": "api.example", **headers}
    scope = {
        "type": "http",
        "scheme": "https",
        "method": "POST",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "headers": [(k.lower().encode(), v.encode()) for k, v in fields.items()],
    }
    await app(scope, receive or no_content, note)
    return int(sent[0]["status"])


def headers(world: World, **changes: Any) -> dict[str, str]:
    return credentials(world, URL, method="POST", **changes)


def test_the_answers_are_the_same(world: World, call: Call) -> None:
    good = headers(world)
    other = headers(world, key=world.other_key)

    async def calls() -> list[int]:
        asked: list[dict[str, str]] = [good, good, other, {}]
        return [await call(each) for each in asked]

    assert asyncio.run(calls()) == [200, 401, 401, 401]


def test_no_thread_is_asked(world: World) -> None:
    threads = []

    def find_token(text: str) -> Any:
        threads.append(threading.get_ident())
        return world.validator(text)

    app = protect(world, find_token=find_token)

    assert asyncio.run(send(app, headers(world))) == 200
    assert threads == [threading.get_ident()]


@pytest.mark.parametrize("named", ["dpop-decision", "mine"])
def test_a_decision_is_made_in_a_thread_of_the_executor(named: str) -> None:
    async def decide() -> str:
        own = ThreadPoolExecutor(1, named) if named == "mine" else None
        threads = DecisionThreads(own, max_pending=1)
        with threads.executor:
            # One after the other, so there is a place for each.
            for _ in range(3):
                name = await threads.decide(
                    lambda: threading.current_thread().name, endpoint="/"
                )
        return name

    assert asyncio.run(decide()).startswith(f"{named}_")


@pytest.mark.requirement("X-15")
def test_the_loop_goes_on_while_a_client_sends_slowly(
    world: World, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whoever waited so long would fail.
    monkeypatch.setattr(asgi_reading, "_PATIENCE", "only in a thread")
    claims = {"cd": content_digest(b"x"), "hq": content_digest(b"")}

    async def calls() -> None:
        came = asyncio.Event()

        async def content() -> Any:
            await came.wait()
            return {"type": "http.request", "body": b"x", "more_body": False}

        slow = asyncio.create_task(call(headers(world, claims=claims), content))
        await asyncio.sleep(0)
        assert await call(headers(world, claims={"x": 1})) == 200
        assert not slow.done()
        came.set()
        assert await asyncio.wait_for(slow, PATIENCE) == 200

    asyncio.run(calls())


@pytest.mark.requirement("X-15")
def test_a_store_of_the_same_loop_is_an_error_and_not_waited_for(world: World) -> None:
    """It would have to run while the loop waits for it."""

    async def calls() -> int:
        store = InEventLoop(AsyncStore())
        with pytest.raises(StoreError, match="wait for itself"):
            store.add(b"key", expires_at=world.clock.now, now=world.clock.now)
        verifier = ProofVerifier(store, clock=world.clock)
        return await send(protect(world, verifier=verifier), headers(world))

    assert asyncio.run(calls()) == 503


def test_what_is_done_at_once_has_a_result_or_an_error() -> None:
    """A ticket, for example, which is made after the decision."""
    assert AtOnce().submit(divmod, 7, 2).result() == (3, 1)
    failed = AtOnce().submit(divmod, 1, 0)
    with pytest.raises(ZeroDivisionError):
        failed.result()
