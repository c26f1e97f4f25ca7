"""When the refresh that a stale symmetric key calls for takes place.

DPoP Symmetric Profile 1.0.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

#: Runs a job at the time of its choice, once.
Schedule = Callable[[Callable[[], None]], None]

#: Longest delay, in seconds. A retired secret is noticed by all clients at once, and
#: nothing is urgent: their tokens work with asymmetric proofs.
MAX_JITTER = 10.0


def uniform_jitter() -> float:
    """Return a random delay from 0 to 10 seconds."""
    return random.SystemRandom().uniform(0.0, MAX_JITTER)


def in_background(*, jitter: Callable[[], float] = uniform_jitter) -> Schedule:
    """Run each job in a thread of its own, after a delay.

    The thread does not keep the process alive.

    :param jitter: returns the delay, in seconds.
    """

    def schedule(job: Callable[[], None]) -> None:
        timer = threading.Timer(jitter(), job)
        timer.daemon = True
        timer.start()

    return schedule


def in_foreground(job: Callable[[], None]) -> None:
    """Run each job at once, before the response that called for it is returned."""
    job()
