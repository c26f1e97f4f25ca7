"""Who logged out lately, on Redis or Valkey (DPoP Symmetric Profile 1.0)."""

from __future__ import annotations

from typing import Final, Self

from dpop_ext.stores.circuit import CircuitBreaker
from dpop_ext.stores.logouts import logout_name
from dpop_ext.stores.redis_client import RedisClient, RedisStore, connect

# One step, so that of two log-outs at the same moment the later stays.
_SCRIPT: Final = """
local held = redis.call('GET', KEYS[1])
if held and tonumber(held) > tonumber(ARGV[1]) then return end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
"""


class RedisLogoutStore(RedisStore):
    """Remember log-outs in Redis 7 or Valkey.

    A :class:`dpop_ext.stores.base.LogoutStore`.

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
        super().__init__(client, prefix=prefix, circuit=circuit)

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
            send("EVAL", _SCRIPT, 1, name, not_before, expires_at - now)

    def find(self, issuer: str, jkt: str, *, now: int) -> int | None:
        """Return the last bad second of this key's tickets, or None.

        :raises StoreError: Redis did not answer.
        """
        with self._sending() as send:
            held = send("GET", self._prefix + logout_name(issuer, jkt))
        return None if held is None else int(held)
