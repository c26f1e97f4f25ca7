"""A Redis that a Sentinel replaces by its replica while requests come."""

from __future__ import annotations

import random
import secrets
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.sentinel import Sentinel

from dpop_ext.errors import StoreError
from dpop_ext.stores.circuit import CircuitBreaker
from dpop_ext.stores.redis import RedisReplayStore
from tests.engines import RedisServer, free_ports, redis_server, wait_until
from tests.faults.conftest import PAUSE, TIMEOUT


@contextmanager
def sentinel_of(port: int, *, watch: int) -> Iterator[RedisServer]:
    """Run a Sentinel that replaces the primary at *port* when it is down."""
    with tempfile.TemporaryDirectory(prefix="sentinel-") as directory:
        config = Path(directory, "sentinel.conf")
        config.write_text(
            f"sentinel monitor main 127.0.0.1 {port} 1\n"
            # Longer than a primary on a busy machine is silent.
            "sentinel down-after-milliseconds main 2000\n"
            "sentinel failover-timeout main 3000\n"
        )
        server = RedisServer(Path(directory), port=watch, sentinel=config)
        try:
            server.start()
            yield server
        finally:
            server.kill()


class Traffic:
    """Threads that add keys, and try each again that was added before."""

    def __init__(self, store: RedisReplayStore) -> None:
        self._store = store
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(3)]
        #: When each key was accepted, and all over again.
        self.accepted: dict[bytes, list[float]] = {}
        self.refusals: list[float] = []
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def is_served_since(self, moment: float) -> bool:
        return any(times[-1] > moment for times in list(self.accepted.values()))

    def _run(self) -> None:
        known: list[bytes] = []
        while not self._ended.is_set():
            is_again = bool(known) and random.random() < 0.6
            key = random.choice(known) if is_again else secrets.token_bytes(16)
            now = int(time.time())
            try:
                begun = time.monotonic()
                if self._store.add(key, expires_at=now + 66, now=now):
                    self.accepted.setdefault(key, []).append(begun)
                    known.append(key)
            except StoreError:
                self.refusals.append(time.monotonic())
                self._ended.wait(0.01)


@pytest.mark.requirement("X-15")
def test_a_switch_of_the_primary_under_traffic_loses_its_last_moments_at_most() -> None:
    port, other, watch = free_ports(3)
    options = "--repl-diskless-sync-delay 0"
    with (
        redis_server(port=port, options=options) as primary,
        redis_server(port=other, options=options) as replica,
    ):
        replica.command("REPLICAOF", "127.0.0.1", str(port))
        wait_until(
            lambda: "master_link_status:up" in replica.command("INFO", "replication"),
            what="the replica follows",
        )
        with sentinel_of(port, watch=watch) as sentinel:
            wait_until(
                lambda: "num-slaves\r\n$1\r\n1" in asked(sentinel),
                what="the Sentinel knows the replica",
            )
            clients: Any = Sentinel([("127.0.0.1", watch)], socket_timeout=TIMEOUT)  # type: ignore[no-untyped-call]
            client = clients.master_for("main", socket_timeout=TIMEOUT)
            store = RedisReplayStore(client, circuit=CircuitBreaker(seconds=PAUSE))
            traffic = Traffic(store)
            try:
                wait_until(lambda: len(traffic.accepted) > 300, what="there is traffic")
                told = set(traffic.accepted)
                sent = offset(primary, "master_repl_offset")
                wait_until(
                    lambda: offset(replica, "slave_repl_offset") >= sent,
                    what="the replica has all that was accepted before",
                )
                assert traffic.refusals == []
                primary.kill()
                killed = time.monotonic()
                wait_until(
                    lambda: traffic.is_served_since(killed + 0.1),
                    what="service returns by itself",
                )
                served = time.monotonic()
                wait_until(
                    lambda: time.monotonic() > served + 0.5, what="all is tried again"
                )
            finally:
                traffic.end()
                store.close()
                for watcher in clients.sentinels:
                    watcher.close()
    assert traffic.refusals
    again = {key: times for key, times in traffic.accepted.items() if len(times) > 1}
    assert not told & again.keys()
    for first, *more in again.values():
        assert first <= killed
        # Once more, by the one that did not know it.
        assert len(more) == 1


def offset(server: RedisServer, name: str) -> int:
    """Return how far the stream of a primary's writes is sent, or received."""
    shown = server.command("INFO", "replication")
    return int(shown.partition(f"{name}:")[2].partition("\r\n")[0])


def asked(sentinel: RedisServer) -> str:
    return sentinel.command("SENTINEL", "MASTER", "main")
