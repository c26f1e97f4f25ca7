"""Where decisions are made that may have to wait for a store or an issuer."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Final, TypeVar

from dpop_ext.errors import StoreError
from dpop_ext.integrations.asgi_reading import ContentAwaitedError
from dpop_ext.resource_server.refusal import AccessRefusedError, log_refusal, refuse

#: Decisions that are made at the same time; more wait.
MAX_THREADS: Final = 32
#: Requests that may wait for a decision or are being decided; more are refused.
MAX_PENDING: Final = 1000

T = TypeVar("T")


class DecisionThreads:
    """The threads of one application, and how many requests may want one.

    An event loop takes as many requests as come. While a store is slow they would wait
    in memory for their turn, until nobody waits for the answer any more.

    :param executor: None makes one of :data:`MAX_THREADS`.
    :param max_pending: requests at the same time; over it 503.
    """

    def __init__(self, executor: Executor | None, *, max_pending: int) -> None:
        if max_pending < 1:
            raise ValueError("max_pending must be positive")
        self.executor = executor or ThreadPoolExecutor(MAX_THREADS, "dpop-decision")
        self._places = threading.BoundedSemaphore(max_pending)

    async def decide(self, decision: Callable[[], T], *, endpoint: str) -> T:
        """Return what *decision* returns, called in a thread.

        It is called again if content is not here yet that it asks for.

        :param endpoint: path and query that are asked for; what cannot be printed is
            escaped in the log.
        :raises AccessRefusedError: too many wait for an answer.
        """
        try:
            return await self._decide(decision, endpoint)
        except ContentAwaitedError as awaited:
            await awaited.reading.wait()
        # It has left no trace: what succeeds only once comes last in a decision.
        return await self._decide(decision, endpoint)

    async def _decide(self, decision: Callable[[], T], endpoint: str) -> T:
        if not self._places.acquire(blocking=False):
            refusal = refuse(StoreError("Too many requests wait for a decision."))
            log_refusal(refusal, endpoint=endpoint, client_id=None)
            raise AccessRefusedError(refusal)

        def decide() -> T:
            try:
                return decision()
            finally:
                self._places.release()

        # Shielded: a request that is given up stays in the queue until its turn.
        return await asyncio.shield(_begin(decide, self.executor))


async def in_thread(decide: Callable[[], T], executor: Executor) -> T:
    """Return what *decide* returns, with the context variables of the caller."""
    return await _begin(decide, executor)


def _begin(decide: Callable[[], T], executor: Executor) -> asyncio.Future[T]:
    context = contextvars.copy_context()
    loop = asyncio.get_running_loop()
    return loop.run_in_executor(executor, lambda: context.run(decide))
