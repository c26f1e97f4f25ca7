"""What the replay stores take: time, memory, round trips."""

from __future__ import annotations

import gc
import multiprocessing
import os
import sqlite3
import statistics
import subprocess
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Any

from benchmarks.measure import measure
from benchmarks.world import NOW
from dpop_ext.stores.base import REPLAY_KEY_LENGTH
from dpop_ext.stores.memory import MemoryReplayStore
from dpop_ext.stores.redis import RedisReplayStore
from dpop_ext.stores.sql import SQLReplayStore

#: Live entries of the memory store.
LIVE = 1_000_000
#: Seconds for which an entry lives, as the usual policy has it.
LIFETIME = 66
#: Entries of which the memory in Redis is measured: three quarters of a table of 2**18.
REDIS_ENTRIES = 3 << 16
#: Processes that share one SQLite file, and seconds for which they do.
PROCESSES = 4
SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One thing that was measured, with its budget."""

    name: str
    value: float
    unit: str
    budget: float | None
    #: The budget is what it should be at least, and not at most.
    at_least: bool = False
    #: What it would be if there were nothing but libraries.
    floor: float | None = None
    floor_is: str = ""


def memory() -> list[Figure]:
    """Measure the store in memory, with a million live entries."""
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    store = _filled()
    held = (tracemalloc.get_traced_memory()[0] - before) / len(store)
    tracemalloc.stop()
    now = NOW + LIFETIME
    typical, worst = _adding(
        lambda key: store.add(key, expires_at=now + LIFETIME, now=now)
    )
    bare = {key: key for key in (os.urandom(REPLAY_KEY_LENGTH) for _ in range(LIVE))}
    floor, _ = _adding(lambda key: bare.setdefault(key, key) is key)
    return [
        _figure(
            "memory store, 1,000,000 live: one add",
            *(typical, "us", 1),
            floor=floor,
            floor_is="one setdefault of a bare dict as large",
        ),
        _figure("a bare dict, 1,000,000 live: one setdefault", floor, "us", None),
        _figure("memory store: the 11th worst of 100,000 adds", worst, "ms", 5),
        _figure("memory store: one entry", held, "bytes", 110),
    ]


def _adding(add: Callable[[bytes], bool]) -> tuple[float, float]:
    """Return microseconds of one call, and milliseconds of one of the worst.

    The ten worst of 100,000 are left out: the machine interrupted them.
    """
    keys = [os.urandom(REPLAY_KEY_LENGTH) for _ in range(100_000)]
    times = []
    gc.disable()
    for key in keys:
        start = time.perf_counter()
        add(key)
        times.append(time.perf_counter() - start)
    gc.enable()
    times.sort()
    # Without what it takes to look at the clock twice.
    clock = statistics.median(_clock_cost() for _ in range(1000))
    typical = (statistics.fmean(times[: len(times) * 99 // 100]) - clock) * 1e6
    return typical, times[-11] * 1e3


def sqlite() -> list[Figure]:
    """Measure how many entries several processes add to one SQLite file."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/replay.db"
        SQLReplayStore.from_url(url).create_schema()
        rate = _together(_add_for_a_while, url)
        bare = _together(_insert_for_a_while, f"{folder}/bare.db")
    name = f"SQLite, {PROCESSES} processes: adds"
    floor = f"SQLite, {PROCESSES} processes: bare INSERT"
    return [
        _figure(*(name, rate, "/s", 20_000), at_least=True, floor=bare, floor_is=floor),
        _figure(floor, bare, "/s", None),
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


def redis(verify: float) -> list[Figure]:
    """Measure Redis over a Unix socket, if it is installed.

    :param verify: microseconds that one ES256 verification takes.
    """
    with running_redis() as url:
        if url is None:
            print("Redis: skipped, there is no redis-server on the PATH")
            return []
        store = RedisReplayStore.from_url(url, clock_check=None)
        keys = iter(lambda: os.urandom(REPLAY_KEY_LENGTH), b"")

        def add() -> None:
            store.add(next(keys), expires_at=NOW + LIFETIME, now=NOW)

        times = measure(
            {"add": add, "alone": _bare_command(store)}, timer=time.perf_counter
        )
        typical, alone = times["add"].median, times["alone"].median
        server = _Redis(store)
        commands, used = server.commands(), server.used_memory()
        held = server.size()
        for _ in range(REDIS_ENTRIES - held):
            store.add(next(keys), expires_at=NOW + 3600, now=NOW)
        added = server.size() - held
        each = (server.used_memory() - used) / max(added, 1)
        trips = (server.commands() - commands) / max(added, 1)
        store.close()
        rate = _server_rate(url.removeprefix("unix://"))
    return [
        _figure("Redis, Unix socket: one add", typical, "us", None),
        _figure("Redis, Unix socket: redis-py alone", alone, "us", None),
        _figure("Redis: one add, in ES256 verifications", typical / verify, "x", None),
        _figure("Redis: commands for one add", round(trips, 2), "", 1),
        _figure("Redis: one entry, with its tables", each, "bytes", 120),
        *([_figure("one Redis: adds of 16 clients", rate, "/s", None)] if rate else []),
    ]


def redis_py_alone() -> float | None:
    """Return the processor time of one command by redis-py, in microseconds."""
    with running_redis() as url:
        if url is None:
            return None
        store = RedisReplayStore.from_url(url, clock_check=None)
        taken = measure({"alone": _bare_command(store)})["alone"].median
        store.close()
    return taken


def _bare_command(store: RedisReplayStore) -> Callable[[], object]:
    """Return a call that sends what the store sends, by its client."""
    client: Any = store._client  # noqa: SLF001
    return lambda: client.execute_command(
        *("SET", os.urandom(REPLAY_KEY_LENGTH), 1 << 62, "NX", "GET", "EX", 77),
        get=True,
    )


@contextmanager
def running_redis() -> Iterator[str | None]:
    """Run Redis on a Unix socket of its own; None if it is not installed."""
    binary = which("redis-server") or which("valkey-server")
    if binary is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder) / "redis.sock"
        server = subprocess.Popen(  # noqa: S603 - found on the PATH
            [
                *(binary, "--port", "0", "--unixsocket", str(socket)),
                *("--save", "", "--appendonly", "no", "--dir", folder),
                *("--maxmemory", "512mb", "--maxmemory-policy", "noeviction"),
            ],
            stdout=subprocess.DEVNULL,
        )
        try:
            for _ in range(100):
                if socket.exists():
                    break
                time.sleep(0.05)
            yield f"unix://{socket}"
        finally:
            server.terminate()
            server.wait()


