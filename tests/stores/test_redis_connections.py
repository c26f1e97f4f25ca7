"""Connections to Redis that are used again: each command gets its own answer."""

from __future__ import annotations

import contextlib
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from redis import exceptions
from redis.exceptions import ResponseError

from dpop_ext.errors import StoreError
from dpop_ext.stores.redis import RedisReplayStore
from dpop_ext.stores.redis_connections import Connections
from tests.engines import RedisServer, wait_until
from tests.patience import PATIENCE, PATIENT

pytestmark = pytest.mark.requirement("X-15")


@pytest.fixture
def store(redis: RedisServer) -> Iterator[RedisReplayStore]:
    with contextlib.closing(RedisReplayStore.from_url(redis.url, **PATIENT)) as store:
        assert add(store, b"warm up")
        yield store


def add(store: RedisReplayStore, key: bytes) -> bool:
    now = int(time.time())
    return store.add(key, expires_at=now + 66, now=now)


def opened(client: Any) -> int:
    """Count the connections that were ever opened."""
    number: int = client.info("stats")["total_connections_received"]
    return number


def connected(client: Any) -> int:
    """Count the connections that are open now."""
    number: int = client.info("clients")["connected_clients"]
    return number


def test_calls_one_after_another_take_one_connection(
    client: Any, store: RedisReplayStore
) -> None:
    before = opened(client)
    assert all(add(store, secrets.token_bytes(16)) for _ in range(20))
    assert opened(client) == before


def test_calls_at_the_same_time_take_one_connection_each(
    client: Any, store: RedisReplayStore
) -> None:
    keys = [number.to_bytes(16) for number in range(200)] * 2
    barrier = threading.Barrier(4)

    def use(part: list[bytes]) -> list[tuple[bytes, bool]]:
        barrier.wait()
        return [(key, add(store, key)) for key in part]

    before = opened(client)
    with ThreadPoolExecutor(4) as threads:
        parts = [keys[start::4] for start in range(4)]
        answers = [answer for part in threads.map(use, parts) for answer in part]

    assert sorted(key for key, added in answers if added) == sorted(set(keys))
    assert opened(client) - before <= 3


def test_an_answer_that_nobody_read_is_not_given_to_the_next_command(
    client: Any, store: RedisReplayStore
) -> None:
    """It may say that a proof is new, and the next one was used before."""
    used = secrets.token_bytes(16)
    assert add(store, used)
    (connection,) = store._client._idle  # type: ignore[attr-defined]

    def receive(_size: int) -> bytes:
        raise KeyboardInterrupt

    connection._receive = receive
    with pytest.raises(KeyboardInterrupt):
        add(store, secrets.token_bytes(16))

    assert add(store, used) is False


def test_after_an_error_the_server_is_looked_for_again(
    client: Any, store: RedisReplayStore
) -> None:
    """It may say that it follows another one now, which has its name."""
    client.rpush(b"list", "no proof")
    before = opened(client)

    with pytest.raises(StoreError) as raised:
        add(store, b"list")

    assert isinstance(raised.value.__cause__, ResponseError)
    assert opened(client) == before
    assert add(store, b"another") is True
    assert add(store, b"another") is False
    assert opened(client) == before + 1


def test_an_answer_in_parts_is_put_together(
    client: Any, store: RedisReplayStore
) -> None:
    long = secrets.token_bytes(100_000)
    client.set(b"long", long)

    assert store._client.execute_command("GET", "long") == long
    assert add(store, b"long2") is True


