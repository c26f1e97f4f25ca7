"""A clock that stands still."""

from __future__ import annotations


class FakeClock:
    """Seconds since the epoch, which pass only when the test says so.

    It is a ``clock`` for all that takes one.

    :param start: the time it shows at first.
    """

    def __init__(self, start: float = 1_790_000_000) -> None:
        self._time = start

    def __call__(self) -> float:
        """Return the time."""
        return self._time

    @property
    def now(self) -> int:
        """The time, in whole seconds."""
        return int(self._time)

    def advance(self, seconds: float) -> None:
        """Let *seconds* pass; a negative number sets the clock back."""
        self._time += seconds
