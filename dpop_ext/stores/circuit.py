"""Stop asking a backend that does not answer, for a short while."""

from __future__ import annotations

import threading
import time
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
    :param clock: seconds that never go back.
    """

    def __init__(
        self,
        *,
        failures: int = 5,
        seconds: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if failures < 1 or seconds <= 0:
            raise ValueError("failures and seconds must be positive")
        self._limit = failures
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._next_try = 0.0

    def __enter__(self) -> None:
        """Let the call through, or not.

        :raises StoreError: the backend did not answer lately.
        """
        if self._failures < self._limit:
            return
        with self._lock:
            now = self._clock()
            if self._failures >= self._limit and now < self._next_try:
                raise StoreError("The store did not answer lately.")
            # Whoever comes while this call tries is still refused.
            self._next_try = now + self._seconds

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Count a failure; a success closes the circuit."""
        if kind is None:
            # Written only when it changes: this is passed by every request.
            if self._failures:
                self._failures = 0
        elif issubclass(kind, Exception):
            # Anything else, such as a cancelled task, says nothing of the backend.
            with self._lock:
                self._failures += 1
                self._next_try = self._clock() + self._seconds
