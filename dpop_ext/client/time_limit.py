"""Waiting for a server that is to answer in time, as a whole (:rfc:`8414`)."""

from __future__ import annotations

import contextvars
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")

#: Calls to one server that may still be waited for when their time is up.
MAX_LEFT: Final = 16

#: Process and server of each such call. Each use of it is one step for other threads;
#: a lock might be held for ever in a process that is forked.
_left: list[tuple[int, str]] = []


def within(
    seconds: float,
    act: Callable[[], T],
    *,
    late: Callable[[], Exception],
    url: str | None = None,
) -> T:
    """Return what *act* returns, called in a thread of its own.

    A server that sends a byte every few seconds runs into none of the time-outs of an
    HTTP library. Such a call is left alone: its thread ends with the connection.

    :param seconds: that it may take.
    :param late: makes what is raised if it takes longer.
    :param url: of the server. Nothing is called while it lets :data:`MAX_LEFT` threads
        wait. None if the caller ends the connection.
    """
    place = (os.getpid(), urlsplit(url or "").netloc)
    if _left.count(place) >= MAX_LEFT:
        raise late()
    called: Future[T] = Future()
    call = (called, contextvars.copy_context(), act)
    threading.Thread(
        target=_call, args=call, name="dpop-time-limit", daemon=True
    ).start()
    try:
        return called.result(seconds)
    except TimeoutError as error:
        # Its own, and not that of the limit, just after which it may end.
        if called.done() and called.exception() is error:
            raise
        if url is not None:
            _left.append(place)
            called.add_done_callback(lambda _: _left.remove(place))
        raise late() from error
    finally:
        # An error would be in its own traceback, with all that the call has at hand.
        del called, call


def _call(
    called: Future[T], context: contextvars.Context, act: Callable[[], T]
) -> None:
    try:
        called.set_result(context.run(act))
    except BaseException as error:  # noqa: BLE001  raised in the other thread
        called.set_exception(error)
    finally:
        del called
