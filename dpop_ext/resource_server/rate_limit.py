"""How often something may be done for requests that nobody vouches for yet.

DPoP Symmetric Profile 1.0: what a stranger can make this server do has a limit.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


class RateLimit:
    """A token bucket: so many in a second, and as many at once.

    :param rate: in a second, at least 1.
    :param clock: seconds since the epoch.
    :raises ValueError: *rate* is less.
    """

    def __init__(self, rate: float, clock: Callable[[], float]) -> None:
        if not rate >= 1:
            raise ValueError("a rate is at least 1 in a second")
        self._rate = rate
        self._clock = clock
        self._lock = threading.Lock()
        self._left = rate
        self._filled_at = clock()

    def take(self) -> bool:
        """Tell whether it may be done once more now."""
        with self._lock:
            now = self._clock()
            # A clock that was set back gives nothing, and takes nothing.
            passed = max(now - self._filled_at, 0.0)
            self._filled_at = now
            self._left = min(self._left + passed * self._rate, self._rate)
            if self._left < 1:
                return False
            self._left -= 1
            return True
