"""Connections of redis-py whose time-out is kept by the kernel.

For :rfc:`9449#section-11.1`: a command for each request.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any


def connection_options(url: str) -> dict[str, Any]:
    """Return options for ``redis.Redis.from_url``: what it makes connections of.

    A socket of Python that has a time-out waits first until it may send or receive, by
    one system call more. Before and after each of the four the interpreter's lock goes
    to another thread and back. Here the kernel keeps the time-out of two.

    Where it cannot be relied on nothing is changed: with TLS, on other systems than
    Linux, and where another ``socket`` was put in place of Python's (see
    :func:`kept_by_kernel`).

    :param url: as :meth:`dpop_ext.stores.redis.RedisReplayStore.from_url`.
    """
    # Of 64 bits, where the kernel's struct timeval is two of what C calls long.
    if sys.platform != "linux" or sys.maxsize < 2**32:
        return {}
    from redis.connection import (  # noqa: PLC0415
        Connection,
        UnixDomainSocketConnection,
    )

    # If another version of redis-py does not call this, its own time-out holds.
    class TimedConnection(Connection):
        def _connect(self) -> socket.socket:
            return kept_by_kernel(super()._connect())  # type: ignore[no-untyped-call]

    class TimedUnixConnection(UnixDomainSocketConnection):
        def _connect(self) -> socket.socket:
            return kept_by_kernel(super()._connect())  # type: ignore[no-untyped-call]

    if url.startswith("unix:"):
        return {"connection_class": TimedUnixConnection}
    return {"connection_class": TimedConnection} if url.startswith("redis:") else {}


def kept_by_kernel(usual: socket.socket) -> socket.socket:
    """Return *usual*, or what takes its place, with the time-out kept by the kernel.

    The time begins anew when a signal comes, of those that Python has a handler for.

    :param usual: a connected socket, and its time-out.
    """
    seconds = usual.gettimeout()
    if not seconds or type(usual) is not socket.socket:
        return usual
    usual.settimeout(None)
    if not os.get_blocking(usual.fileno()):
        # One of gevent or eventlet, which does not block and would wait for ever.
        usual.settimeout(seconds)
        return usual
    # At least one, because none is for ever.
    microseconds = max(round(seconds * 1e6), 1)
    limit = struct.pack("@ll", *divmod(microseconds, 1_000_000))
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        usual.setsockopt(socket.SOL_SOCKET, option, limit)
    timed = _Socket(usual.family, usual.type, usual.proto, fileno=usual.detach())
    timed.settimeout(None)
    return timed


def calls_of(
    connected: Any,
) -> tuple[Callable[[bytes], None], Callable[[int], bytes]]:
    """Return what sends all of some bytes, and what receives at most so many.

    Of a socket from :func:`kept_by_kernel` they are those of C, which say that time is
    over by ``BlockingIOError``; all others raise ``TimeoutError``.
    """
    if isinstance(connected, _Socket):
        return super(_Socket, connected).sendall, super(_Socket, connected).recv
    return connected.sendall, connected.recv


class _Socket(socket.socket):
    """Raises what a socket of Python raises when its time is over.

    redis-py takes the kernel's error for a broken connection, and a command that was
    sent over one is sent again.
    """

    def recv(self, *args: Any) -> bytes:
        try:
            return super().recv(*args)
        except BlockingIOError as error:
            raise TimeoutError("timed out") from error

    def recv_into(self, *args: Any) -> int:
        try:
            return super().recv_into(*args)
        except BlockingIOError as error:
            raise TimeoutError("timed out") from error

    def sendall(self, *args: Any) -> None:
        try:
            super().sendall(*args)
        except BlockingIOError as error:
            raise TimeoutError("timed out") from error
