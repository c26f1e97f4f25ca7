"""Replay protection on Redis or Valkey, for many machines (RFC 9449 section 11.1)."""

from __future__ import annotations

import os
import random
import time
from time import perf_counter
from typing import Any, Generic, Self, TypeVar

from dpop_ext.errors import StoreError
from dpop_ext.extras import needs
from dpop_ext.stores.base import CLOCK_TOLERANCE
from dpop_ext.stores.circuit import CircuitBreaker
from dpop_ext.stores.redis_client import (
    AsyncRedisClient,
    RedisClient,
    check_settings,
    connect,
)
from dpop_ext.stores.redis_connections import Connections
from dpop_ext.stores.redis_flights import MAX_FLIGHTS, Flights
from dpop_ext.stores.server_clock import CLOCK_CHECK, ServerClock
from dpop_ext.telemetry import record_store, timing_store

Client = TypeVar("Client")

#: Not the global ones: an application may begin those anew.
_random = random.Random()  # noqa: S311


def _number() -> int:
    """Return a number for a call, which no other call may have; it is no secret.

    Those of the operating system would let another thread go first. Two processes may
    draw the same random ones: one was forked from the other, and no hook of Python is
    called where a server in C does so, as uWSGI does; or both are one virtual machine
    that was started twice from a snapshot. So process and time are part of it.
    """
    return _random.getrandbits(63) ^ os.getpid() << 40 ^ time.time_ns()


class _Store(Generic[Client]):
    """The commands, and what their answers mean; nothing is sent from here.

    :param client: sends them.
    :raises TypeError: it is a URL, or *prefix* is no bytes.
    """

    def __init__(
        self,
        client: Client,
        *,
        prefix: bytes = b"",
        clock_tolerance: int = CLOCK_TOLERANCE,
        clock_check: float | None = CLOCK_CHECK,
        circuit: CircuitBreaker | None = None,
    ) -> None:
        check_settings(client, prefix)
        if clock_tolerance < 0:
            raise ValueError("clock_tolerance must not be negative")
        self._client = client
        self._prefix = prefix
        #: What every entry lives for beyond its proof: *expires_at* still counts, and
        #: the clock of another server may be behind.
        self._extra = 1 + clock_tolerance
        self._clock = ServerClock(tolerance=clock_tolerance, every=clock_check)
        self._circuit = circuit or CircuitBreaker()

    def _command(self, key: bytes, *, lifetime: int) -> tuple[int, tuple[Any, ...]]:
        """Return the number of a new call, and ``SET`` with its arguments.

        Redis answers with the value that was there before, or with nothing. The number
        is that of the call itself if the command was sent twice, because the answer to
        the first was lost: it set the key, too.

        :param lifetime: seconds for which the proof is good, and those by which this
            server is ahead: Redis expires by its own clock, which need not agree.
        """
        token = _number()
        lifetime += self._extra
        # No int: hiredis ends the process if a signal handler raises while it makes a
        # text of one, as handlers do that end a worker or a request.
        value, seconds = b"%d" % token, b"%d" % lifetime
        return token, ("SET", self._prefix + key, value, "NX", "GET", "EX", seconds)

    def _learn(self, answer: Any, *, asked: float, now: int) -> int:
        """Take the answer to ``TIME``: seconds, and microseconds of the next one."""
        seconds, microseconds = answer
        server_time = int(seconds) + int(microseconds) / 1e6
        return self._clock.learn(server_time, asked=asked, now=now)


