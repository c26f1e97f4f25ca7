"""Commands of one event loop that go to Redis together, in pipelines."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import Any, Final, NamedTuple

from dpop_ext.stores.redis_client import PipeliningClient

#: Commands or pipelines that are on their way at the same time.
MAX_FLIGHTS: Final = 4
#: Commands of one pipeline.
MAX_COMMANDS: Final = 1000


class _Waiting(NamedTuple):
    command: tuple[Any, ...]
    options: dict[str, Any]
    answer: asyncio.Future[Any]


class Flights:
    """Send a command at once while few are on their way, and else with the others.

    What comes while all flights wait for their answers leaves when the next of them
    lands, as one pipeline: one write and one read for all. So a single call is as fast
    as ever, and a flood costs less for each. Commands of a pipeline are carried out one
    by one, in no transaction, and each has an answer or an error of its own; if the
    connection fails, so do all of them.

    For one event loop.

    :param client: with time-outs, which bound how long a command waits: for the flight
        before it, and its own.
    :param max_flights: at the same time, and so connections.
    """

    def __init__(
        self, client: PipeliningClient, *, max_flights: int = MAX_FLIGHTS
    ) -> None:
        if max_flights < 1:
            raise ValueError("max_flights must be positive")
        self._client = client
        self._max_flights = max_flights
        self._under_way = 0
        self._waiting: deque[_Waiting] = deque()
        #: The loop itself remembers tasks only weakly.
        self._tasks: set[asyncio.Task[list[Any]]] = set()

    async def send(self, *command: Any, **options: Any) -> Any:
        """Return the answer to *command*.

        :raises Exception: what the client raises.
        """
        if self._under_way >= self._max_flights:
            answer = asyncio.get_running_loop().create_future()
            self._waiting.append(_Waiting(command, options, answer))
            return await answer
        self._under_way += 1
        try:
            return await self._client.execute_command(*command, **options)
        finally:
            self._land()

    def _land(self) -> None:
        self._under_way -= 1
        leaving: list[_Waiting] = []
        while self._waiting and len(leaving) < MAX_COMMANDS:
            one = self._waiting.popleft()
            # One that was cancelled does not wait any more. When the loop ends that is
            # everybody, and what would leave now could not land.
            if not one.answer.done():
                leaving.append(one)
        if not leaving:
            return
        self._under_way += 1
        # Not by whoever has landed: it has its answer, or was cancelled.
        flight = asyncio.get_running_loop().create_task(self._fly(leaving))
        self._tasks.add(flight)
        # Not at its end: a loop that ends before it begins cancels it, and nothing in
        # it is run then.
        flight.add_done_callback(partial(self._arrive, leaving))

    async def _fly(self, leaving: list[_Waiting]) -> list[Any]:
        async with self._client.pipeline(transaction=False) as pipeline:
            for one in leaving:
                pipeline.execute_command(*one.command, **one.options)
            answers: list[Any] = await pipeline.execute(raise_on_error=False)
            return answers

    def _arrive(self, leaving: list[_Waiting], flight: asyncio.Task[list[Any]]) -> None:
        self._tasks.discard(flight)
        error = asyncio.CancelledError() if flight.cancelled() else flight.exception()
        answers = flight.result() if error is None else [error] * len(leaving)
        for one, answer in zip(leaving, answers, strict=True):
            # One that was cancelled does not wait any more.
            if one.answer.done():
                continue
            if isinstance(answer, asyncio.CancelledError):
                one.answer.cancel()
            elif isinstance(answer, BaseException):
                one.answer.set_exception(answer)
            else:
                one.answer.set_result(answer)
        self._land()
