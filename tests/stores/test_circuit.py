"""A backend that is down costs a few requests a time-out, and no more."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dpop_ext.errors import StoreError
from dpop_ext.stores.circuit import CircuitBreaker


@pytest.fixture
def circuit(clock: Any) -> CircuitBreaker:
    return CircuitBreaker(failures=3, seconds=2, clock=clock)


def fail(circuit: CircuitBreaker, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(OSError, match="down"), circuit:
            raise OSError("down")


def succeed(circuit: CircuitBreaker) -> None:
    with circuit:
        pass


def test_it_opens_after_so_many_failures_in_a_row(circuit: CircuitBreaker) -> None:
    fail(circuit, 2)
    succeed(circuit)
    fail(circuit, 2)
    succeed(circuit)
    fail(circuit, 3)

    with pytest.raises(StoreError, match="lately"):
        succeed(circuit)


def test_one_call_tries_after_the_time_while_the_others_are_refused(
    circuit: CircuitBreaker, clock: Any
) -> None:
    fail(circuit, 3)
    clock.advance(1.9)
    with pytest.raises(StoreError):
        succeed(circuit)
    clock.advance(0.1)

    with circuit:
        for _ in range(3):
            with pytest.raises(StoreError):
                succeed(circuit)

    succeed(circuit)
    fail(circuit, 2)
    succeed(circuit)


def test_a_try_that_fails_begins_the_time_anew(
    circuit: CircuitBreaker, clock: Any
) -> None:
    fail(circuit, 3)
    clock.advance(2)
    fail(circuit)
    clock.advance(1.9)

    with pytest.raises(StoreError):
        succeed(circuit)
    clock.advance(0.1)
    succeed(circuit)


def test_a_try_that_never_ends_does_not_keep_it_open_for_ever(
    circuit: CircuitBreaker, clock: Any
) -> None:
    fail(circuit, 3)
    clock.advance(2)
    circuit.__enter__()
    clock.advance(2)

    succeed(circuit)


def test_a_cancelled_call_is_no_failure(circuit: CircuitBreaker) -> None:
    for _ in range(5):
        with pytest.raises(asyncio.CancelledError), circuit:
            raise asyncio.CancelledError

    succeed(circuit)


@pytest.mark.parametrize("options", [{"failures": 0}, {"seconds": 0}])
def test_its_numbers_are_positive(options: Any) -> None:
    with pytest.raises(ValueError, match="positive"):
        CircuitBreaker(**options)


@pytest.mark.requirement("X-15")
def test_only_so_many_calls_wait_at_the_same_time() -> None:
    """Whatever the backend does, the other threads are free for answers."""
    circuit = CircuitBreaker(max_calls=2)
    with circuit, circuit:
        for _ in range(2):
            with pytest.raises(StoreError, match="Too many"), circuit:
                pytest.fail("it was let through")
        # Those that were refused are not counted as calls, nor as failures.
    with pytest.raises(ZeroDivisionError), circuit:
        raise ZeroDivisionError
    with circuit, circuit:
        pass
    with pytest.raises(ValueError, match="max_calls"):
        CircuitBreaker(max_calls=0)
