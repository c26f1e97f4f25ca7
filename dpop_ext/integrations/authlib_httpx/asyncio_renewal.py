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
        #: The loop itself holds a task only weakly.
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, job: Job) -> None:
        """Run *job*, or see to it that it is run."""
        if self._refresh == "foreground":
            await job()
        elif callable(self._refresh):
            self._refresh(job)
        else:
            task = asyncio.create_task(_later(job, uniform_jitter()))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def cancel(self) -> None:
        """Give up the jobs that nobody waits for."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _later(job: Job, delay: float) -> None:
    await asyncio.sleep(delay)
    await job()
