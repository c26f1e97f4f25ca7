"""A bounded map of what was seen lately; it keeps results, never decisions."""

from __future__ import annotations

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Two generations of entries. When the young one is full, the old one is dropped.

    What is in use moves back into the young generation. Threads share it without a
    lock: each step is one operation on a dict, and a race loses an entry at worst,
    which is then made anew. So an entry that was replaced can come back: whoever reads
    one checks that it still holds.

    :param max_entries: of both generations.
    :raises ValueError: *max_entries* is less than 2.
    """

    __slots__ = ("_limit", "_old", "young")

    def __init__(self, max_entries: int) -> None:
        if max_entries < 2:
            raise ValueError("max_entries must be at least 2")
        self._limit = max_entries // 2
        #: Where most are found that are found. A request looks there first, by one call
        #: less: ``recent.young.get(key) or recent.get(key)``.
        self.young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def __len__(self) -> int:
        return len(self.young) + len(self._old)

    def get(self, key: K) -> V | None:
        """Return the entry, or None."""
        value = self.young.get(key)
        if value is None:
            value = self._old.pop(key, None)
            if value is not None:
                self.put(key, value)
        return value

    def add(self, key: K, value: V) -> bool:
        """Put in an entry, and tell whether there was none."""
        if key in self.young or key in self._old:
            return False
        self.put(key, value)
        return True

    def put(self, key: K, value: V) -> None:
        """Keep *value* until so many others were used that it has to go."""
        young = self.young
        if len(young) >= self._limit:
            self._old = young
            self.young = young = {}
        young[key] = value