def _server_rate(socket: str) -> float | None:
    """Return how many adds the server takes in a second, from clients written in C."""
    binary = which("redis-benchmark") or which("valkey-benchmark")
    if binary is None:
        return None
    command = ["SET", "__rand_int__", "1", "NX", "GET", "EX", "77"]
    result = subprocess.run(  # noqa: S603 - found on the PATH
        [
            *(binary, "-s", socket, "-n", "100000", "-c", "16", "--csv"),
            *("-r", "1000000000000", *command),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(result.stdout.splitlines()[-1].split('","')[1].strip('"'))


class _Redis:
    """What a server says about itself."""

    def __init__(self, store: RedisReplayStore) -> None:
        self._client: Any = store._client  # noqa: SLF001

    def commands(self) -> int:
        return sum(
            command["calls"]
            for name, command in self._client.info("commandstats").items()
            if name == "cmdstat_set"
        )

    def used_memory(self) -> int:
        return int(self._client.info("memory")["used_memory"])

    def size(self) -> int:
        return int(self._client.dbsize())


def _filled() -> MemoryReplayStore:
    """Return a store as full as at 1,000,000 requests in a lifetime of their proofs."""
    store = MemoryReplayStore(10 * LIVE)
    for number in range(LIVE):
        now = NOW + number * LIFETIME // LIVE
        store.add(os.urandom(REPLAY_KEY_LENGTH), expires_at=now + LIFETIME, now=now)
    return store


def _clock_cost() -> float:
    start = time.perf_counter()
    return time.perf_counter() - start


def _add_for_a_while(url: str, start: Any, results: Any) -> None:
    store = SQLReplayStore.from_url(url, timeout=5)

    def add() -> None:
        store.add(os.urandom(REPLAY_KEY_LENGTH), expires_at=NOW + LIFETIME, now=NOW)

    _for_a_while(add, start, results)
    store.close()


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


def _figure(
    name: str, value: float, unit: str, budget: float | None, **more: Any
) -> Figure:
    return Figure(name=name, value=value, unit=unit, budget=budget, **more)
