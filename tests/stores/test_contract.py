"""What every replay store does: one suite for all of them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dpop_ext.errors import StoreError
from dpop_ext.stores.base import ReplayStore
from dpop_ext.stores.memory import MemoryReplayStore

NOW = 1_790_000_000
KEY = b"k" * 16

MakeStore = Callable[[], ReplayStore]


@pytest.fixture(params=[MemoryReplayStore], ids=["memory"])
def make_store(request: pytest.FixtureRequest) -> MakeStore:
    make: MakeStore = request.param
    return make


@pytest.fixture
def store(make_store: MakeStore) -> ReplayStore:
    return make_store()


@pytest.mark.requirement("X-15", "W-4")
def test_a_key_is_added_once(store: ReplayStore) -> None:
    assert store.add(KEY, expires_at=NOW + 66, now=NOW)
    for now in (NOW, NOW + 1, NOW + 65):
        assert not store.add(KEY, expires_at=NOW + 66, now=now)
    assert store.add(b"other" * 3 + b"x", expires_at=NOW + 66, now=NOW)


@pytest.mark.requirement("X-15")
@pytest.mark.parametrize("lifetime", [1, 2, 15, 16, 17, 66, 96, 127, 128, 3600])
def test_a_key_is_held_through_the_second_in_which_it_expires(
    lifetime: int, make_store: MakeStore
) -> None:
    for start in range(NOW, NOW + 17):
        end = start + lifetime
        for elapsed, free in (
            (lifetime - 1, False),
            (lifetime, False),
            (lifetime + 1, True),
        ):
            store = make_store()
            assert store.add(KEY, expires_at=end, now=start)
            now = start + elapsed
            assert store.add(KEY, expires_at=now + lifetime, now=now) is free


@pytest.mark.requirement("X-15")
@pytest.mark.parametrize("shift", [-60, -17, -1, 1, 16, 31, 100, 10_000])
def test_a_key_that_comes_with_another_expiry_is_the_same_key(
    shift: int, store: ReplayStore
) -> None:
    assert store.add(KEY, expires_at=NOW + 66, now=NOW)

    assert not store.add(KEY, expires_at=NOW + 66 + shift, now=NOW)


def test_a_key_that_has_expired_already_is_not_added(store: ReplayStore) -> None:
    assert not store.add(KEY, expires_at=NOW - 1, now=NOW)
    assert store.add(KEY, expires_at=NOW, now=NOW)
    assert not store.add(KEY, expires_at=NOW, now=NOW)


@pytest.mark.requirement("X-15")
def test_a_clock_that_steps_back_frees_nothing(store: ReplayStore) -> None:
    assert store.add(KEY, expires_at=NOW + 66, now=NOW)

    assert not store.add(KEY, expires_at=NOW + 6, now=NOW - 60)
    assert not store.add(KEY, expires_at=NOW - 3534, now=NOW - 3600)
    assert not store.add(KEY, expires_at=NOW + 132, now=NOW + 66)


@pytest.mark.requirement("X-15")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.integers(0, 5),  # which key
            st.sampled_from([0, 1, 3, 15, 16, 40, 66, 96, 300]),  # its life
            st.sampled_from([0, 0, 0, 1, 1, 5, 17, 70, 200]),  # seconds that pass
        ),
        max_size=60,
    )
)
def test_it_answers_as_a_list_of_everything_would(
    make_store: MakeStore, calls: list[tuple[int, int, int]]
) -> None:
    store = make_store()
    expiry: dict[bytes, int] = {}
    now = NOW
    for number, lifetime, elapsed in calls:
        now += elapsed
        key = bytes([number]) * 16
        free = expiry.get(key, -1) < now

        assert store.add(key, expires_at=now + lifetime, now=now) is free

        if free:
            expiry[key] = now + lifetime


@pytest.mark.requirement("X-15")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.sampled_from([0, 1, 16, 66, 96]),
            st.sampled_from([-300, -70, -11, -1, 0, 0, 1, 5, 17, 70, 200]),
        ),
        max_size=60,
    )
)
def test_it_never_accepts_twice_however_the_clock_runs(
    make_store: MakeStore, calls: list[tuple[int, int, int]]
) -> None:
    store = make_store()
    expiry: dict[bytes, int] = {}
    now = latest = NOW
    for number, lifetime, elapsed in calls:
        now += elapsed
        latest = max(latest, now)
        key = bytes([number]) * 16
        free = expiry.get(key, -1) < now
        try:
            added = store.add(key, expires_at=now + lifetime, now=now)
        except StoreError:
            # It may not know any more, but only once the clock has gone back.
            assert now < latest
            continue
        assert added is free
        if free:
            expiry[key] = now + lifetime


@pytest.fixture
def busy_threads() -> Iterator[None]:
    """Let threads take turns after a few microseconds, not milliseconds."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("busy_threads")
@pytest.mark.requirement("X-15")
@pytest.mark.parametrize("same_expiry", [True, False])
def test_of_many_threads_one_adds_the_key(
    same_expiry: bool, store: ReplayStore
) -> None:
    threads = 32
    rounds = 40
    barrier = threading.Barrier(threads)
    added: list[int] = []

    def race(number: int) -> None:
        for turn in range(rounds):
            barrier.wait()
            end = NOW + 66 + (0 if same_expiry else number)
            # A key object of its own, as each request has.
            if store.add(bytes([turn]) * 16, expires_at=end, now=NOW):
                added.append(turn)

    workers = [threading.Thread(target=race, args=(n,)) for n in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert sorted(added) == list(range(rounds))


@pytest.mark.usefixtures("busy_threads")
@pytest.mark.requirement("X-15")
def test_threads_that_add_other_keys_do_not_disturb_each_other(
    store: ReplayStore,
) -> None:
    threads = 8
    keys = 500
    barrier = threading.Barrier(threads)
    refused: list[bytes] = []

    def add(number: int) -> None:
        for turn in range(keys):
            key = number.to_bytes(8) + turn.to_bytes(8)
            # Time passes, so that entries are dropped while others are added; for no
            # thread by more than a few seconds ahead of the others.
            if turn % 4 == 0:
                barrier.wait()
            if not store.add(key, expires_at=NOW + turn + 66, now=NOW + turn):
                refused.append(key)

    workers = [threading.Thread(target=add, args=(n,)) for n in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert refused == []
