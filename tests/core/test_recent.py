"""Recent: bounded, and what is in use stays."""

from __future__ import annotations

import threading

import pytest

from dpop_ext.core.recent import Recent


def test_an_entry_is_found_again() -> None:
    recent: Recent[str, int] = Recent(10)
    recent.put("a", 1)
    recent.put("b", 2)
    assert (recent.get("a"), recent.get("b"), recent.get("c")) == (1, 2, None)


def test_there_are_never_more_entries_than_allowed() -> None:
    recent: Recent[int, int] = Recent(10)
    for number in range(1000):
        recent.put(number, number)
        assert len(recent) <= 10
        assert recent.get(number) == number


def test_an_entry_that_is_added_again_is_not_new_in_either_generation() -> None:
    recent: Recent[int, int] = Recent(4)
    assert recent.add(1, 1)
    assert not recent.add(1, 2)
    for number in (2, 3):
        assert recent.add(number, number)
    # The first is in the old generation by now.
    assert not recent.add(1, 2)
    assert recent.get(1) == 1


def test_what_is_in_use_outlives_what_is_not() -> None:
    recent: Recent[int, int] = Recent(10)
    recent.put(-1, 1)
    recent.put(-2, 2)
    for number in range(100):
        recent.put(number, number)
        assert recent.get(-1) == 1
    assert recent.get(-2) is None


def test_threads_may_share_it() -> None:
    recent: Recent[int, int] = Recent(64)
    wrong: list[int | None] = []

    def work(start: int) -> None:
        for number in range(start, start + 5000):
            recent.put(number % 200, number % 200)
            found = recent.get((number * 7) % 200)
            if found not in (None, (number * 7) % 200):
                wrong.append(found)

    threads = [threading.Thread(target=work, args=(n * 31,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    # Each thread may have put one more before it saw that the generation is full.
    assert len(recent) <= 64 + 2 * len(threads)


@pytest.mark.parametrize("max_entries", [1, 0, -1])
def test_there_is_room_for_two_generations(max_entries: int) -> None:
    with pytest.raises(ValueError, match="at least 2"):
        Recent(max_entries)
