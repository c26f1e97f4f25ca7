"""A replay store for asyncio, where a decision is made in a thread."""

from __future__ import annotations

import asyncio
from concurrent.futures import CancelledError
from contextlib import suppress

from dpop_ext.errors import StoreError
from dpop_ext.stores.base import AsyncReplayStore

#: Seconds that a store may take, whatever time limits it has itself.
TIMEOUT = 10.0


class InEventLoop:
    """A :class:`~dpop_ext.stores.base.ReplayStore` that calls another in a loop.

    Its connections belong to that event loop. Make it where the loop runs, in the
    start-up of the application for example::

        verifier = ProofVerifier(InEventLoop(AsyncRedisReplayStore.from_url(url)))

    :param store: what remembers the proofs.
    :param loop: None is the running one.
    :raises RuntimeError: no loop is running, and none was given.
    """

    def __init__(
        self,
        store: AsyncReplayStore,
        *,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._store = store
        self._loop = loop or asyncio.get_running_loop()

    def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
        """Insert *key* if it is absent; see :class:`dpop_ext.stores.base.ReplayStore`.

        To be called in another thread than that of the loop, as the ASGI middleware
        does.

        :raises StoreError: the store cannot tell, did not answer in time, or its loop
            has ended, or is the one that calls.
        """
        if self._loop.is_closed():
            raise StoreError
        with suppress(RuntimeError):
            if asyncio.get_running_loop() is self._loop:
                raise StoreError("The replay store would wait for itself.")
        adding = asyncio.run_coroutine_threadsafe(
            self._store.add(key, expires_at=expires_at, now=now), self._loop
        )
        try:
            return adding.result(TIMEOUT)
        except (TimeoutError, CancelledError) as error:
            adding.cancel()
            raise StoreError from error
