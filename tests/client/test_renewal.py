from __future__ import annotations

import threading

from dpop_ext.client.renewal import (
    MAX_JITTER,
    in_background,
    in_foreground,
    uniform_jitter,
)
from tests.patience import PATIENCE


def test_a_job_in_the_background_runs_once_in_a_daemon_thread() -> None:
    ran: list[threading.Thread] = []
    done = threading.Event()

    def job() -> None:
        ran.append(threading.current_thread())
        done.set()

    in_background(jitter=lambda: 0.0)(job)
    assert done.wait(PATIENCE)
    (thread,) = ran
    assert thread is not threading.current_thread()
    assert thread.daemon


def test_a_job_in_the_background_waits_for_its_delay() -> None:
    delays: list[float] = []
    ran = threading.Event()

    def jitter() -> float:
        delays.append(30.0)
        return 30.0

    before = set(threading.enumerate())
    in_background(jitter=jitter)(ran.set)
    (timer,) = set(threading.enumerate()) - before
    assert isinstance(timer, threading.Timer)
    timer.cancel()
    timer.join(PATIENCE)
    assert (delays, ran.is_set()) == ([30.0], False)


def test_the_delays_are_spread_over_ten_seconds() -> None:
    delays = [uniform_jitter() for _ in range(1000)]
    assert 0 <= min(delays) < 1
    assert 9 < max(delays) <= MAX_JITTER == 10


def test_a_job_in_the_foreground_has_run_when_it_returns() -> None:
    ran: list[str] = []
    in_foreground(lambda: ran.append("job"))
    assert ran == ["job"]
