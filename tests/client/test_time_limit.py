"""Calls that are given up, and what is left of them."""

from __future__ import annotations

import contextvars
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from dpop_ext.client import time_limit
from dpop_ext.client.time_limit import within
from tests.garbage import errors_left_by
from tests.patience import PATIENCE

SOON = 0.01
HERE = "https://as.example/token"


class LateError(Exception):
    """It took too long."""


@pytest.fixture
def ended() -> Iterator[threading.Event]:
    """Set when the servers let go."""
    event = threading.Event()
    yield event
    event.set()


def test_what_a_call_returns_or_raises_is_handed_on() -> None:
    variable = contextvars.ContextVar[str]("variable")
    variable.set("of the caller")
    assert within(PATIENCE, variable.get, late=LateError) == "of the caller"
    # Not the one of the limit.
    with pytest.raises(TimeoutError, match="its own"):
        within(PATIENCE, fail, late=LateError)


def fail() -> None:
    raise TimeoutError("its own")


@pytest.mark.parametrize("end", [int, fail])
def test_a_call_that_ends_when_its_time_is_up_is_late(
    ended: threading.Event, end: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    class EndsLate(Future[Any]):
        def result(self, timeout: float | None = None) -> Any:
            try:
                return super().result(timeout)
            finally:
                ended.set()
                self.exception()

    def call() -> object:
        ended.wait(PATIENCE)
        return end()

    monkeypatch.setattr(time_limit, "Future", EndsLate)
    monkeypatch.setattr(time_limit, "MAX_LEFT", 1)
    for _ in range(2):
        ended.clear()
        with pytest.raises(LateError):
            within(SOON, call, late=LateError, url=HERE)


def test_a_server_lets_so_many_threads_wait_and_no_more(
    ended: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time_limit, "MAX_LEFT", 2)
    asked = []

    def ask() -> None:
        asked.append(threading.current_thread())
        ended.wait(PATIENCE)

    for path in ("token", "par", "jwks"):
        with pytest.raises(LateError):
            within(SOON, ask, late=LateError, url=f"https://as.example/{path}")
    assert len(asked) == 2
    assert (
        within(PATIENCE, lambda: 1, late=LateError, url="https://other.example/token")
        == 1
    )
    ended.set()
    for thread in asked:
        thread.join(PATIENCE)
    assert within(PATIENCE, lambda: 1, late=LateError, url=HERE) == 1


def test_a_process_that_was_forked_has_none_of_these_threads(
    ended: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time_limit, "MAX_LEFT", 1)
    with pytest.raises(LateError):
        within(SOON, lambda: ended.wait(PATIENCE), late=LateError, url=HERE)
    monkeypatch.setattr(os, "getpid", lambda: 1)
    assert within(PATIENCE, lambda: 1, late=LateError, url=HERE) == 1


def test_a_failure_is_no_work_for_the_garbage_collector() -> None:
    def call() -> None:
        with pytest.raises(TimeoutError):
            within(PATIENCE, fail, late=LateError)

    assert not errors_left_by(call)
