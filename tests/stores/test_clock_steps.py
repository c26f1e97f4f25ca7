"""A clock that is set back never makes a used proof unused."""

from __future__ import annotations

import pytest

from dpop_ext.errors import StoreError
from dpop_ext.stores.memory import GENERATION, MemoryReplayStore

WINDOW = 66
START = 1_790_000_000
KEY = b"a" * 16
#: Kept beside KEY.
NEIGHBOUR = b"a" * 15 + b"b"


def use(store: MemoryReplayStore, key: bytes, now: int) -> bool:
    """Use a proof as the verifier does: to be remembered from *now* on."""
    return store.add(key, expires_at=now + WINDOW, now=now)


@pytest.mark.requirement("X-15")
@pytest.mark.parametrize("ahead", [1, GENERATION, WINDOW, 2 * WINDOW, 3600])
@pytest.mark.parametrize("later", [0, 1, WINDOW // 2, WINDOW - 1])
def test_a_used_proof_stays_used_after_the_clock_went_ahead_and_back(
    ahead: int, later: int
) -> None:
    store = MemoryReplayStore()
    assert use(store, KEY, START)
    assert use(store, NEIGHBOUR, START + ahead)

    try:
        again = use(store, KEY, START + later)
    except StoreError:
        again = False

    assert not again


def test_a_store_that_forgot_refuses_only_until_the_time_is_caught_up() -> None:
    store = MemoryReplayStore()
    assert use(store, KEY, START)
    assert use(store, NEIGHBOUR, START + 3600)
    with pytest.raises(StoreError):
        use(store, b"a" * 15 + b"c", START)

    assert use(store, b"a" * 15 + b"c", START + WINDOW + GENERATION)


@pytest.mark.parametrize("back", range(1, GENERATION))
def test_a_clock_that_is_a_few_seconds_behind_is_served(back: int) -> None:
    store = MemoryReplayStore()
    assert use(store, KEY, START)

    for second in range(10 * GENERATION):
        now = START + second
        assert use(store, b"a" + now.to_bytes(15), now)
        assert use(store, b"a" + (now * 2).to_bytes(15), now - back)
