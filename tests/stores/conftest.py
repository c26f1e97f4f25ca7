"""A connection to the Redis of the tests."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

from tests.engines import RedisServer


@pytest.fixture
def client(redis: RedisServer) -> Iterator[Any]:
    with contextlib.closing(Redis.from_url(redis.url)) as client:
        client.flushall()
        yield client
        client.flushall()
