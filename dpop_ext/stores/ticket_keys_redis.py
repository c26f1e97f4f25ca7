"""Ticket keys on Redis or Valkey (DPoP Symmetric Profile 1.0)."""

from __future__ import annotations

import hashlib
from typing import Self

from dpop_ext.stores.circuit import CircuitBreaker
from dpop_ext.stores.redis_client import RedisClient, RedisStore, connect
from dpop_ext.symmetric.sealed_ticket_key import (
    open_ticket_key,
    seal_ticket_key,
    ticket_row_key,
)
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.ticket_keys import TicketKey, period_of

#: Hours before the present one whose key can still be good.
_HOURS_BACK = 2


class RedisTicketKeyTable(RedisStore):
    """Keep the ticket keys of one resource server in Redis 7 or Valkey, encrypted.

    For :class:`dpop_ext.stores.ticket_keys.RotatingTicketKeys`. Redis drops a key by
    itself when its last ticket has ended. All keys are in one slot of a Cluster.

    A server that was cut off, or a failover, can bring back an hour without its key:
    another one is made, and the tickets under the lost one end.

    :param client: a ``redis.Redis`` or ``redis.RedisCluster``, with time-outs of its
        own; :meth:`from_url` makes one.
    :param audience: the resource server's own identifier.
    :param row_key: encrypts the keys, 32 bytes, and is nowhere in Redis. For another
        one take another prefix.
    :param prefix: what all names begin with.
    :param circuit: when to stop asking a Redis that is down; None is the default one.
    :raises ValueError: a *row_key* of another length.
    """

    def __init__(
        self,
        client: RedisClient,
        *,
        audience: str,
        row_key: SecretBytes,
        prefix: bytes = b"ticket_key:",
        circuit: CircuitBreaker | None = None,
    ) -> None:
        super().__init__(client, prefix=prefix, circuit=circuit)
        self._audience = audience
        self._row_key = ticket_row_key(row_key, audience=audience)
        name = hashlib.sha256(audience.encode()).hexdigest()
        # The braces say what decides about the slot in a Cluster.
        self._prefix = prefix + b"{" + name.encode("ascii") + b"}:"

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        audience: str,
        row_key: SecretBytes,
        prefix: bytes = b"ticket_key:",
        connect_timeout: float = 0.5,
        timeout: float = 0.5,
        circuit: CircuitBreaker | None = None,
    ) -> Self:
        """Connect to one server; as :meth:`RedisReplayStore.from_url`.

        :param connect_timeout: seconds.
        :param timeout: seconds for an answer.
        """
        client = connect(url, connect_timeout=connect_timeout, timeout=timeout)
        return cls(
            client, audience=audience, row_key=row_key, prefix=prefix, circuit=circuit
        )

    def add(self, key: TicketKey, *, now: int) -> None:
        """Keep *key*, unless there is one for the same hour.

        :raises StoreError: Redis cannot be reached, is too slow, full or read-only.
        """
        row = seal_ticket_key(key, audience=self._audience, row_key=self._row_key)
        name = self._name(period_of(key.issue_from))
        with self._sending() as send:
            # Relative: Redis expires by its own clock.
            send("SET", name, row, "NX", "EX", key.expires_at - now)

    def read(self, *, now: int) -> list[TicketKey]:
        """Return the keys that are good at *now* or later, oldest first.

        :raises StoreError: Redis did not answer, or a row was not written by us.
        """
        periods = range(period_of(now) - _HOURS_BACK, period_of(now) + 2)
        with self._sending() as send:
            rows = send("MGET", *(self._name(period) for period in periods))
        keys = [
            open_ticket_key(
                row, period=period, audience=self._audience, row_key=self._row_key
            )
            for period, row in zip(periods, rows, strict=True)
            if row is not None
        ]
        return [key for key in keys if now < key.expires_at]

    def erase(self, *, now: int) -> None:
        """Do nothing: Redis has been told when to drop each key."""

    def _name(self, period: int) -> bytes:
        return self._prefix + str(period).encode("ascii")
