"""One question to the authorization server at a time about each access token.

:rfc:`7662#section-2.2`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Generic, TypeVar

from dpop_ext.errors import StoreError

#: Seconds for which others wait for the one that asks.
PATIENCE = 10.0

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Of calls that are made at once under one name, one does the work for all.

    They share what it returned or raised. There are as many names at once as there are
    threads, so nothing has to be forgotten.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[bytes, Future[T]] = {}

    def run(self, name: bytes, work: Callable[[], T]) -> T:
        """Return what *work* returns, or what it is returning to another caller.

        :raises StoreError: the other caller took more than :data:`PATIENCE` seconds.
        """
        with self._lock:
            flight = self._flights.get(name)
            if flight is None:
                self._flights[name] = Future()
        if flight is not None:
            try:
                return flight.result(timeout=PATIENCE)
            except FutureTimeoutError as error:
                raise StoreError from error
            finally:
                # An error in it has this frame in its traceback.
                del flight
        try:
            result = work()
        except BaseException as error:
            self._land(name).set_exception(error)
            raise
        self._land(name).set_result(result)
        return result

    def _land(self, name: bytes) -> Future[T]:
        # Before the result is set: whoever comes after that asks anew.
        with self._lock:
            return self._flights.pop(name)
