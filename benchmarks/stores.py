"""What the replay stores of one machine take: time and memory."""

from __future__ import annotations

import gc
import multiprocessing
import os
import sqlite3
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

from benchmarks.figure import Figure, figure
from benchmarks.trace import trace
from benchmarks.world import NOW
from dpop_ext.stores.base import REPLAY_KEY_LENGTH, NoReplayProtection, ReplayStore
from dpop_ext.stores.memory import GRACE, MemoryReplayStore
from dpop_ext.stores.sql import SQLReplayStore

#: Live entries of the memory store.
LIVE = 1_000_000
#: Seconds for which an entry lives, as the usual policy has it.
LIFETIME = 66
#: Processes that share one SQLite file, and seconds for which they do.
PROCESSES = 4
SECONDS = 2.0


def memory() -> list[Figure]:
    """Measure the store in memory, with a million live entries."""
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    store = _filled()
    held = (tracemalloc.get_traced_memory()[0] - before) / len(store)
    tracemalloc.stop()
    number = LIVE

    def add(key: bytes) -> None:
        nonlocal number
        number += 1
        _add_at_rate(store, key, number)

    # Until the first are dropped as well: as many as are added, from now on.
    for _ in range(2 * GRACE * LIVE // LIFETIME):
        add(os.urandom(REPLAY_KEY_LENGTH))
    taken, worst = _adding(add)
    gc.collect()
    # Less what it takes to tell the time, and to call.
    nowhere = NoReplayProtection()
    loop, _ = _adding(lambda key: _add_at_rate(nowhere, key, LIVE))
    keys = iter(lambda: os.urandom(REPLAY_KEY_LENGTH), b"")
    counts = trace(lambda: add(next(keys)))
    floor, floor_of_worst, floor_of_bytes = _bare_dict()
    bare = "a bare dict as large: one setdefault, one del"
    return [
        figure(
            "memory store, 1,000,000 live: one add",
            *(taken - loop, "us", 1),
            floor=floor,
            floor_is=bare,
            trace=counts,
        ),
        figure(bare, floor, "us", None),
        figure(
            "memory store: the worst of 100,000 adds",
            *(worst, "ms", 5),
            floor=floor_of_worst,
            floor_is=bare,
            trace=counts,
        ),
        figure(
            "memory store: one entry",
            *(held, "bytes", 110),
            floor=floor_of_bytes,
            floor_is=bare,
        ),
    ]


def _adding(add: Callable[[bytes], object]) -> tuple[float, float]:
    """Return microseconds of one call, and milliseconds of the worst of 100,000.

    Both of the processor, with whatever is dropped meanwhile.
    """
    keys = [os.urandom(REPLAY_KEY_LENGTH) for _ in range(100_000)]
    gc.disable()
    start = time.thread_time()
    for key in keys:
        add(key)
    taken = (time.thread_time() - start) / len(keys) * 1e6
    times = []
    for key in [os.urandom(REPLAY_KEY_LENGTH) for _ in keys]:
        begun = time.thread_time()
        add(key)
        times.append(time.thread_time() - begun)
    gc.enable()
    return taken, max(times) * 1e3


def _bare_dict() -> tuple[float, float, float]:
    """Return what a dict alone takes: microseconds, milliseconds at worst, bytes."""
    entries = [os.urandom(REPLAY_KEY_LENGTH) for _ in range(LIVE)]
    held = {key: key for key in entries}
    oldest = iter(entries)

    def add(key: bytes) -> None:
        held.setdefault(key, key)
        del held[next(oldest)]

    size = (sys.getsizeof(held) + LIVE * sys.getsizeof(entries[0])) / LIVE
    taken, worst = _adding(add)
    return taken - _adding(lambda _key: None)[0], worst, size


def sqlite() -> list[Figure]:
    """Measure how many entries several processes add to one SQLite file."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/replay.db"
        store = SQLReplayStore.from_url(url)
        store.create_schema()
        _add(store)
        counts = trace(lambda: _add(store))
        rate = _together(_add_for_a_while, url)
        bare = _together(_insert_for_a_while, f"{folder}/bare.db")
    name = f"SQLite, {PROCESSES} processes: adds"
    floor = f"SQLite, {PROCESSES} processes: bare INSERT"
    return [
        figure(
            *(name, rate, "/s", 20_000),
            at_least=True,
            trace=counts,
            floor=bare,
            floor_is=floor,
        ),
        figure(floor, bare, "/s", None),
    ]


def _together(work: Callable[..., None], where: str) -> float:
    """Return what all processes did in a second."""
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(PROCESSES), context.Queue()
    workers = [
        context.Process(target=work, args=(where, start, results))
        for _ in range(PROCESSES)
    ]
    for worker in workers:
        worker.start()
    rate: float = sum(results.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join()
    return rate


def _filled() -> MemoryReplayStore:
    """Return a store as full as at 1,000,000 requests in a lifetime of their proofs."""
    store = MemoryReplayStore(10 * LIVE)
    for number in range(LIVE):
        _add_at_rate(store, os.urandom(REPLAY_KEY_LENGTH), number)
    return store


def _add_at_rate(store: ReplayStore, key: bytes, number: int) -> None:
    """Add an entry at its time, if there are as many in a lifetime."""
    now = NOW + number * LIFETIME // LIVE
    store.add(key, expires_at=now + LIFETIME, now=now)


def _add_for_a_while(url: str, start: Any, results: Any) -> None:
    store = SQLReplayStore.from_url(url, timeout=5)

    _for_a_while(lambda: _add(store), start, results)
    store.close()


def _add(store: SQLReplayStore) -> None:
    store.add(os.urandom(REPLAY_KEY_LENGTH), expires_at=NOW + LIFETIME, now=NOW)


def _insert_for_a_while(path: str, start: Any, results: Any) -> None:
    """Insert as the store does, by the driver alone."""
    connection = sqlite3.connect(path, timeout=5, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS entries (key BLOB PRIMARY KEY, expires_at INTEGER) "
        "WITHOUT ROWID"
    )

    def insert() -> None:
        connection.execute(
            "INSERT OR IGNORE INTO entries VALUES (?, ?)",
            (os.urandom(REPLAY_KEY_LENGTH), NOW + LIFETIME),
        )

    _for_a_while(insert, start, results)
    connection.close()


def _for_a_while(add: Callable[[], None], start: Any, results: Any) -> None:
    add()
    start.wait()
    added, began = 0, time.perf_counter()
    while time.perf_counter() < began + SECONDS:
        add()
        added += 1
    results.put(added / (time.perf_counter() - began))
