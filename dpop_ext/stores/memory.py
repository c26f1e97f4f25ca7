"""Stores in the memory of one process."""

from __future__ import annotations

import threading
from typing import Final

from dpop_ext.errors import StoreError
from dpop_ext.symmetric.secret_ring import SecretRing

#: Entries are dropped together with all that expire in the same so many seconds.
GENERATION: Final = 16
#: Parts that a key belongs to by its first byte, each with a lock and tables of its
#: own: neither growing nor dropping a table is long enough to stall a request.
SHARDS: Final = 64


class MemoryReplayStore:
    """Remember used proofs in this process; other processes do not see them.

    :param max_entries: about so many live entries and no more: when they are reached,
        requests are refused rather than proofs forgotten that can still be used.
    """

    def __init__(self, max_entries: int = 1_000_000) -> None:
        if max_entries <= 0:
            raise ValueError("max_entries must be positive")
        limit = -(-max_entries // SHARDS)
        self._shards = tuple(_Shard(limit) for _ in range(SHARDS))

    def __len__(self) -> int:
        """Count the entries; some may have expired without having been dropped yet."""
        return sum(shard.count for shard in self._shards)

    def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
        """Insert *key* if it is absent; see :class:`dpop_ext.stores.base.ReplayStore`.

        :raises StoreError: the store is full; or the clock went back so far that it
            may have forgotten *key*.
        """
        shard = self._shards[key[0] % SHARDS]
        return shard.add(key, expires_at=expires_at, now=now)


class _Shard:
    __slots__ = ("_dropped_until", "_generations", "_limit", "_lock", "count")

    def __init__(self, limit: int) -> None:
        self.count = 0
        self._limit = limit
        self._lock = threading.Lock()
        #: Expiry of each key, by the generation that it falls into.
        self._generations: dict[int, dict[bytes, int]] = {}
        #: The last second of the newest generation that was dropped.
        self._dropped_until = -1

    def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
        with self._lock:
            # A clock that is set back brings proofs to life whose entries are gone.
            # Not expires_at: the second use of such a proof has a later one.
            if now <= self._dropped_until:
                raise StoreError("The replay store cannot look back so far.")
            for generation in self._generations.values():
                expiry = generation.get(key)
                if expiry is not None and now <= expiry:
                    return False
            self._drop_expired(now)
            if self.count >= self._limit:
                raise StoreError("The replay store is full.")
            # A key that expired is overwritten only in its own generation, and counted
            # twice otherwise, until that one is dropped.
            generation = self._generations.setdefault(expires_at // GENERATION, {})
            self.count += key not in generation
            generation[key] = expires_at
            return True

    def _drop_expired(self, now: int) -> None:
        # One generation later than they could be: a thread may have read the clock
        # before another one that was here first, and clocks are set back a little.
        for number in [n for n in self._generations if (n + 2) * GENERATION <= now]:
            self.count -= len(self._generations.pop(number))
            last = (number + 1) * GENERATION - 1
            self._dropped_until = max(self._dropped_until, last)


class MemoryKeyring:
    """A :class:`dpop_ext.stores.base.KeyringSource` that is told its secrets."""

    def __init__(self, ring: SecretRing) -> None:
        self._ring = ring

    def load(self) -> SecretRing:
        """Return the secrets that were set last."""
        return self._ring

    def replace(self, ring: SecretRing) -> None:
        """Use *ring* from the next request on."""
        self._ring = ring
