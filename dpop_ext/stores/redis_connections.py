"""Connections of redis-py, without what its client does around a command.

For :rfc:`9449#section-11.1`: a command for each request.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any


class Connections:
    """Send each command over a connection that nobody else uses meanwhile.

    ``redis.Redis`` asks a connection first whether it is still there, with system calls
    of its own, and counts and times what happens: that takes longer than to send the
    command and to read its answer. Here the command is sent at once. If the connection
    turns out to be broken it is replaced and the command sent again, once, so only
    commands fit of which the second does no harm. A time-out is not tried again.

    A connection that might still get an answer to an earlier command is never used
    again: whatever happens before an answer was read to its end closes it.

    :param client: a ``redis.Redis`` for one server, whose pool makes the connections.
    """

    def __init__(self, client: Any) -> None:
        from redis import exceptions  # noqa: PLC0415

        #: As redis-py does it with hiredis, but without a look at each argument for
        #: kinds that no command from here has. None: redis-py does it without hiredis.
        self._pack: Callable[[tuple[Any, ...]], bytes] | None = None
        with suppress(ImportError):
            from hiredis import pack_command  # noqa: PLC0415

            self._pack = pack_command
        self._pool = client.connection_pool
        self._broken = exceptions.ConnectionError
        self._refused = exceptions.ResponseError
        self._process = os.getpid()
        #: Those that are not in use. Appending and popping are atomic.
        self._idle: list[Any] = []

    def execute_command(self, *args: Any, **_options: Any) -> Any:
        """Send one command; return the answer as it came.

        :raises Exception: what redis-py raises.
        """
        connection = self._take()
        is_answered = False
        try:
            pack = self._pack
            packed = connection.pack_command(*args) if pack is None else [pack(args)]
            try:
                connection.send_packed_command(packed)
                answer = connection.read_response()
            except self._broken:
                connection.disconnect()
                connection.send_packed_command(packed)
                answer = connection.read_response()
            is_answered = True
        except self._refused:
            # An answer as well, and read to its end.
            is_answered = True
            raise
        finally:
            if not is_answered:
                connection.disconnect()
            self._idle.append(connection)
        return answer

    def close(self) -> None:
        """Close all connections that are not in use."""
        while self._idle:
            self._take().disconnect()

    def _take(self) -> Any:
        process = os.getpid()
        if process != self._process:
            # Of the process that this one was forked from, which goes on to use them.
            self._idle, self._process = [], process
        try:
            return self._idle.pop()
        except IndexError:
            return self._pool.make_connection()
