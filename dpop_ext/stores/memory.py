"""Stores in the memory of one process."""

from __future__ import annotations

import threading
from typing import Final

from dpop_ext.errors import StoreError
from dpop_ext.symmetric.secret_ring import SecretRing

#: Seconds that an expired entry is kept for, while there is room: the times of two
#: threads, and of a clock that is corrected, do not come in order.
GRACE: Final = 10
#: Entries for which a part of the store is made. Growing or dropping tables of this
#: size takes well under a millisecond.
PART_SIZE: Final = 4096


class MemoryReplayStore:
    """Remember used proofs in this process; other processes do not see them.

    The entries are spread over parts by the hash of the key, each with its own lock.
    In a part they are grouped by the time at which they expire, and a group is dropped
    as a whole when all of it has: nothing is ever searched for old entries. Groups
    span at most a quarter of the life of their entries, so that there are few to look
    into, however long that life is.

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


class _Part:
    """A part of a replay store. Whoever holds its lock may use it."""

    __slots__ = ("_capacity", "_dropped_until", "_groups", "_next_drop", "lock", "size")

    def __init__(self, capacity: int) -> None:
        self.lock = threading.Lock()
        self.size = 0
        self._capacity = capacity
        #: By the last second in which any key of a group lives: its keys, each with
        #: the seconds by which it expires before that. Small numbers are one object
        #: for all of Python, where the time itself would be 32 bytes for each key.
        self._groups: dict[int, dict[bytes, int]] = {}
        #: The earliest of those seconds. Nothing can be dropped up to it.
        self._next_drop = 0
        #: The latest of those seconds that was dropped.
        self._dropped_until = -1

    def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
        if expires_at < now:
            return False
        if self._next_drop < now - GRACE:
            self._drop(now - GRACE)
        if now <= self._dropped_until:
            raise StoreError("The replay store cannot look back so far.")
        # In every group: the same proof may come with another expiry.
        for group_end, held in self._groups.items():
            early = held.get(key)
            if early is not None and group_end - early >= now:
                return False
        if self.size >= self._capacity:
            self._drop(now)
            if self.size >= self._capacity:
                raise StoreError("The replay store is full.")
        lifetime = expires_at - now
        span = 1 << max(lifetime.bit_length() - 3, 0)
        end = expires_at | (span - 1)
        group = self._groups.get(end)
        if group is None:
            group = self._groups[end] = {}
            self._next_drop = min(self._groups)
        held_before = len(group)
        group[key] = end - expires_at
        self.size += len(group) - held_before
        return True

    def _drop(self, before: int) -> None:
        """Drop the groups in which every entry has expired before *before*."""
        for end in [end for end in self._groups if end < before]:
            self.size -= len(self._groups.pop(end))
            self._dropped_until = max(self._dropped_until, end)
        self._next_drop = min(self._groups, default=before)


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
