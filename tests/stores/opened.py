"""Stores opened by name, here and in other processes, and closed at last."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack

from redis import RedisCluster

from dpop_ext.stores.redis import RedisReplayStore
from dpop_ext.stores.server_clock import CLOCK_CHECK
from dpop_ext.stores.sql import SQLReplayStore
from tests.patience import PATIENCE, PATIENT

#: Seconds that a store in a database waits for a lock: for one that nobody lets go, and
#: for that of another process of a race.
LOCK_TIMEOUT = 1.0

_opened = ExitStack()


@contextlib.contextmanager
def closing_stores() -> Iterator[None]:
    """Close in the end what was opened in this process."""
    try:
        yield
    finally:
        _opened.close()


def close_at_last(close: Callable[[], object]) -> None:
    """Call *close* when the test has ended."""
    _opened.callback(close)


def redis_store(
    url: str, prefix: bytes, clock_check: float | None = CLOCK_CHECK
) -> RedisReplayStore:
    store = RedisReplayStore.from_url(
        url, prefix=prefix, clock_check=clock_check, **PATIENT
    )
    close_at_last(store.close)
    return store


def cluster_store(
    port: int, prefix: bytes, clock_check: float | None = CLOCK_CHECK
) -> RedisReplayStore:
    client = RedisCluster(
        host="127.0.0.1",
        port=port,
        socket_timeout=PATIENCE,
        socket_connect_timeout=PATIENCE,
    )
    store = RedisReplayStore(client, prefix=prefix, clock_check=clock_check)
    close_at_last(store.close)
    return store


def sql_store(url: str, table: str, sweep_every: int) -> SQLReplayStore:
    store = SQLReplayStore.from_url(
        url, table=table, sweep_every=sweep_every, timeout=LOCK_TIMEOUT
    )
    close_at_last(store.close)
    store.create_schema()
    return store
