"""Ticket keys that change by the hour, out of a table (DPoP Symmetric Profile 1.0)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from dpop_ext.errors import StoreError
from dpop_ext.log_events import log_event
from dpop_ext.stores.ticket_key_table import MemoryTicketKeyTable, TicketKeyTable
from dpop_ext.symmetric.ticket_keys import (
    DEFAULT_LIFETIME,
    PERIOD,
    TicketKeys,
    check_lifetime,
    period_of,
    random_ticket_key,
)

#: Seconds between two looks into the table, unless an hour ends or a key does.
POLL: Final = 60
#: Seconds until the next look after one that failed.
RETRY: Final = 5

_log = logging.getLogger("dpop_ext.stores")


class RotatingTicketKeys:
    """Random keys that change every hour of the clock, on all servers of a table.

    Each look into the table first adds the key of the present hour and that of the
    next, where they are missing: whoever comes first makes a key, and all others use
    it. So each server has the key of an hour before the hour begins, and none has to
    be told that it has begun. A server that cannot reach the table goes on with what it
    has, until the end of the next hour; after that its clients use asymmetric proofs.

    Keys that have ended are erased by the look that comes next: the first request with
    a ticket, or for one, after that time. For a server without such requests, call
    :meth:`load` now and then.

    :param table: what the servers share; None is for a single process, whose restart
        ends all tickets.
    :param lifetime: life of a ticket, in seconds, at most 3600. A change reaches the
        hour after the next.
    :param poll: seconds between two looks into the table.
    :param clock: seconds since the epoch.
    :raises ValueError: *lifetime* or *poll* is outside its limits.
    """

    def __init__(
        self,
        table: TicketKeyTable | None = None,
        *,
        lifetime: int = DEFAULT_LIFETIME,
        poll: int = POLL,
        clock: Callable[[], float] = time.time,
    ) -> None:
        check_lifetime(lifetime)
        if not 1 <= poll <= PERIOD // 2:
            raise ValueError("poll is from 1 to 1800 seconds")
        self._table = table if table is not None else MemoryTicketKeyTable()
        self._lifetime = lifetime
        self._poll = poll
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: TicketKeys | None = None
        #: When the last look was, and when the next one is due.
        self._since = self._due = 0

    def load(self) -> TicketKeys:
        """Return the keys; see :class:`dpop_ext.stores.base.TicketKeySource`.

        :raises StoreError: there are none, because the table never answered.
        """
        now = int(self._clock())
        # One request looks. The others go on with what there is, or wait for the first
        # look of all.
        if self._is_due(now) and self._lock.acquire(blocking=self._keys is None):
            try:
                if self._is_due(now):
                    self._look(now)
            finally:
                self._lock.release()
        if self._keys is None:
            raise StoreError("There are no ticket keys.")
        return self._keys

    def _is_due(self, now: int) -> bool:
        # Also when the clock was set back.
        return not self._since <= now < self._due

    def _look(self, now: int) -> None:
        """Read the table, if it lets us; else keep what has not ended."""
        try:
            self._keys = self._exchange(now)
        except Exception as error:  # noqa: BLE001 - a table raises what its driver does
            log_event(
                _log,
                logging.WARNING,
                "ticket_keys_unavailable",
                "ticket keys were not read: %s",
                type(error).__name__,
                cause=type(error).__name__,
            )
            if self._keys is not None:
                good = [key for key in self._keys if now < key.expires_at]
                self._keys = TicketKeys(good)
            due = now + RETRY
        else:
            ends = (key.expires_at for key in self._keys)
            due = min(now + self._poll, (period_of(now) + 1) * PERIOD, *ends)
        # Last: until then the others wait for the first keys, or use the ones before.
        self._since, self._due = now, due

    def _exchange(self, now: int) -> TicketKeys:
        table = self._table
        table.erase(now=now)
        keys = table.read(now=now)
        period = period_of(now)
        missing = {period, period + 1} - {period_of(key.issue_from) for key in keys}
        if missing:
            names = [key.key_id for key in keys]
            for each in sorted(missing):
                key = random_ticket_key(each, lifetime=self._lifetime, taken=names)
                names.append(key.key_id)
                table.add(key, now=now)
            # Those of another server, if that was faster.
            keys = table.read(now=now)
        # The same objects as before: whoever holds one sees at once that it is still
        # good.
        before = {key.key_id: key for key in self._keys or ()}
        found = ((key, before.get(key.key_id)) for key in keys)
        return TicketKeys(
            known if known is not None and known == key else key for key, known in found
        )
