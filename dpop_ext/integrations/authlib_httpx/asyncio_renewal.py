"""When the refresh that a stale symmetric key calls for takes place, under asyncio.

DPoP Symmetric Profile 1.0; :mod:`dpop_ext.client.renewal` is for threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Literal

from dpop_ext.client.renewal import uniform_jitter

Job = Callable[[], Coroutine[Any, Any, None]]
#: Runs a job of an asyncio client at the time of its choice, once.
AsyncSchedule = Callable[[Job], None]
#: When the refresh takes place.
AsyncRefresh = Literal["background", "foreground"] | AsyncSchedule


class Renewals:
    """Runs jobs when it was told to.

    :param refresh: ``background``, after 0 to 10 seconds in a task; ``foreground``,
        at once; or a function that runs a job when it likes.
    """

    def __init__(self, refresh: AsyncRefresh) -> None:
        self._refresh = refresh
        #: Jobs whose time has not come. The loop itself holds a task only weakly.
        self._waiting: set[asyncio.Task[None]] = set()
        self._under_way: set[asyncio.Task[None]] = set()
        self._shared: asyncio.Task[None] | None = None

    async def run(self, job: Job) -> None:
        """Run *job*, or see to it that it is run."""
        if self._refresh == "foreground":
            await asyncio.shield(self._begin(job))
        elif callable(self._refresh):
            self._refresh(job)
        else:
            task = asyncio.create_task(self._later(job, uniform_jitter()))
            self._waiting.add(task)
            task.add_done_callback(self._waiting.discard)

    async def share(self, job: Job) -> None:
        """Run *job*, or wait for the end of the one that another task has begun.

        It goes on if whoever waits is given up: the server may have spent the refresh
        token already, and the new one is in an answer that is still to come.

        :raises Exception: what the job raises, to all that wait for it.
        """
        # No name for it: the traceback of its error, which it keeps, has this frame.
        if self._shared is not None and self._shared is asyncio.current_task():
            await job()
            return
        loop = asyncio.get_running_loop()
        if self._shared is None or self._shared.get_loop() is not loop:
            self._shared = self._begin(job)
        await asyncio.shield(self._shared)

    async def end(self) -> None:
        """Give up the jobs whose time has not come, and wait for those under way."""
        for task in self._waiting:
            task.cancel()
        await asyncio.gather(*self._waiting, return_exceptions=True)
        if self._under_way:
            # Unlike gather, it cancels nothing if it is cancelled.
            await asyncio.wait(self._under_way)

    async def _later(self, job: Job, delay: float) -> None:
        await asyncio.sleep(delay)
        await asyncio.shield(self._begin(job))

    def _begin(self, job: Job) -> asyncio.Task[None]:
        task = asyncio.create_task(job())
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if self._shared is task:
            self._shared = None
        if not task.cancelled():
            # It may be that nobody waits any more: the next request tries it again.
            task.exception()
