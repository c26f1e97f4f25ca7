"""One thread of one process refreshes a saved session: :rfc:`9449#section-5`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Final

from dpop_ext.client.bundle_store import BundleStore
from dpop_ext.errors import BundleError

#: Seconds to wait for another process: longer than a refresh takes.
LOCK_TIMEOUT: Final = 60.0
#: Seconds between two looks at the lock.
LOCK_INTERVAL: Final = 0.05

#: The locks that this thread or task has. A task that was begun under one inherits it,
#: and may go on when the lock has been given back.
_held: ContextVar[frozenset[object]] = ContextVar("_held", default=frozenset())


class BundleLock:
    """The lock of a store, for threads and tasks: who holds it gets it once more."""

    def __init__(self, store: BundleStore) -> None:
        self._store = store
        #: That of whoever holds it now.
        self._holder: object = None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold off all others; wait for them.

        :raises BundleError: another one had the lock for a minute.
        """
        deadline = lock_deadline()
        while (lock := self.try_lock(deadline)) is None:
            time.sleep(LOCK_INTERVAL)
        with lock:
            yield

    def try_lock(self, deadline: float) -> AbstractContextManager[None] | None:
        """Hold off all others, or return at once.

        :param deadline: of :func:`lock_deadline`, when the caller began to wait.
        :returns: to be entered at once; None if another one has the lock.
        :raises BundleError: another one had it for a minute.
        """
        if self._holder in _held.get():
            return nullcontext()
        release = self._store.try_lock()
        if release is not None:
            return self._hold(release)
        if time.monotonic() > deadline:
            raise BundleError(
                "Another process has held the session bundle for 60 seconds."
            )
        return None

    @contextmanager
    def _hold(self, release: Callable[[], object]) -> Iterator[None]:
        holder = self._holder = object()
        # Of another bundle it may have one already.
        before = _held.set(_held.get() | {holder})
        try:
            yield
        finally:
            _held.reset(before)
            self._holder = None
            release()


def lock_deadline() -> float:
    """Return when a wait for the lock that begins now comes to its end."""
    return time.monotonic() + LOCK_TIMEOUT
