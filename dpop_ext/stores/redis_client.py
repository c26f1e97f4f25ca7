"""Connections of the stores on Redis and Valkey, and what may go wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from dpop_ext.errors import StoreError
from dpop_ext.extras import needs
from dpop_ext.stores.circuit import CircuitBreaker
from dpop_ext.stores.redis_sockets import connection_options
from dpop_ext.telemetry import timing_store


class RedisClient(Protocol):
    """What is used of ``redis.Redis``, ``redis.RedisCluster`` and those of Valkey."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send one command; return the parsed answer."""
        ...

    def close(self) -> Any:
        """Close all connections."""
        ...


class AsyncRedisClient(Protocol):
    """What is used of ``redis.asyncio.Redis`` and ``redis.asyncio.RedisCluster``."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send one command; return the parsed answer."""
        ...

    async def aclose(self) -> Any:
        """Close all connections."""
        ...


class PipeliningClient(AsyncRedisClient, Protocol):
    """What is used of ``redis.asyncio.Redis`` beside that."""

    def pipeline(self, *, transaction: bool) -> Any:
        """Collect commands to be sent together."""
        ...


def check_settings(client: object, prefix: object) -> None:
    """Refuse what every command would fail with.

    :raises TypeError: *client* is a URL, or *prefix* is no bytes.
    """
    if isinstance(client, str):
        raise TypeError("client is one of redis-py; from_url takes a URL")
    if not isinstance(prefix, bytes):
        raise TypeError('prefix is bytes, such as b"api:"')


def connect(url: str, *, connect_timeout: float, timeout: float) -> RedisClient:
    """Return a client that replaces a broken connection once, and then gives up.

    :param url: as :meth:`RedisReplayStore.from_url`.
    :param connect_timeout: seconds.
    :param timeout: seconds for an answer.
    """
    with needs("redis"):
        from redis import Redis  # noqa: PLC0415
        from redis.backoff import NoBackoff  # noqa: PLC0415
        from redis.exceptions import ConnectionError as Broken  # noqa: PLC0415
        from redis.retry import Retry  # noqa: PLC0415

    return Redis.from_url(
        url,
        socket_connect_timeout=connect_timeout,
        socket_timeout=timeout,
        retry=Retry(NoBackoff(), 1, supported_errors=(Broken,)),
        **connection_options(url),
    )


class RedisStore:
    """What the stores that send several commands have in common.

    :param client: a ``redis.Redis`` or ``redis.RedisCluster``, with time-outs.
    :param prefix: what all keys begin with.
    :param circuit: when to stop asking a Redis that is down; None is the default one.
    :raises TypeError: *client* is a URL, or *prefix* is no bytes.
    """

    def __init__(
        self, client: RedisClient, *, prefix: bytes, circuit: CircuitBreaker | None
    ) -> None:
        check_settings(client, prefix)
        self._client = client
        self._prefix = prefix
        self._circuit = circuit or CircuitBreaker()

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    @contextmanager
    def _sending(self) -> Iterator[Callable[..., Any]]:
        """Lend what sends a command; all that goes wrong is a :class:`StoreError`."""
        try:
            with self._circuit, timing_store("redis"):
                yield self._client.execute_command
        except StoreError:
            raise
        except Exception as error:
            raise StoreError from error
