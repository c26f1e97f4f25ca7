"""Who logged out lately, on Redis or Valkey (DPoP Symmetric Profile 1.0)."""

from __future__ import annotations

from typing import Self

from dpop_ext.stores.circuit import CircuitBreaker
from dpop_ext.stores.logouts import logout_name
from dpop_ext.stores.redis import RedisClient, RedisStore, connect


class RedisLogoutStore(RedisStore):
    """Remember log-outs in Redis 7 or Valkey.

    A :class:`dpop_ext.stores.base.LogoutStore`. Of two log-outs at the same moment the
    earlier can be the one that stays: by no more than the servers' clocks differ, for
    which the time of each has been moved already.

    What a failover forgets is a log-out that the tickets of up to an hour survive: end
    the tokens too.

    :param client: a ``redis.Redis`` or ``redis.RedisCluster``, with time-outs of its
        own; :meth:`from_url` makes one.
    :param prefix: what all keys begin with.
    :param circuit: when to stop asking a Redis that is down; None is the default one.
    """

    def __init__(
        self,
        client: RedisClient,
        *,
        prefix: bytes = b"logout:",
        circuit: CircuitBreaker | None = None,
    ) -> None:
        super().__init__(client, circuit=circuit)
        self._prefix = prefix

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        prefix: bytes = b"logout:",
        connect_timeout: float = 0.5,
        timeout: float = 0.5,
        circuit: CircuitBreaker | None = None,
    ) -> Self:
        """Connect to one server; as :meth:`RedisReplayStore.from_url`.

        :param connect_timeout: seconds.
        :param timeout: seconds for an answer.
        """
        client = connect(url, connect_timeout=connect_timeout, timeout=timeout)
        return cls(client, prefix=prefix, circuit=circuit)

    def put(
        self, issuer: str, jkt: str, *, not_before: int, expires_at: int, now: int
    ) -> None:
        """Remember a log-out until it expires.

        :raises StoreError: Redis cannot be reached, is too slow, full or read-only.
        """
        if expires_at <= now:
            return
        name = self._prefix + logout_name(issuer, jkt)
        with self._sending() as send:
            held = send("GET", name)
            if held is None or int(held) <= not_before:
                send("SET", name, not_before, "EX", expires_at - now)

    def find(self, issuer: str, jkt: str, *, now: int) -> int | None:
        """Return the last bad second of this key's tickets, or None.

        :raises StoreError: Redis did not answer.
        """
        with self._sending() as send:
            held = send("GET", self._prefix + logout_name(issuer, jkt))
        return None if held is None else int(held)
