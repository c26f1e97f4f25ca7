"""Waiting for a server that is to answer in time, as a whole (:rfc:`8414`)."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def within(seconds: float, act: Callable[[], T], *, late: Exception) -> T:
    """Return what *act* returns, called in a thread of its own.

    A server that sends a byte every few seconds runs into none of the time-outs of an
    HTTP library. Such a call is left alone: its thread ends with the connection.

    :param seconds: that it may take.
    :param late: raised if it takes longer.
    """
    called: Future[T] = Future()
    context = contextvars.copy_context()

    def call() -> None:
        try:
            called.set_result(context.run(act))
        except BaseException as error:  # noqa: BLE001  raised in the other thread
            called.set_exception(error)

    threading.Thread(target=call, name="dpop-time-limit", daemon=True).start()
    try:
        return called.result(seconds)
    except TimeoutError as error:
        if called.done():
            raise
        raise late from error
