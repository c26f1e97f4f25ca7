"""The contract finds the faults that stores have."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import pytest

from dpop_ext.errors import StoreError
from dpop_ext.stores.base import ReplayStore
from dpop_ext.stores.contract import (
    OpenStore,
    ReplayStoreContract,
    SharedReplayStoreContract,
)


class ChecksThenSets:
    """A store with one fault; the others add one to it."""

    def __init__(self) -> None:
        self.entries: dict[bytes, int] = {}

    def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
        if self.entries.get(key, -1) >= now or expires_at < now:
            return False
        time.sleep(0)
        self.entries[key] = expires_at
        return True


class ForgetsASecondEarly(ChecksThenSets):
    def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
        if expires_at < now:
            return False
        return super().add(key, expires_at=expires_at - 1, now=min(now, expires_at - 1))


class HoldsForAMinute(ChecksThenSets):
    """Whatever the proof: one that is dated ahead outlives its entry."""

    def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
        return super().add(key, expires_at=min(expires_at, now + 66), now=now)


class Evicts(ChecksThenSets):
    def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
        added = super().add(key, expires_at=expires_at, now=now)
        if len(self.entries) > 500:
            self.entries.pop(next(iter(self.entries)))
        return added


class DropsByTheLatestTime(ChecksThenSets):
    def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
        for old in [old for old, end in self.entries.items() if end < now]:
            del self.entries[old]
        return super().add(key, expires_at=expires_at, now=now)


class TakesTheExpiryIntoTheKey(ChecksThenSets):
    def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
        return super().add(key + expires_at.to_bytes(8), expires_at=expires_at, now=now)


class CutsTheKey(ChecksThenSets):
    def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
        return super().add(key[:13], expires_at=expires_at, now=now)


class IgnoresCase(ChecksThenSets):
    def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
        return super().add(key.lower(), expires_at=expires_at, now=now)


class AcceptsTheExpired(ChecksThenSets):
    def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
        return super().add(key, expires_at=max(expires_at, now), now=now)


class AnswersWithANumber(ChecksThenSets):
    def add(self, key: bytes, *, expires_at: int, now: int) -> Any:
        return int(super().add(key, expires_at=expires_at, now=now))


@pytest.mark.parametrize(
    ("faulty", "test"),
    [
        (ChecksThenSets, "of_many_threads_one_adds_the_key"),
        (ForgetsASecondEarly, "a_key_is_held_through_the_second_in_which_it_expires"),
        (HoldsForAMinute, "every_proof_that_could_be_accepted_is_remembered"),
        (Evicts, "a_flood_drives_out_nothing_that_lives"),
        (DropsByTheLatestTime, "a_clock_that_goes_ahead_and_back_frees_nothing"),
        (DropsByTheLatestTime, "it_never_accepts_twice_however_the_clock_runs"),
        (TakesTheExpiryIntoTheKey, "a_key_with_another_expiry_is_the_same_key"),
        (CutsTheKey, "keys_are_told_apart_by_every_bit"),
        (IgnoresCase, "keys_are_told_apart_by_every_bit"),
        (AcceptsTheExpired, "a_key_that_has_expired_already_is_not_added"),
        (AnswersWithANumber, "a_key_is_added_once"),
    ],
)
def test_a_fault_is_found(faulty: type[ReplayStore], test: str) -> None:
    class Contract(ReplayStoreContract):
        def make_store(self) -> ReplayStore:
            return faulty()

    with pytest.raises(AssertionError):
        getattr(Contract(), f"test_{test}")()


def test_a_store_that_forgets_by_its_own_clock_too_early_is_found() -> None:
    class Forgetful(ChecksThenSets):
        def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
            # As one that computes a time to live without the last second.
            clock = time.time()
            end = int(clock) + expires_at - now - 1
            return super().add(key, expires_at=end, now=int(clock))

    class Contract(ReplayStoreContract):
        expires_by_own_clock = True

        def make_store(self) -> ReplayStore:
            return Forgetful()

    with pytest.raises(AssertionError):
        Contract().test_a_key_is_held_in_real_time()


@pytest.mark.parametrize("answer", [True, False])
def test_a_store_that_answers_without_its_engine_is_found(answer: bool) -> None:
    class Guesses(ChecksThenSets):
        gone = False

        def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
            return (
                answer
                if self.gone
                else super().add(key, expires_at=expires_at, now=now)
            )

    check_failure(Guesses(), "without the engine")


def test_a_store_that_does_not_come_back_is_found() -> None:
    class Gives(ChecksThenSets):
        gone = ever_gone = False

        def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
            self.ever_gone |= self.gone
            if self.ever_gone:
                raise StoreError
            return super().add(key, expires_at=expires_at, now=now)

    check_failure(Gives(), "come back")


def check_failure(store: Any, reason: str) -> None:
    class Contract(SharedReplayStoreContract):
        recovery = 0.1

        def make_opener(self) -> OpenStore:
            return lambda: store

        @contextlib.contextmanager
        def engine_gone(self) -> Iterator[None]:
            store.gone = True
            yield
            store.gone = False

    with pytest.raises(AssertionError, match=reason):
        Contract().test_without_its_engine_it_fails_closed_and_comes_back()


def test_stores_that_are_not_shared_are_found() -> None:
    class Contract(SharedReplayStoreContract):
        def make_opener(self) -> OpenStore:
            return ChecksThenSets

    with pytest.raises(AssertionError):
        Contract().test_what_one_node_used_the_other_one_refuses()
    with pytest.raises(AssertionError):
        Contract().test_of_many_processes_one_adds_the_key()
