"""Stores in the memory of one process (:rfc:`9449#section-11.1`)."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from hashlib import blake2b
from heapq import heappop, heappush
from typing import Final

from dpop_ext.errors import StoreError
from dpop_ext.symmetric.secret_ring import SecretRing

#: Seconds that an expired entry is kept for, while there is room: the times of two
#: threads, and of a clock that is corrected, do not come in order.
GRACE: Final = 10
#: Entries for which a part of the store is made. To grow a table of this size takes
#: well under a millisecond.
PART_SIZE: Final = 4096
#: Expired entries that one call drops at most, and one that needs the room.
DROPPED_AT_ONCE: Final = 512
DROPPED_FOR_ROOM: Final = 4096

#: Bits of the number that stands for a key: those of an int of 32 bytes.
_NUMBER: Final = (1 << 60) - 1
_NEVER: Final = 1 << 62
_TOO_FAR_BACK: Final = "The replay store cannot look back so far."


def _salted(width: int) -> Callable[[bytes], int]:
    """Return a hash of 60 bits or more, salted in each process.

    :param width: bits of ``hash``, which is that wherever Python has 64 bits.
    """
    if width > _NUMBER.bit_length():
        return hash
    salt = os.urandom(blake2b.SALT_SIZE)

    def salted(key: bytes) -> int:
        return int.from_bytes(blake2b(key, digest_size=8, salt=salt).digest())

    return salted


_hash: Final = _salted(sys.hash_info.width)


class MemoryReplayStore:
    """Remember used proofs in this process; other processes do not see them.

    The entries are spread over parts by the hash of the key, so that no table is so
    large that its growth is felt. A key has one entry, because the same proof may come
    with another expiry; and for each second there is a list of the keys that expire in
    it: nothing is ever searched for old entries.

    What is kept of a key is a number: 60 bits of its salted hash. A key that has the
    number of another one counts as used, as one of 10**12 does with a million entries;
    a used one never counts as new. Nobody can aim at the requests of others: neither
    the salt is known (unless ``PYTHONHASHSEED`` is), nor a key that is still unused.

    A new key takes no lock, which would be half of its time. Of several threads that
    bring the same one, ``dict.setdefault`` lets one put in an object of its own. Only
    that thread may write to an entry that was absent; whatever else changes or drops an
    entry holds the lock.

    :param max_entries: entries that are kept at most. A large store can be full with
        a few percent less, because the parts do not fill evenly. A full store refuses
        all requests rather than forget a proof that can still be used.
    """

    def __init__(self, max_entries: int = 1_000_000) -> None:
        if max_entries < 1:
            raise ValueError("max_entries must be positive")
        # Not many, so that the ends of them all stay in the cache of the processor.
        # And odd, because a dict looks for a key at the place that the last bits of its
        # hash name: were the part chosen by these, too, all keys of a part would meet
        # in a few places of it.
        parts = min(127, max_entries // PART_SIZE) | 1
        self._count = parts
        self._capacity = max_entries // parts
        #: The number of each key, with the second in which it expires: one object for
        #: all its keys, where the time itself would be 32 bytes for each. While a
        #: thread adds the key, an object of that thread.
        self._parts: tuple[dict[int, object], ...] = tuple({} for _ in range(parts))
        self._seconds: dict[int, _Second] = {}
        #: A heap of the same seconds, and the time until which the first is kept.
        self._ends: list[int] = []
        self._kept_until = _NEVER
        #: The latest second of which something was dropped.
        self._dropped_until = -1
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Count the entries; some may have expired without having been dropped yet."""
        return sum(map(len, self._parts))

    def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
        """Insert *key* if it is absent; see :class:`dpop_ext.stores.base.ReplayStore`.

        :raises StoreError: the clock went back to a time whose entries have been
            dropped, or the store is full.
        """
        if expires_at < now:
            return False
        if self._kept_until < now:
            self._drop(now - GRACE, DROPPED_AT_ONCE)
        # The hash is salted, so that nobody can aim at one part either.
        number = _hash(key) & _NUMBER
        part = self._parts[number % self._count]
        # New, and made in half the time that object() takes. Whether the number is a
        # new object nobody promises.
        own: object = []
        found = part.setdefault(number, own)
        if found is not own:
            if type(found) is _Second and found.expires_at >= now > self._dropped_until:
                return False
            return self._add_again(key, number, expires_at=expires_at, now=now)
        if len(part) > self._capacity:
            self._make_room(part, number, now)
        try:
            second = self._seconds[expires_at]
        except KeyError:
            second = self._begin(expires_at)
        second.numbers.append(number)
        part[number] = second
        # Not before: it may have been dropped until just before it was not found.
        if now <= self._dropped_until:
            self._take_back(part, number, second)
        return True

    def _add_again(self, key: bytes, number: int, *, expires_at: int, now: int) -> bool:
        """Add a key that was found, if it has expired; look with the lock held."""
        part = self._parts[number % self._count]
        with self._lock:
            self._check_clock(now)
            found = part.get(number)
            if found is not None:
                # What is no second is of the thread that is adding the key.
                if not isinstance(found, _Second) or found.expires_at >= now:
                    return False
                second = self._second(expires_at)
                second.numbers.append(number)
                part[number] = second
                return True
        # It was dropped meanwhile.
        return self.add(key, expires_at=expires_at, now=now)

    def _make_room(self, part: dict[int, object], number: int, now: int) -> None:
        """Drop what has expired; if that does not help, refuse *number*."""
        try:
            self._check_clock(now)
            self._drop(now, DROPPED_FOR_ROOM)
            if len(part) > self._capacity:
                raise StoreError("The replay store is full.")
        except StoreError:
            del part[number]
            raise

    def _take_back(self, part: dict[int, object], number: int, second: _Second) -> None:
        """Refuse *number*, which has been added at a time of which nothing is known."""
        with self._lock:
            # It may have been dropped, and then added by another thread.
            if part.get(number) is second:
                second.repeats = True
                del part[number]
        raise StoreError(_TOO_FAR_BACK)

    def _check_clock(self, now: int) -> None:
        if now <= self._dropped_until:
            raise StoreError(_TOO_FAR_BACK)

    def _begin(self, expires_at: int) -> _Second:
        with self._lock:
            return self._second(expires_at)

    def _second(self, expires_at: int) -> _Second:
        second = self._seconds.get(expires_at)
        if second is None:
            second = self._seconds[expires_at] = _Second(expires_at)
            heappush(self._ends, expires_at)
            self._kept_until = self._ends[0] + GRACE
        return second

    def _drop(self, before: int, most: int) -> None:
        """Drop up to *most* entries that expired before the second *before*."""
        parts, count, ends = self._parts, self._count, self._ends
        with self._lock:
            while most > 0 and ends and ends[0] < before:
                # First: whoever does not find a key looks at this afterwards.
                self._dropped_until = max(self._dropped_until, ends[0])
                second = self._seconds[ends[0]]
                numbers = second.numbers
                # From the end, so that the rest need not move. What other threads
                # append meanwhile may go, too: they look at the above afterwards.
                kept = max(len(numbers) - most, 0)
                taken = numbers[kept:]
                del numbers[kept:]
                most -= len(taken)
                if second.repeats:
                    taken = list(dict.fromkeys(taken))
                owners = [parts[number % count] for number in taken]
                # By one call for all of them, so that the processor fetches several
                # from memory at a time; it would wait for each of them otherwise.
                found = list(map(dict.get, owners, taken))
                for part, number, entry in zip(owners, taken, found, strict=True):
                    # After it expired it may have been added again.
                    if entry is second:
                        del part[number]
                if not numbers:
                    del self._seconds[heappop(ends)]
            self._kept_until = ends[0] + GRACE if ends else _NEVER


class _Second:
    """The keys that expire in one second."""

    __slots__ = ("expires_at", "numbers", "repeats")

    def __init__(self, expires_at: int) -> None:
        self.expires_at = expires_at
        self.numbers: list[int] = []
        #: Whether one was taken back: if it comes again, it is in the list twice.
        self.repeats = False


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
