"""How far the clocks of servers are from the client's: :rfc:`9449#section-11.1`."""

from __future__ import annotations

import logging
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Final

from dpop_ext.log_events import log_event

#: Seconds that a clock may be off. One that is off by more has other troubles: the
#: certificates of TLS are judged by it too.
MAX_SKEW: Final = 24 * 3600
#: Servers to remember; the one that was heard of longest ago is forgotten first, which
#: costs one refusal.
MAX_SERVERS: Final = 100

#: Seconds between two values of ``Date``.
_GRANULARITY = 1
#: The one form that servers send (:rfc:`9110#section-5.6.7`).
_DATE = re.compile(
    r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-9]{2} "
    r"(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [0-9]{4} "
    r"[0-9]{2}:[0-9]{2}:[0-9]{2} GMT"
)

_log = logging.getLogger("dpop_ext.client")


class ClockSkew:
    """What was learned about clocks from servers that refused a proof.

    By origin, so that a server that tells a wrong time spoils the proofs for itself
    and no others: nobody gets proofs of the future that are good elsewhere. It corrects
    the time in proofs, and nothing else: expiry is as the client's own clock says.
    Threads may share it.

    :param limit: seconds that a server's clock may be off; 0 learns nothing.
    :raises ValueError: *limit* is negative or more than 24 hours.
    """

    def __init__(self, limit: int = MAX_SKEW) -> None:
        if not 0 <= limit <= MAX_SKEW:
            raise ValueError("a clock skew is 24 hours at most")
        self._limit = limit
        self._offsets: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    def offset(self, origin: str) -> int:
        """Return the seconds that the clock of a server is ahead of the client's."""
        with self._lock:
            return self._offsets.get(origin, 0)

    def learn(
        self, origin: str, dates: Sequence[str], *, sent: int, received: int
    ) -> bool:
        """Learn from the answer of a server that refused a proof.

        Call it for no other answer: a clock that is good enough is left alone.

        :param dates: the values of its ``Date`` header fields, one for each line.
        :param sent: when the proof was made, by the client's own clock.
        :param received: when the answer was there, likewise.
        :returns: whether the time was wrong, so that the next proof has another one.
        """
        date = read_date(dates)
        if date is None or self._limit == 0:
            return False
        # The answer was made between the two, and its date is the second it fell into.
        least, most = date - received, date + _GRANULARITY - sent
        with self._lock:
            known = self._offsets.get(origin, 0)
            if least - _GRANULARITY <= known <= most or abs(least) > self._limit:
                return False
            # The least of what it can be: servers take a proof that is some seconds
            # old, and many none from the future.
            self._keep(origin, least)
        log_event(
            _log,
            logging.WARNING,
            "clock_skew_learned",
            "the clock of a server is %d seconds ahead: its proofs are dated so",
            least,
            seconds=least,
        )
        return True

    def known(self) -> dict[str, int]:
        """Return the offsets by origin, in seconds."""
        with self._lock:
            return dict(self._offsets)

    def restore(self, offsets: Mapping[str, int]) -> None:
        """Take over what :meth:`known` returned earlier, as far as it is allowed."""
        with self._lock:
            for origin, offset in offsets.items():
                if abs(offset) <= self._limit:
                    self._keep(origin, offset)

    def _keep(self, origin: str, offset: int) -> None:
        self._offsets[origin] = offset
        self._offsets.move_to_end(origin)
        if len(self._offsets) > MAX_SERVERS:
            self._offsets.popitem(last=False)


def read_date(fields: Sequence[str]) -> int | None:
    """Return the time of a response, in seconds since the epoch.

    :param fields: the values of its ``Date`` header fields, one for each line.
    :returns: None when there is no field, more than one, or one of another form.
    """
    if len(fields) != 1 or not _DATE.fullmatch(fields[0]):
        return None
    try:
        return int(parsedate_to_datetime(fields[0]).timestamp())
    except (ValueError, OverflowError):
        return None
