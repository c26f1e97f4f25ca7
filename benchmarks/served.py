"""A Flask route end to end: requests in a second, over gunicorn and granian."""

from __future__ import annotations

import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from benchmarks.redis_store import running_redis
from benchmarks.routes import (
    PATH,
    SENT,
    Route,
    by_hand,
    request_lines,
    routes,
    settings_for,
)
from dpop_ext.stores.sql import SQLReplayStore
from tests.programs import find_program

#: granian with an ASGI application that is nothing but the route.
ASGI = "granian, ASGI"
#: Seconds of load in one round, and rounds. What else runs on a machine comes and goes
#: within seconds: many short rounds in turns are hit alike.
SECONDS, ROUNDS = 0.3, 12
#: Servers of each route that take turns. Two that run the same code differ, by up to a
#: tenth, as long as they run: by where things lie in memory, on which core they are.
COPIES = 3
#: Rounds where nothing is compared; and for several workers, which take a while until
#: each has connections, rounds and their seconds.
FEW_ROUNDS, MANY_ROUNDS, MANY_SECONDS = 4, 3, 0.6
#: Connections that wrk keeps open, and seconds after which it ends by itself.
CONNECTIONS, MOST_SECONDS = 8, 20
#: Proofs that a server needs, as a part of those of the quickest: to make them takes as
#: long as the load itself.
_SHARES = {"gunicorn": 0.4}
#: Threads of one worker.
THREADS = 4
_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What one route served."""

    route: Route
    server: str
    #: Requests in a second, the median of the rounds.
    rate: float
    #: Requests in a second of the processor time of the server: what one core serves,
    #: whatever else runs on the machine. None where the system does not tell.
    of_a_core: float | None
    #: The least and the greatest of the rounds, likewise.
    range_of_a_core: tuple[float, float] | None
    #: Milliseconds within which 99 of 100 were answered.
    slowest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Running:
    """A server that answers."""

    url: str
    #: Proofs that one second needs, as a part of those of the quickest server.
    share: float
    #: Of the session that all of its processes belong to.
    session: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    """One round."""

    rate: float
    of_a_core: float | None
    slowest: float


class RefusedError(Exception):
    """A request was not answered with 200, so the figure would mean nothing."""


def end_to_end() -> list[Rate]:
    """Measure the ways to protect the route, on each server in turns."""
    found: list[Rate] = []
    with running_redis() as redis, tempfile.TemporaryDirectory() as folder:
        ways = routes()
        if redis is not None:
            name = "symmetric, Redis"
            ways += [
                Route(name=name, kind="dpop", proof="symmetric", store=redis),
                Route(
                    name=by_hand(name), kind="by hand", proof="symmetric", store=redis
                ),
            ]
        for server in servers():
            on_asgi = server == ASGI
            # No framework there: no budgets, so nothing to compare with.
            left_out = ("by hand", "bearer") if on_asgi else ()
            fit = [
                route
                for route in ways
                if route.kind not in left_out and not (on_asgi and route.name == SENT)
            ]
            rounds, copies = (FEW_ROUNDS, 1) if on_asgi else (ROUNDS, COPIES)
            found += _in_turns(server, fit, Path(folder), rounds=rounds, copies=copies)
    return found


def scaling() -> list[Rate]:
    """Measure 1, 2 and 4 workers with each store."""
    found: list[Rate] = []
    with running_redis() as redis, tempfile.TemporaryDirectory() as folder:
        sqlite = f"sqlite:///{folder}/replay.db"
        SQLReplayStore.from_url(sqlite).create_schema()
        stores = {"memory": "memory", "SQLite": sqlite}
        if redis is not None:
            stores["Redis"] = redis
        for name, store in stores.items():
            ways = [
                Route(
                    name=f"{workers} worker{'s'[: workers - 1]}, {name}",
                    kind="dpop",
                    proof="symmetric",
                    store=store,
                    workers=workers,
                )
                for workers in (1, 2, 4)
            ]
            found += _in_turns(
                "gunicorn",
                ways,
                Path(folder),
                rounds=MANY_ROUNDS,
                seconds=MANY_SECONDS,
            )
    return found


def reason_to_skip() -> str | None:
    """Say why nothing can be measured; None if it can."""
    if _find_wrk() is None:
        return "there is no wrk on the PATH, and only root installs Debian's package"
    return None


def _find_wrk() -> Path | None:
    """Return the path of wrk, which is installed if this process may do that."""
    return find_program("wrk", package="wrk")


def servers() -> list[str]:
    """Return the servers that are installed."""
    found = [name for name in ("gunicorn", "granian") if find_spec(name) is not None]
    return [*found, ASGI] if "granian" in found else found


def _in_turns(
    server: str,
    ways: Sequence[Route],
    folder: Path,
    *,
    rounds: int,
    copies: int = 1,
    seconds: float = SECONDS,
) -> list[Rate]:
    samples: dict[str, list[_Sample]] = {r.name: [] for r in ways}
    with _serving(server, ways, folder, copies=copies) as running:
        for route in ways:
            for one in running[route.name]:
                # The first requests import what is imported late, in each worker.
                _load(one, route, folder, seconds=seconds / copies)
        for number in range(rounds):
            for route in ways:
                one = running[route.name][number % copies]
                sample = _load(one, route, folder, seconds=seconds)
                samples[route.name].append(sample)
    return [_rate(server, route, samples[route.name]) for route in ways]


def _rate(server: str, route: Route, samples: list[_Sample]) -> Rate:
    of_a_core = [s.of_a_core for s in samples if s.of_a_core is not None]
    return Rate(
        route=route,
        server=server,
        rate=statistics.median(s.rate for s in samples),
        of_a_core=statistics.median(of_a_core) if of_a_core else None,
        range_of_a_core=(min(of_a_core), max(of_a_core)) if of_a_core else None,
        slowest=statistics.median(s.slowest for s in samples),
    )


@contextmanager
def _serving(
    server: str, ways: Sequence[Route], folder: Path, *, copies: int
) -> Iterator[dict[str, list[_Running]]]:
    """Start all servers at once, and stop them so."""
    running: dict[str, list[_Running]] = {route.name: [] for route in ways}
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for route in [*ways] * copies:
            port = _free_port(folder)
            settings = folder / f"{port}.json"
            settings.write_text(json.dumps(settings_for(route)), encoding="utf-8")
            process = subprocess.Popen(  # noqa: S603 - our own interpreter
                [sys.executable, "-m", *_command(server, port, route.workers)],
                env=os.environ | {"BENCHMARK_SETTINGS": str(settings)},
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
            processes.append(process)
            url = f"http://127.0.0.1:{port}{PATH}"
            running[route.name].append(
                _Running(url=url, share=_SHARES.get(server, 1), session=process.pid)
            )
        for route in ways:
            for one in running[route.name]:
                _wait_for(one.url, workers=route.workers)
        yield running
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(timeout=20)


def _command(server: str, port: int, workers: int) -> list[str]:
    app = "benchmarks.served_app:app"
    if server == "gunicorn":
        return [
            *("gunicorn", app, "--bind", f"127.0.0.1:{port}", "--log-level", "error"),
            *("--workers", str(workers), "--worker-class", "gthread"),
            *("--threads", str(THREADS), "--keep-alive", "30", "--no-control-socket"),
        ]
    options = ["--host", "127.0.0.1", "--port", str(port), "--log-level", "error"]
    options += ["--workers", str(workers)]
    if server == ASGI:
        return ["granian", f"{app[:-3]}asgi", "--interface", "asgi", *options]
    return [
        *("granian", app, "--interface", "wsgi", *options),
        *("--blocking-threads", str(THREADS)),
    ]


def _load(server: _Running, route: Route, folder: Path, *, seconds: float) -> _Sample:
    """Put load on a server for a while."""
    requests = folder / "requests"
    lines = request_lines(route, seconds=seconds * server.share)
    requests.write_text("\n".join(lines) + "\n", encoding="ascii")
    wrk = str(_find_wrk())
    arguments = ["-t1", f"-c{CONNECTIONS}", f"-d{MOST_SECONDS}s", "--latency"]
    script = str(_HERE / "requests.lua")
    before = _processor_time(server.session)
    with subprocess.Popen(  # noqa: S603 - found on the PATH
        [wrk, *arguments, "-s", script, server.url, "--", str(requests)],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        # It counts in whole seconds itself, but ends when it is asked to.
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=seconds)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate()
    after = _processor_time(server.session)
    number, duration, refused, slowest = map(int, output.split()[-4:])
    if refused or not number:
        raise RefusedError(f"{route.name}: {refused} of {number}")
    of_a_core = None
    if before is not None and after is not None and after > before:
        of_a_core = number / (after - before)
    return _Sample(
        rate=number / duration * 1e6, of_a_core=of_a_core, slowest=slowest / 1e3
    )


def _processor_time(session: int) -> float | None:
    """Return the seconds that the processes of a session took so far; Linux only."""
    nanoseconds = 0
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            # Behind the name of the program, which can hold anything.
            stat = (process / "stat").read_text(encoding="ascii").rpartition(")")[2]
            if int(stat.split()[3]) == session:
                for thread in (process / "task").iterdir():
                    times = (thread / "schedstat").read_text(encoding="ascii")
                    nanoseconds += int(times.split()[0])
    return nanoseconds / 1e9 if nanoseconds else None


def _free_port(folder: Path) -> int:
    """Return a port that no server has, nor one that has just been started here."""
    while True:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port: int = listener.getsockname()[1]
        if not (folder / f"{port}.json").exists():
            return port


def _wait_for(url: str, *, workers: int) -> None:
    """Wait until requests are answered, as often as there are workers."""
    deadline, answered = time.monotonic() + 30, 0
    while answered < 2 * workers:
        try:
            with suppress(urllib.error.HTTPError):
                urllib.request.urlopen(url, timeout=5).close()  # noqa: S310
            answered += 1
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
