"""Where decisions are made that may have to wait for a store or an issuer."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

from dpop_ext.errors import StoreError
from dpop_ext.integrations.asgi_reading import ContentAwaitedError
from dpop_ext.resource_server.error_refusal import refuse
from dpop_ext.resource_server.refusal import AccessRefusedError
from dpop_ext.resource_server.refusal_log import log_refusal

#: Decisions that are made at the same time; more wait.
MAX_THREADS: Final = 32
#: Requests that may wait for a decision or are being decided; more are refused.
MAX_PENDING: Final = 1000

P = ParamSpec("P")
T = TypeVar("T")


class AtOnce(Executor):
    """Make decisions in the event loop, where nothing that decides has to wait.

    ::

        app = DPoPMiddleware(app, ..., executor=AtOnce())

    To hand a decision to a thread and back takes longer than to make it, if the replay
    store, the secrets and the keys of the issuer are in the memory of the process. With
    a store that others share, introspection, a ``jwks_uri`` or tickets, all requests
    of the loop would wait for one.
    """

    def submit(
        self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        """Call *fn* now."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - whoever asks for the result gets it
            future.set_exception(error)
        return future


class DecisionThreads:
    """The threads of one application, and how many requests may want one.

    An event loop takes as many requests as come. While a store is slow they would wait
    in memory for their turn, until nobody waits for the answer any more.

    :param executor: None makes one of :data:`MAX_THREADS`; :class:`AtOnce` is none.
    :param max_pending: requests at the same time; over it 503.
    """

    def __init__(self, executor: Executor | None, *, max_pending: int) -> None:
        if max_pending < 1:
            raise ValueError("max_pending must be positive")
        self.executor = executor or ThreadPoolExecutor(MAX_THREADS, "dpop-decision")
        self._is_at_once = isinstance(executor, AtOnce)
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
        if self._is_at_once:
            return decision()
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
        # Without a name: a refusal, whose traceback has this frame, would have itself.
        return await asyncio.shield(self._begin(decide))

    def _begin(self, decide: Callable[[], T]) -> asyncio.Future[T]:
        try:
            return _begin(decide, self.executor)
        except BaseException:
            # Nobody will decide, and nobody would give the place back.
            self._places.release()
            raise


async def in_thread(decide: Callable[[], T], executor: Executor) -> T:
    """Return what *decide* returns, with the context variables of the caller."""
    return await _begin(decide, executor)


def _begin(decide: Callable[[], T], executor: Executor) -> asyncio.Future[T]:
    context = contextvars.copy_context()
    loop = asyncio.get_running_loop()
    return loop.run_in_executor(executor, lambda: context.run(decide))
