"""Any sequence of calls to the store in memory, and every second of its groups."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpop_ext.errors import StoreError
from dpop_ext.stores.memory import MemoryReplayStore

NOW = 1_790_000_000
KEY = b"k" * 16


@pytest.mark.requirement("X-15")
@pytest.mark.parametrize("lifetime", [1, 2, 15, 16, 17, 66, 96, 127, 128, 3600])
def test_a_key_is_held_through_the_second_in_which_it_expires(
    lifetime: int,
) -> None:
    for start in range(NOW, NOW + 17):
        end = start + lifetime
        for elapsed, free in (
            (lifetime - 1, False),
            (lifetime, False),
            (lifetime + 1, True),
        ):
            store = MemoryReplayStore()
            assert store.add(KEY, expires_at=end, now=start)
            now = start + elapsed
            assert store.add(KEY, expires_at=now + lifetime, now=now) is free


@pytest.mark.requirement("X-15")
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
    calls: list[tuple[int, int, int]],
) -> None:
    store = MemoryReplayStore()
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
    calls: list[tuple[int, int, int]],
) -> None:
    store = MemoryReplayStore()
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
