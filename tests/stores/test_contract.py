"""Every store keeps the contract, on the real engine."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import RedisCluster as AsyncRedisCluster

from dpop_ext.stores.base import ReplayStore
from dpop_ext.stores.contract import (
    OpenStore,
    ReplayStoreContract,
    SharedReplayStoreContract,
)
from dpop_ext.stores.memory import MemoryReplayStore
from dpop_ext.stores.redis import AsyncRedisReplayStore
from tests.engines import PostgresServer, RedisServer
from tests.patience import PATIENCE, PATIENT
from tests.stores import opened


@pytest.fixture(autouse=True)
def close_stores() -> Iterator[None]:
    with opened.closing_stores():
        yield


@pytest.mark.requirement("X-15", "W-4")
class TestMemory(ReplayStoreContract):
    def make_store(self) -> ReplayStore:
        return MemoryReplayStore()


class OnSQLite:
    sweep_every = 256

    @pytest.fixture(autouse=True)
    def _use(self, tmp_path: Path) -> None:
        self.path = tmp_path / "proofs.sqlite3"

    def make_opener(self) -> OpenStore:
        table = f"t{secrets.token_hex(8)}"
        url = f"sqlite:///{self.path}"
        return functools.partial(opened.sql_store, url, table, self.sweep_every)

    @contextlib.contextmanager
    def engine_gone(self) -> Iterator[None]:
        # Another program does not let go of the lock.
        with contextlib.closing(sqlite3.connect(self.path)) as other:
            other.execute("BEGIN EXCLUSIVE")
            yield
            other.rollback()


@pytest.mark.requirement("X-15", "W-4", "T9")
class TestSQLite(OnSQLite, SharedReplayStoreContract): ...


@pytest.mark.requirement("X-15", "W-4")
class TestSQLiteThatSweepsAllTheTime(OnSQLite, ReplayStoreContract):
    sweep_every = 1

    def make_store(self) -> ReplayStore:
        return self.make_opener()()

    def now(self) -> int:
        # Where the clock of the database is no limit.
        return 1_790_000_000


class OnPostgreSQL:
    sweep_every = 256

    @pytest.fixture(autouse=True)
    def _use(self, postgres: PostgresServer) -> None:
        self.postgres = postgres

    def make_opener(self) -> OpenStore:
        table = f"t{secrets.token_hex(8)}"
        url = self.postgres.url
        return functools.partial(opened.sql_store, url, table, self.sweep_every)

    @contextlib.contextmanager
    def engine_gone(self) -> Iterator[None]:
        self.postgres.kill()
        yield
        self.postgres.start()


@pytest.mark.requirement("X-15", "W-4", "T9")
class TestPostgreSQL(OnPostgreSQL, SharedReplayStoreContract): ...


@pytest.mark.requirement("X-15", "W-4")
class TestPostgreSQLThatSweepsAllTheTime(OnPostgreSQL, ReplayStoreContract):
    sweep_every = 1

    def make_store(self) -> ReplayStore:
        return self.make_opener()()

    def now(self) -> int:
        return 1_790_000_000


@pytest.mark.requirement("X-15", "W-4", "T9")
class TestRedis(SharedReplayStoreContract):
    expires_by_own_clock = True

    @pytest.fixture(autouse=True)
    def _use(self, redis: RedisServer) -> None:
        self.redis = redis

    def make_opener(self) -> OpenStore:
        prefix = secrets.token_bytes(8)
        return functools.partial(opened.redis_store, self.redis.url, prefix)

    @contextlib.contextmanager
    def engine_gone(self) -> Iterator[None]:
        self.redis.kill()
        yield
        self.redis.start()


@pytest.mark.requirement("X-15", "W-4", "T9")
class TestValkey(TestRedis):
    @pytest.fixture(autouse=True)
    def _use(self, valkey: RedisServer) -> None:
        self.redis = valkey


@pytest.mark.requirement("X-15", "W-4", "T9")
class TestRedisCluster(SharedReplayStoreContract):
    expires_by_own_clock = True
    recovery = 10

    @pytest.fixture(autouse=True)
    def _use(self, redis_cluster: list[RedisServer]) -> None:
        self.nodes = redis_cluster

    def make_opener(self) -> OpenStore:
        prefix = secrets.token_bytes(8)
        port = self.nodes[0].port
        return functools.partial(opened.cluster_store, port, prefix)

    @contextlib.contextmanager
    def engine_gone(self) -> Iterator[None]:
        for node in self.nodes:
            node.kill()
        yield
        for node in self.nodes:
            node.start()


class FromOtherThreads:
    """An asynchronous store on an event loop of its own, called from any thread."""

    def __init__(
        self, store: AsyncRedisReplayStore, start: Callable[[], Any] | None = None
    ) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._store = store
        if start is not None:
            asyncio.run_coroutine_threadsafe(start(), self._loop).result()

    def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
        added = self._store.add(key, expires_at=expires_at, now=now)
        return asyncio.run_coroutine_threadsafe(added, self._loop).result()

    def close(self) -> None:
        closed = self._store.aclose()
        asyncio.run_coroutine_threadsafe(closed, self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def async_redis_store(url: str, prefix: bytes) -> FromOtherThreads:
    store = FromOtherThreads(
        AsyncRedisReplayStore.from_url(url, prefix=prefix, **PATIENT)
    )
    opened.close_at_last(store.close)
    return store


def async_cluster_store(port: int, prefix: bytes) -> FromOtherThreads:
    client = AsyncRedisCluster(
        host="127.0.0.1",
        port=port,
        socket_timeout=PATIENCE,
        socket_connect_timeout=PATIENCE,
    )
    store = FromOtherThreads(
        AsyncRedisReplayStore(client, prefix=prefix), client.initialize
    )
    opened.close_at_last(store.close)
    return store


@pytest.mark.requirement("X-15", "W-4", "T9")
class TestAsyncRedis(TestRedis):
    def make_opener(self) -> OpenStore:
        prefix = secrets.token_bytes(8)
        return functools.partial(async_redis_store, self.redis.url, prefix)


@pytest.mark.requirement("X-15", "W-4", "T9")
class TestAsyncRedisCluster(TestRedisCluster):
    def make_opener(self) -> OpenStore:
        prefix = secrets.token_bytes(8)
        port = self.nodes[0].port
        return functools.partial(async_cluster_store, port, prefix)
