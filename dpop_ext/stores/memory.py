"""Stores in the memory of one process (:rfc:`9449#section-11.1`)."""

from __future__ import annotations

import threading
from heapq import heappop, heappush
from typing import Final

from dpop_ext.errors import StoreError
from dpop_ext.symmetric.secret_ring import SecretRing

#: Seconds that an expired entry is kept for, while there is room: the times of two
#: threads, and of a clock that is corrected, do not come in order.
GRACE: Final = 10
#: Entries for which a part of the store is made. To grow a table of this size, or to
#: drop all of it, takes well under a millisecond.
PART_SIZE: Final = 4096


class MemoryReplayStore:
    """Remember used proofs in this process; other processes do not see them.

    The entries are spread over parts by the hash of the key, each with its own lock. A
    part has one table of them, because the same proof may come with another expiry,
    and for each second a list of those that expire in it: nothing is ever searched for
    old entries.

    :param max_entries: entries that are kept at most. A large store can be full with
        a few percent less, because the parts do not fill evenly. A full store refuses
        all requests rather than forget a proof that can still be used.
    """

    def __init__(self, max_entries: int = 1_000_000) -> None:
        if max_entries < 1:
            raise ValueError("max_entries must be positive")
        parts = max(1, min(256, max_entries // PART_SIZE))
        self._parts = tuple(_Part(max_entries // parts) for _ in range(parts))

    def __len__(self) -> int:
        """Count the entries; some may have expired without having been dropped yet."""
        return sum(part.size for part in self._parts)

    def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
        """Insert *key* if it is absent; see :class:`dpop_ext.stores.base.ReplayStore`.

        :raises StoreError: the clock went back to a time whose entries have been
            dropped, or the store is full.
        """
        # Never by a byte of the key: the hash is salted, so that nobody can aim at
        # one part.
        part = self._parts[hash(key) % len(self._parts)]
        with part.lock:
            return part.add(key, expires_at=expires_at, now=now)


class _Second:
    """The keys that expire in one second."""

    __slots__ = ("expires_at", "keys")

    def __init__(self, expires_at: int) -> None:
        self.expires_at = expires_at
        self.keys: list[bytes] = []


class _Part:
    """A part of a replay store. Whoever holds its lock may use it."""

    __slots__ = ("_capacity", "_dropped_until", "_ends", "_held", "_seconds", "lock")

    def __init__(self, capacity: int) -> None:
        self.lock = threading.Lock()
        self._capacity = capacity
        #: Each key with the second in which it expires: one object for all its keys,
        #: where the time itself would be 32 bytes for each.
        self._held: dict[bytes, _Second] = {}
        self._seconds: dict[int, _Second] = {}
        #: A heap of the same seconds.
        self._ends: list[int] = []
        #: The latest of those that was dropped.
        self._dropped_until = -1

    @property
    def size(self) -> int:
        return len(self._held)

    def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
        if expires_at < now:
            return False
        if self._ends and self._ends[0] < now - GRACE:
            self._drop(now - GRACE)
        if now <= self._dropped_until:
            raise StoreError("The replay store cannot look back so far.")
        held = self._held.get(key)
        if held is not None and held.expires_at >= now:
            return False
        if len(self._held) >= self._capacity:
            self._drop(now)
            if len(self._held) >= self._capacity:
                raise StoreError("The replay store is full.")
        second = self._seconds.get(expires_at)
        if second is None:
            second = self._seconds[expires_at] = _Second(expires_at)
            heappush(self._ends, expires_at)
        self._held[key] = second
        second.keys.append(key)
        return True

    def _drop(self, before: int) -> None:
        """Drop what has expired before *before*."""
        while self._ends and self._ends[0] < before:
            end = heappop(self._ends)
            second = self._seconds.pop(end)
            for key in second.keys:
                # After it expired it may have been added again.
                if self._held.get(key) is second:
                    del self._held[key]
            self._dropped_until = max(self._dropped_until, end)


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
