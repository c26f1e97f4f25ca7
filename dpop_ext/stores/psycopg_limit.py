"""Connections to PostgreSQL that give up a server that hangs, with psycopg 3."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from psycopg import Connection

Result = TypeVar("Result")


def limited_connection(seconds: float) -> type[Connection[Any]]:
    """Return a class of connections that give a statement up which has no answer.

    ``statement_timeout`` is counted by the server. One that is frozen, alive but not
    running, counts nothing, and its machine still confirms every packet: a thread would
    wait for it for as long as that lasts. A connection whose answer did not come is
    closed, so that the answer to this statement is not taken for that to a later one,
    and ``psycopg.OperationalError`` is raised.

    :param seconds: for each exchange with the server.
    """
    from psycopg import Connection, OperationalError  # noqa: PLC0415

    class LimitedConnection(Connection[Any]):
        def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
            # The driver goes on with it ten times a second when nothing comes.
            return super().wait(self._within(gen), *args, **options)

        def _within(
            self, gen: Generator[Any, Any, Result]
        ) -> Generator[Any, Any, Result]:
            end = time.monotonic() + seconds
            try:
                wanted = next(gen)
                while True:
                    ready = yield wanted
                    if time.monotonic() > end:
                        self.close()
                        raise OperationalError("no answer in time")
                    wanted = gen.send(ready)
            except StopIteration as done:
                result: Result = done.value
                return result

    return LimitedConnection
