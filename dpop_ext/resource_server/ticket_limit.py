"""How many tickets a client can make a resource server encrypt (Symmetric Profile)."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from dpop_ext.tickets import Tickets

#: Seconds for one ticket of one key, and how many it gets at once.
KEY_INTERVAL: Final = 60.0
KEY_BURST: Final = 3
#: Keys, and clients, that are remembered; the one asked about longest ago is forgotten
#: first. What a flood of keys wins by that, the limit of its client takes back.
MAX_ENTRIES: Final = 10_000

_ROUNDING: Final = 1e-3


class TicketLimit:
    """The limits of one resource server, in this process.

    :param tickets: has the limit for clients.
    :param clock: seconds since the epoch.
    """

    def __init__(self, tickets: Tickets, *, clock: Callable[[], float]) -> None:
        self._keys = _Buckets(KEY_INTERVAL, KEY_BURST, clock=clock)
        self._clients = _Buckets(
            1 / tickets.client_rate, 2 * tickets.client_rate, clock=clock
        )

    def allows(self, *, jkt: str, client_id: str) -> bool:
        """Count one ticket, and tell whether it may be made."""
        return self._keys.take(jkt) and self._clients.take(client_id)


class _Buckets:
    """A bucket of tokens for each name.

    A bucket is one number: when it will be full again.
    """

    def __init__(
        self, interval: float, burst: int, *, clock: Callable[[], float]
    ) -> None:
        self._interval = interval
        self._span = interval * burst
        self._clock = clock
        self._lock = threading.Lock()
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def take(self, name: str) -> bool:
        with self._lock:
            now = self._clock()
            full_at = max(now, self._full_at.get(name, now))
            # A little is lost to rounding in each addition.
            full_last = now + self._span + _ROUNDING
            if full_at > full_last:  # nothing is that empty: the clock was set back
                full_at = now
            if full_at + self._interval > full_last:
                return False
            self._full_at[name] = full_at + self._interval
            self._full_at.move_to_end(name)
            if len(self._full_at) > MAX_ENTRIES:
                self._full_at.popitem(last=False)
            return True