def test_news_of_the_server_is_no_answer(client: Any, redis: RedisServer) -> None:
    """Nor does it leave an answer to the next command."""
    used, unused = secrets.token_bytes(16), secrets.token_bytes(16)
    url = redis.url + "?protocol=3"
    with contextlib.closing(RedisReplayStore.from_url(url, **PATIENT)) as store:
        assert add(store, used) is True
        store._client.execute_command("CLIENT", "TRACKING", "ON", "BCAST")
        (connection,) = store._client._idle  # type: ignore[attr-defined]
        receive, received = connection._receive, bytearray()

        def receive_and_note(size: int) -> bytes:
            some: bytes = receive(size)
            received.extend(some)
            return some

        connection._receive = receive_and_note
        client.set(b"something", 1)  # told while the connection is idle

        # Told of its own, too, in front of the answer or behind it.
        answers = [add(store, key) for key in (used, unused, used, unused)]

    assert b"something" in received
    assert answers == [False, True, False, False]


def test_a_connection_that_was_closed_while_idle_is_replaced(
    client: Any, store: RedisReplayStore
) -> None:
    key = secrets.token_bytes(16)
    client.client_kill_filter(_type="normal", skipme=True)

    assert add(store, key) is True
    assert add(store, key) is False


def test_a_process_leaves_the_connections_of_its_parent_alone(
    client: Any, store: RedisReplayStore
) -> None:
    connections: Any = store._client
    of_parent = list(connections._idle)
    connections._process -= 1  # as a child finds it
    before = connected(client)

    assert add(store, b"a child's") is True

    assert connected(client) == before + 1
    assert not set(of_parent) & set(connections._idle)


def test_whoever_closes_the_store_closes_its_connections(
    client: Any, redis: RedisServer
) -> None:
    before = connected(client)
    store = RedisReplayStore.from_url(redis.url, **PATIENT)
    add(store, b"one")
    assert connected(client) == before + 1

    store.close()

    wait_until(lambda: connected(client) == before, what="closing")


@pytest.mark.parametrize("event", ["close", "fork"])
def test_the_pool_has_a_connection_for_a_store_that_was_closed_or_forked(
    redis: RedisServer, event: str
) -> None:
    """It has so many, 100 if nobody says otherwise, and nobody gave one back."""
    with contextlib.closing(
        RedisReplayStore.from_url(f"{redis.url}?max_connections=1", **PATIENT)
    ) as store:
        for _ in range(3):
            assert add(store, secrets.token_bytes(16))
            if event == "close":
                store.close()
            else:
                connections: Any = store._client
                connections._process -= 1  # as a child finds it


class Silent:
    """A client, its pool, connection and socket: what it is asked has no answer.

    :param error: what receiving raises.
    """

    def __init__(self, error: Exception) -> None:
        self.connection_pool = self._sock = self
        self.error = error
        self.sent: list[bytes] = []
        self.connected = 0

    def make_connection(self) -> Silent:
        return self

    def connect(self) -> None:
        self.connected += 1

    def disconnect(self) -> None:
        """The next command connects again."""

    def sendall(self, command: bytes) -> None:
        self.sent.append(command)

    def recv(self, size: int) -> bytes:
        raise self.error


@pytest.mark.parametrize(
    ("error", "attempts", "raised"),
    [
        # That of the kernel, and that of Python.
        (BlockingIOError(), 1, exceptions.TimeoutError),
        (TimeoutError(), 1, exceptions.TimeoutError),
        (ConnectionResetError(), 2, exceptions.ConnectionError),
    ],
)
def test_a_time_out_is_not_tried_again_and_a_broken_connection_once(
    error: Exception, attempts: int, raised: type[Exception]
) -> None:
    silent = Silent(error)
    connections = Connections(silent)
    for number in (1, 2):
        with pytest.raises(raised):
            connections.execute_command("SET", b"key", b"1")
        # Nor is the answer waited for with the next command.
        assert len(silent.sent) == silent.connected == attempts * number


WITHOUT_HIREDIS = """
import sys
sys.modules["hiredis"] = None
from dpop_ext.stores.redis import RedisReplayStore
RedisReplayStore.from_url("redis://localhost")
"""


def test_who_lacks_hiredis_is_told_what_to_install() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_HIREDIS],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    # Python 3.15 adds a guess of its own.
    message = 'the package hiredis is missing: pip install "dpop-ext[redis]"'
    assert message in done.stderr.splitlines()[-1]
