"""Redis behind TLS and a user who may do no more than the stores do."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis, RedisCluster
from redis.exceptions import NoPermissionError

from dpop_ext.errors import StoreError
from dpop_ext.stores.pushed_requests_contract import make_request
from dpop_ext.stores.pushed_requests_redis import RedisPushedRequestStore
from dpop_ext.stores.redis import AsyncRedisReplayStore, RedisReplayStore
from tests.engines import RedisServer, find_redis, free_ports, redis_server
from tests.integrations.reverse_proxy import write_certificate
from tests.patience import PATIENT

PASSWORD = secrets.token_hex(16)
#: As docs/operations.md says.
PROOFS = "+set +get +time"
PUSHED_REQUESTS = "+getdel +zadd +zcard +zrem +zremrangebyscore +expire"
CLUSTER = "+command +cluster|slots"


@pytest.fixture(scope="module")
def port() -> int:
    return free_ports(1)[0]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tls")
    write_certificate(directory)
    return directory


@pytest.fixture(scope="module")
def server(directory: Path, port: int) -> Iterator[RedisServer]:
    if b"tls-cert-file" not in find_redis().read_bytes():
        pytest.skip("this Redis was built without TLS")
    options = (
        f"--tls-port {port} --tls-auth-clients no "
        f"--tls-cert-file {directory}/certificate.pem "
        f"--tls-key-file {directory}/key.pem"
    )
    with redis_server(options=options) as server:
        set_user(server, f"{PROOFS} {PUSHED_REQUESTS}")
        server.command("ACL", "SETUSER", "default", "off")
        yield server


def set_user(server: RedisServer, rules: str) -> None:
    server.command("ACL", "DELUSER", "app")
    words = ("on", f">{PASSWORD}", "~app:*", "-@all", *rules.split())
    assert server.command("ACL", "SETUSER", "app", *words) == "+OK\r\n"


@pytest.fixture
def url(server: RedisServer, directory: Path, port: int) -> str:
    certificate = f"ssl_ca_certs={directory}/certificate.pem"
    return f"rediss://app:{PASSWORD}@127.0.0.1:{port}?{certificate}"


def test_the_stores_need_no_more_than_the_documented_commands(url: str) -> None:
    with contextlib.closing(
        RedisReplayStore.from_url(url, prefix=b"app:", **PATIENT)
    ) as store:
        key, now = secrets.token_bytes(16), int(time.time())
        assert store.add(key, expires_at=now + 60, now=now) is True
        assert store.add(key, expires_at=now + 60, now=now) is False
    with contextlib.closing(
        RedisPushedRequestStore.from_url(url, prefix=b"app:par:", **PATIENT)
    ) as pushed:
        pushed.save("r", make_request(now), now=now)
        assert pushed.load("r") == make_request(now)
        assert pushed.consume("r") is True


async def add(url: str) -> bool:
    store = AsyncRedisReplayStore.from_url(url, prefix=b"app:", **PATIENT)
    now = int(time.time())
    try:
        return await store.add(secrets.token_bytes(16), expires_at=now + 60, now=now)
    finally:
        await store.aclose()


def test_the_asynchronous_store_speaks_tls_too(url: str) -> None:
    assert asyncio.run(add(url)) is True


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (PASSWORD, "wrong"),
        ("app:", "nobody:"),
        ("ssl_ca_certs=", "ssl_ca_path="),
        ("rediss:", "redis:"),
        ("127.0.0.1", "127.0.0.2"),
    ],
    ids=["password", "prefix", "certificate", "scheme", "host"],
)
def test_whoever_is_not_who_they_should_be_is_an_error(
    url: str, old: str, new: str
) -> None:
    changed = url.replace(old, new, 1)
    with (
        contextlib.closing(
            RedisReplayStore.from_url(changed, prefix=b"app:", **PATIENT)
        ) as store,
        pytest.raises(StoreError) as caught,
    ):
        store.add(bytes(16), expires_at=int(time.time()) + 60, now=int(time.time()))
    assert PASSWORD not in str(caught.value)


def test_keys_of_others_are_out_of_reach(url: str) -> None:
    with (
        contextlib.closing(
            RedisReplayStore.from_url(url, prefix=b"other:", **PATIENT)
        ) as store,
        pytest.raises(StoreError),
    ):
        store.add(bytes(16), expires_at=int(time.time()) + 60, now=int(time.time()))
    with (
        contextlib.closing(Redis.from_url(url)) as client,
        pytest.raises(NoPermissionError),
    ):
        client.flushall()


def test_a_client_of_a_cluster_asks_for_its_nodes_and_commands(
    redis_cluster: list[RedisServer],
) -> None:
    for node in redis_cluster:
        set_user(node, f"{PROOFS} {CLUSTER}")
    client = RedisCluster(
        host="127.0.0.1",
        port=redis_cluster[0].port,
        username="app",
        password=PASSWORD,
        socket_timeout=1,
    )
    with contextlib.closing(RedisReplayStore(client, prefix=b"app:")) as store:
        now = int(time.time())
        for number in range(10):
            key = number.to_bytes(16, "big")
            assert store.add(key, expires_at=now + 60, now=now) is True
    for node in redis_cluster:
        node.command("ACL", "DELUSER", "app")
