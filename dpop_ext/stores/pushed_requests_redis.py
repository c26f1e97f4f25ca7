"""Pushed authorization requests on Redis or Valkey (RFC 9126)."""

from __future__ import annotations

from typing import Self

from dpop_ext.errors import TooManyRequestsError
from dpop_ext.stores.circuit import CircuitBreaker
from dpop_ext.stores.pushed_requests import (
    MAX_PER_CLIENT,
    PushedRequest,
    dump_request,
    name_hash,
    parse_request,
)
from dpop_ext.stores.redis_client import RedisClient, RedisStore, connect


class RedisPushedRequestStore(RedisStore):
    """Keep pushed requests in Redis 7 or Valkey.

    A :class:`dpop_ext.stores.pushed_requests.PushedRequestStore`. Each request is one
    entry, which Redis drops when its time is over. A sorted set for each client tells
    how many there are; between two commands somebody else can be served, so requests
    at the same moment can exceed the share by their number.

    :param client: a ``redis.Redis`` or ``redis.RedisCluster``, with time-outs of its
        own; :meth:`from_url` makes one.
    :param prefix: what all keys begin with.
    :param max_per_client: live requests of one client.
    :param circuit: when to stop asking a Redis that is down; None is the default one.
    """

    def __init__(
        self,
        client: RedisClient,
        *,
        prefix: bytes = b"par:",
        max_per_client: int = MAX_PER_CLIENT,
        circuit: CircuitBreaker | None = None,
    ) -> None:
        if max_per_client < 1:
            raise ValueError("max_per_client must be positive")
        super().__init__(client, prefix=prefix, circuit=circuit)
        self._max_per_client = max_per_client

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        prefix: bytes = b"par:",
        connect_timeout: float = 0.5,
        timeout: float = 0.5,
        max_per_client: int = MAX_PER_CLIENT,
        circuit: CircuitBreaker | None = None,
    ) -> Self:
        """Connect to one server; as :meth:`RedisReplayStore.from_url`.

        :param connect_timeout: seconds.
        :param timeout: seconds for an answer.
        """
        client = connect(url, connect_timeout=connect_timeout, timeout=timeout)
        return cls(
            client, prefix=prefix, max_per_client=max_per_client, circuit=circuit
        )

    def save(self, reference: str, pushed: PushedRequest, *, now: int) -> None:
        """Store *pushed* until it expires.

        :raises TooManyRequestsError: its client has as many as it may have.
        :raises StoreError: Redis cannot be reached, is too slow, full or read-only.
        """
        lifetime = pushed.expires_at - now
        if lifetime <= 0:
            return
        own, member = self._client_key(pushed.client_id), name_hash(reference)
        with self._sending() as send:
            send("ZREMRANGEBYSCORE", own, "-inf", now)
            count = send("ZCARD", own)
        # Not inside: that would count as a failure of Redis.
        if count >= self._max_per_client:
            raise TooManyRequestsError
        with self._sending() as send:
            # Counted first: what is stored has been counted, whatever fails.
            send("ZADD", own, pushed.expires_at, member)
            send("EXPIRE", own, lifetime, "NX")
            send("EXPIRE", own, lifetime, "GT")
            send("SET", self._prefix + member, dump_request(pushed), "EX", lifetime)

    def load(self, reference: str) -> PushedRequest | None:
        """Return a request that was saved and not consumed.

        :raises StoreError: Redis did not answer.
        """
        with self._sending() as send:
            text = send("GET", self._prefix + name_hash(reference))
        return None if text is None else parse_request(text)

    def consume(self, reference: str) -> bool:
        """Remove a request in one command; True for the one call that did.

        A client library that has to send the command again, because the answer was
        lost, gets False for a request that is then gone.

        :raises StoreError: Redis did not answer. It may be removed or not.
        """
        member = name_hash(reference)
        with self._sending() as send:
            text = send("GETDEL", self._prefix + member)
            if text is None:
                return False
            send("ZREM", self._client_key(parse_request(text).client_id), member)
        return True

    def _client_key(self, client_id: str) -> bytes:
        return self._prefix + b"client:" + name_hash(client_id)
