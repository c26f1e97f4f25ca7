"""Connections of redis-py, without what its client does around a command.

For :rfc:`9449#section-11.1`: a command for each request.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from dpop_ext.extras import needs
from dpop_ext.stores.redis_sockets import calls_of

#: Bytes that are read at once. An answer has some tens.
_READ = 4096


class Connections:
    """Send each command over a connection that nobody else uses meanwhile.

    ``redis.Redis`` asks a connection first whether it is still there, with system calls
    of its own, and counts and times what happens: that takes longer than to send the
    command and to read its answer. Here the command is sent at once. If the connection
    turns out to be broken it is replaced and the command sent again, once, so only
    commands fit of which the second does no harm. A time-out is not tried again.

    A connection that might still get an answer to an earlier command is never used
    again, nor is one whose server answers with an error: after a failover another one
    may be found under its name. There are as many as were ever needed at the same
    moment.

    :param client: a ``redis.Redis`` for one server, whose pool makes the connections.
    """

    def __init__(self, client: Any) -> None:
        with needs("redis"):
            from hiredis import pack_command  # noqa: PLC0415
            from redis.exceptions import ConnectionError as Broken  # noqa: PLC0415

        self._pack: Callable[[tuple[Any, ...]], bytes] = pack_command
        self._pool = client.connection_pool
        self._broken = Broken
        self._process = os.getpid()
        #: Those that are not in use. Appending and popping are atomic.
        self._idle: list[_Connection] = []

    def execute_command(self, *args: Any, **_options: Any) -> Any:
        """Send one command; return the answer as it came.

        :raises Exception: what redis-py raises.
        """
        packed = self._pack(args)
        if os.getpid() != self._process:
            self._begin_anew()
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = _Connection(self._pool.make_connection())
        is_answered = False
        try:
            try:
                answer = connection.ask(packed)
            except self._broken:
                connection.disconnect()
                answer = connection.ask(packed)
            is_answered = True
        finally:
            if not is_answered:
                connection.disconnect()
            self._idle.append(connection)
        return answer

    def close(self) -> None:
        """Close all connections that are not in use; a later command opens its own.

        They are kept: the pool counts what it made, up to its ``max_connections``.
        """
        if os.getpid() != self._process:
            self._begin_anew()
        closed = []
        with suppress(IndexError):
            while True:
                closed.append(self._idle.pop())
                closed[-1].disconnect()
        self._idle.extend(closed)

    def _begin_anew(self) -> None:
        # What is there is of the process that this one was forked from, which goes on
        # to use it. The pool counts from nothing here.
        self._pool.reset()
        self._idle, self._process = [], os.getpid()


class _Connection:
    """One of redis-py, which connects, logs in and ends; commands go by it.

    :param usual: from a pool.
    """

    def __init__(self, usual: Any) -> None:
        import hiredis  # noqa: PLC0415
        from redis import exceptions  # noqa: PLC0415

        self._usual = usual
        self._errors = exceptions
        self._hiredis = hiredis
        self._is_connected = False

    def ask(self, packed: bytes) -> Any:
        """Send a command, and return its answer.

        :raises redis.exceptions.TimeoutError: it did not come in time.
        :raises redis.exceptions.ConnectionError: it will not come.
        :raises redis.exceptions.ResponseError: it is an error.
        """
        if not self._is_connected:
            self._connect()
        try:
            self._send(packed)
            while True:
                received = self._receive(_READ)
                if not received:
                    raise ConnectionResetError
                self._feed(received)
                while (answer := self._parse()) is not _PART:
                    if answer is None or not isinstance(answer, self._unusual):
                        return answer
                    if isinstance(answer, Exception):
                        raise answer
        # The kernel's own, and that of Python.
        except (BlockingIOError, TimeoutError) as error:
            raise self._errors.TimeoutError("Redis did not answer in time.") from error
        except OSError as error:
            raise self._errors.ConnectionError("Redis went away.") from error

    def disconnect(self) -> None:
        """End it; the next command connects again."""
        self._is_connected = False
        self._usual.disconnect()

    def _connect(self) -> None:
        self._usual.connect()
        # It has no public name, so the versions of redis-py are bounded.
        self._send, self._receive = calls_of(self._usual._sock)  # noqa: SLF001
        hiredis = self._hiredis
        reader = hiredis.Reader(
            protocolError=self._errors.InvalidResponse,
            replyError=self._errors.ResponseError,
            notEnoughData=_PART,
        )
        self._feed, self._parse = reader.feed, reader.gets
        #: A server may tell news between two answers: they are of no use here.
        self._unusual = (Exception, hiredis.PushNotification)
        self._is_connected = True


#: In place of an answer that has not come whole.
_PART = object()
