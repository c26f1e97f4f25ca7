"""A clock that is set back never makes a used proof unused."""

from __future__ import annotations

import pytest

from dpop_ext.errors import StoreError
from dpop_ext.stores.memory import GRACE, PART_SIZE, MemoryReplayStore

WINDOW = 66
START = 1_790_000_000
KEY, SECOND, THIRD = (bytes([number]) * 16 for number in range(3))


@pytest.fixture
def store() -> MemoryReplayStore:
    """A store of one part, so that every key drops the expired ones of the others."""
    return MemoryReplayStore(PART_SIZE)


def use(store: MemoryReplayStore, key: bytes, now: int) -> bool:
    """Use a proof as the verifier does: to be remembered from *now* on."""
    return store.add(key, expires_at=now + WINDOW, now=now)


@pytest.mark.requirement("X-15")
@pytest.mark.parametrize("ahead", [1, GRACE, WINDOW, 2 * WINDOW, 3600])
@pytest.mark.parametrize("later", [0, 1, WINDOW // 2, WINDOW - 1])
def test_a_used_proof_stays_used_after_the_clock_went_ahead_and_back(
    store: MemoryReplayStore, ahead: int, later: int
) -> None:
    assert use(store, KEY, START)
    assert use(store, SECOND, START + ahead)

    try:
        again = use(store, KEY, START + later)
    except StoreError:
        again = False

    assert not again


def test_a_store_that_forgot_refuses_only_until_the_time_is_caught_up(
    store: MemoryReplayStore,
) -> None:
    assert use(store, KEY, START)
    assert use(store, SECOND, START + 3600)
    with pytest.raises(StoreError):
        use(store, THIRD, START)

    assert use(store, THIRD, START + 2 * WINDOW)


@pytest.mark.parametrize("back", range(1, GRACE + 1))
def test_a_clock_that_is_a_few_seconds_behind_is_served(
    store: MemoryReplayStore, back: int
) -> None:
    assert use(store, KEY, START)

    for second in range(2 * WINDOW):
        now = START + second
        assert use(store, now.to_bytes(16), now)
        assert use(store, (now * 2).to_bytes(16), now - back)
