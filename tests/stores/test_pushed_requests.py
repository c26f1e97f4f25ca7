"""Every store of pushed requests keeps the contract, on the real engine."""

from __future__ import annotations

import contextlib
import functools
import secrets
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis, RedisCluster

from dpop_ext.errors import StoreError
from dpop_ext.stores.pushed_requests import (
    MemoryPushedRequestStore,
    PushedRequestStore,
    parse_request,
)
from dpop_ext.stores.pushed_requests_contract import (
    OpenPushedRequests,
    PushedRequestStoreContract,
    SharedPushedRequestStoreContract,
    make_request,
)
from dpop_ext.stores.pushed_requests_redis import RedisPushedRequestStore
from dpop_ext.stores.pushed_requests_sql import SQLPushedRequestStore
from dpop_ext.stores.sql_parts import SWEPT_AT_ONCE
from tests.engines import PostgresServer, RedisServer
from tests.patience import PATIENCE, PATIENT
from tests.stores import opened

NOW = 1_790_000_000


@pytest.fixture(autouse=True)
def close_stores() -> Iterator[None]:
    with opened.closing_stores():
        yield


def sql_store(url: str, table: str, max_per_client: int) -> SQLPushedRequestStore:
    store = SQLPushedRequestStore.from_url(
        url, table=table, max_per_client=max_per_client, timeout=opened.LOCK_TIMEOUT
    )
    opened.close_at_last(store.close)
    store.create_schema()
    return store


def redis_store(url: str, prefix: bytes, max_per_client: int) -> Any:
    store = RedisPushedRequestStore.from_url(
        url, prefix=prefix, max_per_client=max_per_client, **PATIENT
    )
    opened.close_at_last(store.close)
    return store


def cluster_store(port: int, prefix: bytes, max_per_client: int) -> Any:
    client = RedisCluster(
        host="127.0.0.1",
        port=port,
        socket_timeout=PATIENCE,
        socket_connect_timeout=PATIENCE,
    )
    store = RedisPushedRequestStore(
        client, prefix=prefix, max_per_client=max_per_client
    )
    opened.close_at_last(store.close)
    return store


@pytest.mark.requirement("J-7")
class TestMemory(PushedRequestStoreContract):
    def make_store(self) -> PushedRequestStore:
        return MemoryPushedRequestStore(max_per_client=self.max_per_client)


@pytest.mark.requirement("J-7")
class TestSQLite(SharedPushedRequestStoreContract):
    @pytest.fixture(autouse=True)
    def _use(self, tmp_path: Path) -> None:
        self.path = tmp_path / "pushed.sqlite3"

    def make_opener(self) -> OpenPushedRequests:
        table, url = f"t{secrets.token_hex(8)}", f"sqlite:///{self.path}"
        return functools.partial(sql_store, url, table, self.max_per_client)

    @contextlib.contextmanager
    def engine_gone(self) -> Iterator[None]:
        with contextlib.closing(sqlite3.connect(self.path)) as other:
            other.execute("BEGIN EXCLUSIVE")
            yield
            other.rollback()


@pytest.mark.requirement("J-7")
class TestPostgreSQL(SharedPushedRequestStoreContract):
    @pytest.fixture(autouse=True)
    def _use(self, postgres: PostgresServer) -> None:
        self.postgres = postgres

    def make_opener(self) -> OpenPushedRequests:
        table, url = f"t{secrets.token_hex(8)}", self.postgres.url
        return functools.partial(sql_store, url, table, self.max_per_client)

    @contextlib.contextmanager
    def engine_gone(self) -> Iterator[None]:
        self.postgres.kill()
        yield
        self.postgres.start()


@pytest.mark.requirement("J-7")
class TestRedis(SharedPushedRequestStoreContract):
    @pytest.fixture(autouse=True)
    def _use(self, redis: RedisServer) -> None:
        self.redis = redis

    def make_opener(self) -> OpenPushedRequests:
        prefix, url = secrets.token_bytes(8), self.redis.url
        return functools.partial(redis_store, url, prefix, self.max_per_client)

    @contextlib.contextmanager
    def engine_gone(self) -> Iterator[None]:
        self.redis.kill()
        yield
        self.redis.start()


@pytest.mark.requirement("J-7")
class TestValkey(TestRedis):
    @pytest.fixture(autouse=True)
    def _use(self, valkey: RedisServer) -> None:
        self.redis = valkey


@pytest.mark.requirement("J-7")
class TestRedisCluster(SharedPushedRequestStoreContract):
    recovery = 10

    @pytest.fixture(autouse=True)
    def _use(self, redis_cluster: list[RedisServer]) -> None:
        self.nodes = redis_cluster

    def make_opener(self) -> OpenPushedRequests:
        prefix, port = secrets.token_bytes(8), self.nodes[0].port
        return functools.partial(cluster_store, port, prefix, self.max_per_client)

    @contextlib.contextmanager
    def engine_gone(self) -> Iterator[None]:
        for node in self.nodes:
            node.kill()
        yield
        for node in self.nodes:
            node.start()


def test_the_database_holds_no_reference_that_could_be_used(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite3"
    store = sql_store(f"sqlite:///{path}", "t", 10)
    reference = secrets.token_urlsafe(32)
    store.save(reference, make_request(NOW), now=NOW)
    store.close()
    content = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"scope" in content
    assert reference.encode() not in content


def test_each_request_that_is_saved_sweeps_some_that_have_expired(
    tmp_path: Path,
) -> None:
    path = tmp_path / "x.sqlite3"
    number = SWEPT_AT_ONCE + 10
    store = sql_store(f"sqlite:///{path}", "t", number)
    for reference in range(number):
        store.save(str(reference), make_request(NOW), now=NOW)
    left = []
    for turn in range(2):
        later = NOW + 300
        store.save(f"new-{turn}", make_request(later), now=later)
        with contextlib.closing(sqlite3.connect(path)) as connection:
            left += connection.execute("SELECT count(*) FROM t").fetchone()
    assert left == [number - SWEPT_AT_ONCE + 1, 2]


def test_redis_keeps_a_request_for_its_lifetime_and_nothing_of_a_client_longer(
    redis: RedisServer,
) -> None:
    prefix = secrets.token_hex(8).encode()
    store = redis_store(redis.url, prefix, 10)
    store.save("r", make_request(NOW), now=NOW)
    store.save("expired", make_request(NOW), now=NOW + 300)
    with contextlib.closing(Redis.from_url(redis.url)) as client:
        keys = client.keys(prefix + b"*")
        assert len(keys) == 2
        for key in keys:
            assert 290 < client.ttl(key) <= 300
        assert store.consume("r") is True
        assert client.keys(prefix + b"*") == []


def test_a_client_that_floods_does_not_open_the_circuit(redis: RedisServer) -> None:
    store = redis_store(redis.url, secrets.token_bytes(8), 1)
    store.save("r", make_request(NOW), now=NOW)
    for _ in range(20):
        with pytest.raises(Exception, match="Too many"):
            store.save("s", make_request(NOW), now=NOW)
    assert store.consume("r") is True


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"client_id": 1}', b"\xff", "null"])
def test_what_is_no_request_is_an_error_of_the_store(text: str | bytes) -> None:
    with pytest.raises(StoreError):
        parse_request(text)


def test_a_share_of_none_is_refused() -> None:
    for make in (
        MemoryPushedRequestStore,
        functools.partial(SQLPushedRequestStore.from_url, "sqlite:///x"),
        functools.partial(RedisPushedRequestStore.from_url, "redis://x"),
    ):
        with pytest.raises(ValueError, match="max_per_client"):
            make(max_per_client=0)
