"""Servers whose engines the tests stop, slow down and fill."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any

import pytest
from joserfc.jwk import ECKey

from dpop_ext.stores.circuit import CircuitBreaker
from dpop_ext.stores.redis import RedisReplayStore
from tests.conftest import Clock
from tests.engines import RedisServer, redis_server, wait_until
from tests.resource_server.world import Request, Response, World, send

#: Seconds: what a request may wait, and how long a store is left alone after failures.
#: Before and after a fault an answer has so long, too, on a busy machine.
TIMEOUT, PAUSE = 1.0, 0.05


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """Return a server of the test's own, to do harm to."""
    with redis_server() as server:
        yield server


def open_store(server: RedisServer, *, pause: float = PAUSE) -> RedisReplayStore:
    return RedisReplayStore.from_url(
        server.url,
        connect_timeout=TIMEOUT,
        timeout=TIMEOUT,
        clock_check=None,
        circuit=CircuitBreaker(seconds=pause),
    )


class Api:
    """A protected API with a store, of which there may be several nodes."""

    def __init__(self, world: World) -> None:
        self.world = world

    @cached_property
    def app(self) -> Any:
        return self.world.wsgi_app()

    def request(self, **changes: Any) -> Request:
        token = self.world.token()
        proof = self.world.proof(token, **changes)
        return Request(headers=[("Authorization", f"DPoP {token}"), ("DPoP", proof)])

    def send(self, request: Request | None = None) -> Response:
        return send(self.app, (request or self.request()).environ())

    def is_served(self) -> bool:
        """Tell whether a new request is; for waiting until service returns."""
        return self.send().status == 200


@pytest.fixture
def make_api(clock: Clock, ec_key: ECKey, other_ec_key: ECKey) -> Iterator[Any]:
    stores: list[Any] = []

    def make(store: Any, **options: Any) -> Api:
        stores.append(store)
        return Api(
            World(
                clock=clock,
                key=ec_key,
                other_key=other_ec_key,
                issuer_key=other_ec_key,
                store=store,
                **options,
            )
        )

    yield make
    for store in stores:
        if hasattr(store, "close"):
            store.close()


def assert_unavailable(response: Response) -> None:
    """See that a refusal says that it is the server's fault, and when to come back."""
    assert response.status == 503
    assert response.json["error"] == "temporarily_unavailable"
    assert int(response.only("Retry-After")) > 0
    assert response.values("WWW-Authenticate") == []


def go_through(
    api: Api, fault: AbstractContextManager[None], caplog: pytest.LogCaptureFixture
) -> None:
    """See that nothing is served during a fault, and all is well after it."""
    used = api.request()
    assert api.send(used).status == 200
    unused = api.request()
    with caplog.at_level(logging.WARNING, "dpop_ext"), fault:
        for request in (used, unused):
            assert_unavailable(api.send(request))
    assert "reason=store_unavailable" in caplog.text
    wait_until(api.is_served, what="service returns by itself")
    # What was used before the fault stays used, and what was refused is good once.
    assert api.send(used).json["error"] == "invalid_dpop_proof"
    assert [api.send(unused).status for _ in range(2)][-1] == 401
