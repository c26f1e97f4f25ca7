"""What keeps ticket keys for the processes of a server (DPoP Symmetric Profile 1.0)."""

from __future__ import annotations

import threading
from typing import Protocol

from dpop_ext.symmetric.ticket_keys import TicketKey, period_of


class TicketKeyTable(Protocol):
    """Keeps the ticket keys of one resource server for all of its processes."""

    def add(self, key: TicketKey, *, now: int) -> None:
        """Keep *key*, unless there is one for the same hour: in one atomic step.

        :param now: seconds since the epoch.
        :raises StoreError: the table does not answer.
        """
        ...

    def read(self, *, now: int) -> list[TicketKey]:
        """Return the keys that are good at *now* or later, oldest first.

        :raises StoreError: the table does not answer, or a key in it was not written
            by us.
        """
        ...

    def erase(self, *, now: int) -> None:
        """Delete the keys that have ended by *now*, for ever.

        :raises StoreError: the table does not answer.
        """
        ...


class MemoryTicketKeyTable:
    """A :class:`TicketKeyTable` in this process; other processes do not see it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: dict[int, TicketKey] = {}

    def add(self, key: TicketKey, *, now: int) -> None:
        """Keep *key*, unless there is one for the same hour."""
        with self._lock:
            self._keys.setdefault(period_of(key.issue_from), key)

    def read(self, *, now: int) -> list[TicketKey]:
        """Return the keys that are good at *now* or later, oldest first."""
        with self._lock:
            keys = [self._keys[period] for period in sorted(self._keys)]
        return [key for key in keys if now < key.expires_at]

    def erase(self, *, now: int) -> None:
        """Delete the keys that have ended by *now*."""
        with self._lock:
            self._keys = {
                period: key
                for period, key in self._keys.items()
                if now < key.expires_at
            }
