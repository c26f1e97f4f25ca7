"""What a replay store that the processes of one machine share takes."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable
from typing import Any

from benchmarks.figure import Figure, figure
from benchmarks.trace import trace
from benchmarks.world import NOW
from dpop_ext.stores.base import REPLAY_KEY_LENGTH
from dpop_ext.stores.sql import SQLReplayStore

#: Seconds for which an entry lives, as the usual policy has it.
LIFETIME = 66
#: Processes that share one SQLite file, and seconds for which they do.
PROCESSES = 4
SECONDS = 2.0


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
