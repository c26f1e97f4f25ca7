"""What the store in the memory of one process takes: time and bytes."""

from __future__ import annotations

import gc
import os
import statistics
import sys
import time
import tracemalloc
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count, islice

from benchmarks.figure import Figure, figure
from benchmarks.stores import LIFETIME
from benchmarks.trace import trace
from benchmarks.world import NOW
from dpop_ext.stores.base import REPLAY_KEY_LENGTH, NoReplayProtection, ReplayStore
from dpop_ext.stores.memory import MemoryReplayStore

#: Entries that live at any time.
LIVE = 1_000_000
#: Adds before anything is measured: one entry is dropped for each that is added, and
#: all tables have grown to the size that they have from then on.
SETTLED = 1_700_000
#: Turns of the store and of a bare dict, and adds in one of them: two seconds, because
#: what has expired goes as soon as a second is over. Together they are as many as it
#: takes until each table of the store is made anew, to be rid of the traces of dropped
#: entries: that is part of what an add takes, and the worst of them.
TURNS, ADDS = 54, 2 * LIVE // LIFETIME
#: Adds of a turn that are timed one by one.
ALONE = 1_900
#: How far the quartiles of a bare dict may be apart, as a part of its median.
QUIET = 0.2

Add = Callable[[bytes], object]


@dataclass(slots=True)
class _Times:
    """Microseconds of one add in each turn, and milliseconds of the worst."""

    turns: list[float] = field(default_factory=list)
    worst: float = 0


def memory() -> list[Figure]:
    """Measure the store with a million live entries, in turns with a bare dict."""
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    store = MemoryReplayStore(10 * LIVE)
    add, nothing = _at_rate(store), _at_rate(NoReplayProtection())
    for key in _keys(SETTLED):
        add(key)
    held = (tracemalloc.get_traced_memory()[0] - before) / len(store)
    tracemalloc.stop()
    dict_add, dict_size = _bare_dict()
    ours, floor, noise = _measure(add, dict_add, nothing)
    counts = trace(lambda: add(os.urandom(REPLAY_KEY_LENGTH)))
    bare = "a bare dict as large: one setdefault, one del"
    # The mean and not the median, because few turns have the new tables.
    taken, at_least = statistics.fmean(ours.turns), statistics.fmean(floor.turns)
    return [
        figure(
            "memory store, 1,000,000 live: one add",
            *(taken, "us", 1),
            floor=at_least,
            floor_is=bare,
            trace=counts,
            note=noise,
        ),
        figure(bare, at_least, "us", None),
        figure("one add, in times of the bare dict", taken / at_least, "x", None),
        figure(
            "memory store: the worst of 100,000 adds",
            *(ours.worst, "ms", 5),
            floor=floor.worst,
            floor_is=bare,
            trace=counts,
        ),
        figure(
            "memory store: one entry",
            *(held, "bytes", 110),
            floor=dict_size(),
            floor_is=bare,
        ),
    ]


def _measure(add: Add, dict_add: Add, nothing: Add) -> tuple[_Times, _Times, str]:
    """Return the times of both, and a note if the machine was noisy."""
    ours, floor = _Times(), _Times()
    gc.collect()
    gc.disable()
    for _ in range(TURNS):
        # Less what it takes to tell the time, and to call.
        calls = _turn(nothing)
        bare_calls = _turn(_no_call)
        ours.turns.append(_turn(add, ours) - calls)
        floor.turns.append(_turn(dict_add, floor) - bare_calls)
    gc.enable()
    low, median, high = statistics.quantiles(floor.turns, n=4)
    spread = (high - low) / median
    if spread <= QUIET:
        return ours, floor, ""
    note = f"noisy machine: the quartiles of the bare dict are {spread:.0%} apart"
    return ours, floor, note


def _turn(add: Add, times: _Times | None = None) -> float:
    """Return microseconds of one call, and note the worst of some others in *times*.

    Both of the processor, with whatever is dropped meanwhile.
    """
    keys = _keys(ADDS)
    if times is not None:
        for key in list(islice(keys, ALONE)):
            begun = time.thread_time()
            add(key)
            times.worst = max(times.worst, (time.thread_time() - begun) * 1e3)
    together = list(keys)
    start = time.thread_time()
    for key in together:
        add(key)
    return (time.thread_time() - start) / len(together) * 1e6


def _keys(number: int) -> Iterator[bytes]:
    return (os.urandom(REPLAY_KEY_LENGTH) for _ in range(number))


def _at_rate(store: ReplayStore) -> Add:
    """Return what adds a key at its time, if there are so many in a lifetime."""
    numbers = count()

    def add(key: bytes) -> None:
        now = NOW + next(numbers) * LIFETIME // LIVE
        store.add(key, expires_at=now + LIFETIME, now=now)

    return add


def _no_call(_key: bytes) -> None:
    pass


def _bare_dict() -> tuple[Add, Callable[[], float]]:
    """Return what adds to a dict alone, and what tells its bytes for each entry.

    The keys stand in a queue, too: how else would it be known which one is to go.
    """
    entries = deque(_keys(LIVE))
    held = {key: key for key in entries}

    def add(key: bytes) -> None:
        held.setdefault(key, key)
        entries.append(key)
        del held[entries.popleft()]

    def size() -> float:
        return sys.getsizeof(held) / LIVE + sys.getsizeof(entries[0])

    return add, size
