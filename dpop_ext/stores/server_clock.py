"""Whether this server's clock agrees with that of the store (RFC 9449 section 11.1)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from dpop_ext.errors import StoreError
from dpop_ext.log_events import log_event

#: Seconds after which a store is asked for its time again.
CLOCK_CHECK: Final = 5.0
#: Seconds by which this server's clock may be ahead: entries are kept for as much
#: longer, so that one wrong clock would else fill the store.
MAX_AHEAD: Final = 86_400

#: Seconds for which one call may ask while the others do not.
PATIENCE: Final = 1.0

_log = logging.getLogger("dpop_ext.stores")


class ServerClock:
    """Follows the clock of a store that expires entries by itself.

    Such a store forgets a proof when its own clock says so. A server that is further
    behind than entries are kept for longer would accept the proof again, and nothing in
    the store's answer would show it: so it must ask for the time. Between two answers
    a clock that never goes back tells how late it is there, so a step of this server's
    clock is noticed at once. Nothing is sent from here.

    :param tolerance: seconds by which this server may be behind.
    :param every: seconds between two answers. None is never to ask: then only a clock
        that was set back by more than the tolerance is noticed.
    :param monotonic: seconds that never go back.
    """

    def __init__(
        self,
        *,
        tolerance: int,
        every: float | None = CLOCK_CHECK,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if every is not None and every <= 0:
            raise ValueError("the time between two checks must be positive")
        self._tolerance = tolerance
        self._every = every
        self._monotonic = monotonic
        #: By how much the store's time is above the monotonic one: at least and at
        #: most, and until when that is known. One value, so that threads see all of it.
        self._known: tuple[float, float, float] | None = None
        self._latest = 0
        self._is_reported = False

    def read(self) -> float:
        """Return seconds that never go back, for :meth:`learn`."""
        return self._monotonic()

    def ahead(self, now: int) -> int | None:
        """Return by how many seconds this server is ahead, 0 if it is behind a little.

        :param now: this server's time, in seconds since the epoch.
        :return: None if this call has to ask the store for its time, for
            :meth:`learn`. Others go by the last answer meanwhile, for a second at most.
        :raises StoreError: it is behind by more than the tolerance, or a day ahead.
        """
        if self._known is None:
            return None if self._every is not None else self._follow(now)
        least, most, until = self._known
        monotonic = self._monotonic()
        if monotonic >= until:
            self._known = least, most, monotonic + PATIENCE
            return None
        least, most = least + monotonic, most + monotonic
        # Each request comes by here, and both clocks are in the same second mostly.
        if now <= least and most < now + 1:
            return 0
        return self._judge(now, least, most)

    def learn(self, server_time: float, *, asked: float, now: int) -> int:
        """Take the store's answer, and return what :meth:`ahead` does.

        :param server_time: seconds since the epoch.
        :param asked: what :meth:`read` returned before the question was sent.
        :param now: as for :meth:`ahead`.
        :raises StoreError: as :meth:`ahead`.
        """
        answered = self._monotonic()
        least, most = server_time - answered, server_time - asked
        self._known = least, most, answered + (self._every or 0)
        self._is_reported = False
        return self._judge(now, least + answered, most + answered)

    def _judge(self, now: int, least: float, most: float) -> int:
        """Compare *now* with the store's time, which is between *least* and *most*."""
        if now < int(most) - self._tolerance:
            self._report(now - most)
            raise StoreError("The clock is behind that of the store.")
        ahead = max(0, now - int(least))
        if ahead > MAX_AHEAD:
            self._report(ahead)
            raise StoreError("The clock is a day ahead of that of the store.")
        return ahead

    def _follow(self, now: int) -> int:
        if now < self._latest - self._tolerance:
            raise StoreError("The clock was set back.")
        self._latest = max(self._latest, now)
        return 0

    def _report(self, offset: float) -> None:
        # Once for each answer, not for each request.
        if self._is_reported:
            return
        self._is_reported = True
        log_event(
            _log,
            logging.ERROR,
            "clock_refused",
            "this server's clock is %+.0f seconds from that of the store: requests are "
            "refused until they agree",
            offset,
            seconds=round(offset),
        )