class RedisReplayStore(_Store[RedisClient]):
    """Remember used proofs in Redis 7 or Valkey: one round trip, one atomic command.

    Each entry holds a random number of the call that made it. A client library that
    sends the command again, because a connection broke or a Cluster moved the key,
    is so told its own entry from somebody else's: no honest request is taken for a
    replay, and none is accepted twice. A call that ends without an answer raises
    :class:`~dpop_ext.errors.StoreError`: the proof counts as used or not, nobody
    knows, and a client makes a new one for its next request anyway.

    What the server must be told: ``maxmemory-policy noeviction``, or it drops live
    entries under pressure. What it can lose: with asynchronous replication a failover
    forgets the last entries, and without ``appendonly`` a restart forgets all of them.
    Where that matters, require nonces, and begin with a new secret for them after such
    an event: all earlier proofs are void then.

    :param client: a ``redis.Redis``, of a Sentinel too, or a ``redis.RedisCluster``,
        with time-outs of its own (``socket_timeout``, ``socket_connect_timeout``).
    :param prefix: what all keys begin with.
    :param clock_tolerance: seconds by which a server's clock may be behind that of
        Redis; entries are kept for as much longer. One that is further behind is
        refused: it would accept proofs that others used and Redis has dropped.
    :param clock_check: seconds between two questions for the time of Redis, each one
        more round trip of one request; None is never, for calls with a *now* that is no
        real time: then only a clock that was set back by more is noticed.
    :param circuit: when to stop asking a Redis that is down; None is the default one.
    """

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        prefix: bytes = b"",
        connect_timeout: float = 0.5,
        timeout: float = 0.5,
        clock_tolerance: int = CLOCK_TOLERANCE,
        clock_check: float | None = CLOCK_CHECK,
        circuit: CircuitBreaker | None = None,
    ) -> Self:
        """Connect to one server.

        A broken connection is replaced once; a time-out is not tried again.

        :param url: ``redis://``, ``rediss://`` for TLS, or ``unix://``; user, password
            and the options of redis-py can be part of it.
        :param connect_timeout: seconds.
        :param timeout: seconds for the answer.
        """
        client = connect(url, connect_timeout=connect_timeout, timeout=timeout)
        return cls(
            Connections(client),
            prefix=prefix,
            clock_tolerance=clock_tolerance,
            clock_check=clock_check,
            circuit=circuit,
        )

    def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
        """Insert *key* if it is absent; see :class:`dpop_ext.stores.base.ReplayStore`.

        :raises StoreError: Redis cannot be reached, is too slow, loading, full or
            read-only; or this server's clock is behind.
        """
        if expires_at < now:
            return False
        try:
            ahead = self._clock.ahead(now)
            if ahead is None:
                with self._circuit, timing_store("redis"):
                    asked = self._clock.read()
                    answer = self._client.execute_command("TIME")
                ahead = self._learn(answer, asked=asked, now=now)
            token, command = self._command(key, lifetime=expires_at - now + ahead)
            answered = False
            with self._circuit:
                # What timing_store does, by three calls less in each request.
                begun = perf_counter()
                try:
                    held = self._client.execute_command(*command, get=True)
                    answered = True
                finally:
                    record_store("redis", begun, answered=answered)
            return held is None or int(held) == token
        except StoreError:
            raise
        except Exception as error:
            raise StoreError from error

    def close(self) -> None:
        """Close all connections."""
        self._client.close()


class AsyncRedisReplayStore(_Store[AsyncRedisClient]):
    """:class:`RedisReplayStore` for ``asyncio``, with the same parameters.

    With :meth:`from_url` calls that come together are sent in pipelines.

    :param client: a ``redis.asyncio.Redis`` or ``redis.asyncio.RedisCluster``. Await
        ``initialize()`` of the latter before there are requests: some of those that
        come together while it looks for its nodes would fail (503).
    """

    _flights: Flights | None = None

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        prefix: bytes = b"",
        connect_timeout: float = 0.5,
        timeout: float = 0.5,
        max_flights: int = MAX_FLIGHTS,
        clock_tolerance: int = CLOCK_TOLERANCE,
        clock_check: float | None = CLOCK_CHECK,
        circuit: CircuitBreaker | None = None,
    ) -> Self:
        """Connect to one server; as :meth:`RedisReplayStore.from_url`.

        :param max_flights: connections, each with one call or one pipeline of calls at
            a time. More calls wait for one of them, and so for two time-outs at most
            if they are no more than a thousand for each.
        """
        with needs("redis"):
            from redis.asyncio import Redis  # noqa: PLC0415
            from redis.asyncio.retry import Retry  # noqa: PLC0415
            from redis.backoff import NoBackoff  # noqa: PLC0415
            from redis.exceptions import ConnectionError as Broken  # noqa: PLC0415

        client = Redis.from_url(
            url,
            socket_connect_timeout=connect_timeout,
            socket_timeout=timeout,
            retry=Retry(NoBackoff(), 1, supported_errors=(Broken,)),
        )
        store = cls(
            client,
            prefix=prefix,
            clock_tolerance=clock_tolerance,
            clock_check=clock_check,
            circuit=circuit,
        )
        store._flights = Flights(client, max_flights=max_flights)
        return store

    async def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
        """Insert *key* if it is absent; as :meth:`RedisReplayStore.add`."""
        if expires_at < now:
            return False
        try:
            ahead = self._clock.ahead(now)
            if ahead is None:
                with self._circuit, timing_store("redis"):
                    asked = self._clock.read()
                    answer = await self._send("TIME")
                ahead = self._learn(answer, asked=asked, now=now)
            token, command = self._command(key, lifetime=expires_at - now + ahead)
            with self._circuit, timing_store("redis"):
                held = await self._send(*command, get=True)
            return held is None or int(held) == token
        except StoreError:
            raise
        except Exception as error:
            raise StoreError from error

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def _send(self, *command: Any, **options: Any) -> Any:
        if self._flights is not None:
            return await self._flights.send(*command, **options)
        return await self._client.execute_command(*command, **options)
