"""What the replay store on Redis takes: time, memory, round trips."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Any

from benchmarks.figure import Figure, figure
from benchmarks.measure import measure
from benchmarks.stores import LIFETIME
from benchmarks.world import NOW
from dpop_ext.stores.base import REPLAY_KEY_LENGTH
from dpop_ext.stores.redis import RedisReplayStore

#: Entries of which the memory in Redis is measured: three quarters of a table of 2**18.
REDIS_ENTRIES = 3 << 16


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

        client = _client(url)
        times = measure(
            {
                "add": add,
                "connection": _by_connection(client),
                "client": lambda: client.execute_command(*_command(), get=True),
            },
            timer=time.perf_counter,
        )
        typical = times["add"].median
        # What was added to be timed would expire meanwhile.
        client.flushall()
        server = _Redis(client)
        commands, used = server.commands(), server.used_memory()
        held = server.size()
        for _ in range(REDIS_ENTRIES - held):
            store.add(next(keys), expires_at=NOW + 3600, now=NOW)
        added = server.size() - held
        each = (server.used_memory() - used) / max(added, 1)
        trips = (server.commands() - commands) / max(added, 1)
        store.close()
        client.close()
        rate = _server_rate(url.removeprefix("unix://"))
    return [
        figure("Redis, Unix socket: one add", typical, "us", None),
        *(
            figure(f"Redis, Unix socket: {name} of redis-py", taken, "us", None)
            for name in ("connection", "client")
            for taken in [times[name].median]
        ),
        figure("Redis: one add, in ES256 verifications", typical / verify, "x", None),
        figure("Redis: commands for one add", round(trips, 2), "", 1),
        figure(
            "Redis: one entry, with its tables",
            *(each, "bytes", 120),
            floor=each,
            floor_is="a name of 14 bytes and a number, in this version of Redis",
        ),
        *([figure("one Redis: adds of 16 clients", rate, "/s", None)] if rate else []),
    ]


def redis_py_alone() -> float | None:
    """Return the processor time of one command by redis-py, in microseconds."""
    with running_redis() as url:
        if url is None:
            return None
        client = _client(url)
        taken = measure({"alone": _by_connection(client)})["alone"].median
        client.close()
    return taken


def _client(url: str) -> Any:
    from redis import Redis  # noqa: PLC0415 - it need not be there

    return Redis.from_url(url)


def _by_connection(client: Any) -> Callable[[], object]:
    """Return a call that sends what the store sends, by redis-py at its lowest."""
    connection = client.connection_pool.get_connection()

    def call() -> None:
        connection.send_command(*_command())
        connection.read_response()

    return call


def _command() -> tuple[Any, ...]:
    return ("SET", os.urandom(REPLAY_KEY_LENGTH), 1 << 62, "NX", "GET", "EX", 77)


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

    def __init__(self, client: Any) -> None:
        self._client = client

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
