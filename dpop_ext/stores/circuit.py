"""Stop asking a backend that does not answer, for a short while."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType

from dpop_ext.errors import StoreError


class CircuitBreaker:
    """Fail at once while a backend is down, so that no request waits for a time-out.

    Used as a context manager around each call. After *failures* calls in a row have
    failed it refuses all calls for *seconds*. Then one call tries again, while the
    others are still refused: if it succeeds, all go through.

    :param failures: consecutive failures that open the circuit.
    :param seconds: time between two tries while it is open.
    :param max_calls: calls that may wait for the backend at the same time, those that
        come at one moment not counted exactly; over it a call is refused at once. With
        fewer than the server has threads some stay free while the others wait, if the
        client of the backend has no time-out of its own. None is no limit.
    :param clock: seconds that never go back.
    """

    def __init__(
        self,
        *,
        failures: int = 5,
        seconds: float = 1.0,
        max_calls: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if failures < 1 or seconds <= 0:
            raise ValueError("failures and seconds must be positive")
        if max_calls is not None and max_calls < 1:
            raise ValueError("max_calls must be positive")
        self._limit = failures
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._next_try = 0.0
        self._max_calls = max_calls
        #: One for each call that is under way; appending and popping are atomic.
        self._calls: deque[None] = deque()

    def __enter__(self) -> None:
        """Let the call through, or not.

        :raises StoreError: the backend did not answer lately, or too many calls wait
            for it.
        """
        if self._failures >= self._limit:
            self._take_turn()
        if self._max_calls is not None:
            if len(self._calls) >= self._max_calls:
                raise StoreError("Too many calls wait for an answer.")
            self._calls.append(None)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Count a failure; a success closes the circuit."""
        if self._max_calls is not None:
            self._calls.pop()
        if kind is None:
            # Written only when it changes: this is passed by every request.
            if self._failures:
                self._failures = 0
        elif issubclass(kind, Exception):
            # Anything else, such as a cancelled task, says nothing of the backend.
            with self._lock:
                self._failures += 1
                self._next_try = self._clock() + self._seconds

    def leave_out(self) -> None:
        """End a call that has failed, in place of leaving, and do not count it.

        It may be one of several, with those that count in between: it closes nothing.
        But while the circuit is open it lets the next calls through, until one of them
        fails.
        """
        if self._max_calls is not None:
            self._calls.pop()
        with self._lock:
            self._failures = min(self._failures, self._limit - 1)

    def _take_turn(self) -> None:
        with self._lock:
            now = self._clock()
            if self._failures >= self._limit and now < self._next_try:
                raise StoreError("There was no answer lately.")
            # Whoever comes while this call tries is still refused.
            self._next_try = now + self._seconds
