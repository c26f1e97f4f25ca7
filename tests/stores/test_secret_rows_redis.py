"""Sealed derivation secrets in Redis."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

from dpop_ext.errors import StoreError
from dpop_ext.stores.secret_rows_redis import COPY_LIFETIME, MAX_TEXT, RedisSecretRows
from dpop_ext.stores.secret_tables import MAX_VERSIONS
from dpop_ext.symmetric.sealed_row import SealedRow, seal_row
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.secret_ring import AudienceSecret
from tests import engines
from tests.patience import PATIENT

NAMES: dict[str, Any] = {
    "issuer": "https://as.example",
    "audience": "https://api.example",
}
KEY = SecretBytes(os.urandom(32))


def row(version: int = 1, *, sequence: int = 1, **names: str) -> SealedRow:
    entry = AudienceSecret(
        version=version,
        state="active",
        not_before=1_790_000_000,
        expires_at=1_790_086_400,
        secret=SecretBytes(os.urandom(32)),
    )
    names = NAMES | names
    return seal_row(
        entry,
        issuer=names["issuer"],
        audience=names["audience"],
        sequence=sequence,
        key=KEY,
    )


@pytest.fixture
def client(redis: engines.RedisServer) -> Iterator[Redis]:
    with Redis.from_url(redis.url) as client:
        yield client


@pytest.fixture
def rows(redis: engines.RedisServer) -> Iterator[RedisSecretRows]:
    prefix = os.urandom(8)
    rows = RedisSecretRows.from_url(redis.url, prefix=prefix, **NAMES, **PATIENT)
    yield rows
    rows.close()


def test_what_was_written_is_read(rows: RedisSecretRows) -> None:
    assert rows.read() == []
    written = [row(2, sequence=9), row(1, sequence=8)]
    assert rows.write(written)
    assert rows.read() == written


def test_an_older_copy_replaces_nothing(rows: RedisSecretRows) -> None:
    newer = [row(sequence=9)]
    assert rows.write(newer)
    assert not rows.write([row(sequence=8)])
    assert rows.read() == newer
    assert rows.write(newer)


def test_a_copy_is_gone_when_nobody_makes_it_any_more(
    rows: RedisSecretRows, client: Redis
) -> None:
    key = rows.key
    for _ in range(2):
        assert rows.write([row()])
        assert COPY_LIFETIME - 60 < client.ttl(key) <= COPY_LIFETIME
        # As late as can be: the next copy makes it last again.
        client.expire(key, 5)


@pytest.mark.parametrize(
    "others", [[], [row(audience="https://other.example")], [row(issuer="https://x")]]
)
def test_only_rows_of_this_audience_are_written(
    rows: RedisSecretRows, others: list[SealedRow]
) -> None:
    with pytest.raises(ValueError, match="this one audience"):
        rows.write(others)


def test_as_many_versions_as_are_looked_at_fit(rows: RedisSecretRows) -> None:
    written = [row(2**53 - n, sequence=2**53 - n) for n in range(1, MAX_VERSIONS + 1)]
    rows.write(written)
    assert rows.read() == written


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"nonsense",
        b"[]",
        b"{}",
        b'{"rows": 1}',
        b'{"rows": [1]}',
        b'{"rows": [{"v": 1}]}',
        b'{"rows": [{"v":1,"state":"active","nbf":0,"exp":1,"seq":1,"sealed":"!"}]}',
        b'{"rows": [{"v":1,"state":"active","nbf":0,"exp":1,"seq":1,"sealed":7}]}',
        b'{"rows": [' + b" " * MAX_TEXT + b"]}",
        b'{"rows": [' + b"[" * 1000 + b"]}",
        b"\xff",
    ],
)
def test_what_is_no_such_text_is_a_store_error(
    rows: RedisSecretRows, redis: engines.RedisServer, text: bytes
) -> None:
    with Redis.from_url(redis.url) as client:
        client.set(rows.key, text)
    with pytest.raises(StoreError):
        rows.read()


def test_without_redis_there_is_a_store_error() -> None:
    rows = RedisSecretRows.from_url("unix:///nowhere/redis.sock", **NAMES)
    for use in (rows.read, lambda: rows.write([row()])):
        with pytest.raises(StoreError):
            use()
    rows.close()


def test_each_audience_has_its_key(rows: RedisSecretRows) -> None:
    client: Any = object()
    keys = {
        RedisSecretRows(client, issuer=issuer, audience=audience).key
        for issuer, audience in (("a", "bc"), ("ab", "c"), ("a", "b"))
    }
    assert len(keys) == 3
