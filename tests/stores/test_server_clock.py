"""When a server whose clock is not that of its store is refused."""

from __future__ import annotations

import pytest

from dpop_ext.errors import StoreError
from dpop_ext.stores.server_clock import ServerClock
from tests.conftest import Clock

SERVER = 1_790_000_000.75


def learned(monotonic: Clock, *, took: float = 0.0) -> ServerClock:
    """Return what a store at :data:`SERVER` was asked by."""
    clock = ServerClock(tolerance=10, every=5, monotonic=monotonic)
    assert clock.ahead(int(SERVER)) is None
    asked = clock.read()
    monotonic.advance(took)
    assert clock.learn(SERVER, asked=asked, now=int(SERVER)) == 0
    return clock


def test_a_store_is_asked_at_first_and_every_few_seconds(clock: Clock) -> None:
    followed, now = ServerClock(tolerance=10, every=5, monotonic=clock), int(SERVER)
    # All of them ask until one of them gets an answer.
    assert [followed.ahead(now), followed.ahead(now)] == [None, None]
    followed.learn(SERVER, asked=followed.read(), now=now)
    clock.advance(4.9)
    assert followed.ahead(now + 5) == 0
    clock.advance(0.1)
    # One asks, and if it gets no answer another one does.
    assert [followed.ahead(now + 5), followed.ahead(now + 5)] == [None, 0]
    clock.advance(1)
    assert followed.ahead(now + 6) is None
    with pytest.raises(ValueError, match="positive"):
        ServerClock(tolerance=10, every=0)


@pytest.mark.requirement("X-15")
def test_who_asks_is_judged_by_the_answer(clock: Clock) -> None:
    followed, now = ServerClock(tolerance=10, every=5, monotonic=clock), int(SERVER)
    with pytest.raises(StoreError, match="behind"):
        followed.learn(SERVER, asked=followed.read(), now=now - 11)
    assert followed.learn(SERVER, asked=followed.read(), now=now + 3) == 3


@pytest.mark.requirement("X-15")
def test_who_never_asks_notices_that_a_clock_was_set_back() -> None:
    followed, now = ServerClock(tolerance=10, every=None), int(SERVER)
    assert [followed.ahead(now), followed.ahead(now - 10)] == [0, 0]
    with pytest.raises(StoreError, match="set back"):
        followed.ahead(now - 11)


@pytest.mark.requirement("X-15")
def test_the_tolerance_is_inclusive(clock: Clock) -> None:
    followed, now = learned(clock), int(SERVER)
    assert followed.ahead(now - 10) == 0
    with pytest.raises(StoreError, match="behind"):
        followed.ahead(now - 11)
    assert followed.ahead(now + 86_400) == 86_400
    with pytest.raises(StoreError, match="ahead"):
        followed.ahead(now + 86_401)


@pytest.mark.requirement("X-15")
def test_a_step_between_two_questions_is_noticed(clock: Clock) -> None:
    """The store's time is known without asking: it went on as ours did not."""
    followed, now = learned(clock), int(SERVER)
    assert followed.ahead(now) == 0
    clock.advance(3)
    assert followed.ahead(now + 3) == 0
    assert followed.ahead(now - 7) == 0
    with pytest.raises(StoreError, match="behind"):
        followed.ahead(now - 8)


@pytest.mark.requirement("X-15")
def test_how_long_the_answer_took_counts_against_this_server(clock: Clock) -> None:
    """The store read its clock at some moment between question and answer."""
    followed, now = learned(clock, took=0.5), int(SERVER)
    # It can be half a second later there, and so in the next second.
    with pytest.raises(StoreError, match="behind"):
        followed.ahead(now - 10)
    # Or not: who is ahead is taken to be as far ahead as can be.
    assert followed.ahead(now + 2) == 2
