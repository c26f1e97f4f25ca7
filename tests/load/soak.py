"""``make soak``: the load for minutes, while all secrets are rotated.

Ends with 1 if a proof was accepted twice, or anything else went wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dpop_ext.stores.nonce_file import rotate_nonce_file
from tests.load import topology
from tests.load.topology import ROOT, Topology
from tests.load.traffic import KINDS, Tally, Traffic

#: Clients that prefer each kind of proof.
EACH = 3
COPIES = 3
#: Megabytes by which the workers of a server may grow once they are warm, on average.
MAX_GROWTH = 32
#: Seconds between two looks at the memory.
LOOK_EVERY = 15

REPORT = ROOT / "docs" / "operations.md"
BEGIN, END = "<!-- soak: begin -->", "<!-- soak: end -->"


@dataclass
class Rotation:
    """Something that is rotated again and again."""

    name: str
    every: float
    #: Tells whether it was rotated: it may be too early.
    run: Callable[[], bool]
    count: int = 0
    due: float = 0.0


def rotations(servers: Topology) -> list[Rotation]:
    """Return what is rotated, and how often that is tried, in seconds."""

    def nonces(role: str) -> Callable[[], bool]:
        def rotate() -> bool:
            path = servers.nonces[role]
            return rotate_nonce_file(path, now=int(time.time()), delay=10) > 0

        return rotate

    def operate(*arguments: str) -> bool:
        command = [sys.executable, "-m", "dpop_ext", "secrets", *arguments]
        done = subprocess.run(
            command,
            env=servers.environment,
            cwd=ROOT,
            check=False,
            capture_output=True,
        )
        return done.returncode == 0

    oldest = [1]

    def secrets() -> bool:
        # Three versions may be live. One that was followed by hand stays for a day,
        # unless it is retired, which is refused until its last token has ended.
        oldest[0] += operate("retire", str(oldest[0]))
        # Refused as long as the version before is pending.
        return operate("rotate")

    def ticket_keys() -> bool:
        # Every hour by themselves. Sooner is harder: the workers notice one by one,
        # and every ticket is stale.
        with contextlib.closing(sqlite3.connect(servers.tickets)) as connection:
            connection.execute("DELETE FROM dpop_ticket_key")
            connection.commit()
        return True

    return [
        Rotation("nonce secrets of the AS", 20, nonces("as")),
        Rotation("nonce secrets of the RS", 20, nonces("rs")),
        Rotation("derivation secrets", 20, secrets),
        Rotation("ticket keys", 90, ticket_keys),
    ]


def soak(servers: Topology, minutes: float) -> tuple[Tally, list[Rotation], Memory]:
    """Run load and rotations; return what came of it."""
    traffic = Traffic(servers, each=EACH, copies=COPIES)
    planned, memory = rotations(servers), Memory(servers)
    start = time.monotonic()
    for rotation in planned:
        rotation.due = start + rotation.every / 2
    traffic.start()
    while (now := time.monotonic()) < start + 60 * minutes and traffic.is_running:
        for rotation in planned:
            if now >= rotation.due:
                rotation.count += rotation.run()
                rotation.due += rotation.every
        if memory.look(now - start):
            print(  # noqa: T201
                f"{now - start:5.0f} s  {traffic.tally.accepted} proofs accepted, "
                f"{traffic.tally.replays_refused} replays refused, "
                f"{len(traffic.tally.faults)} faults, {memory.latest()}",
                flush=True,
            )
        time.sleep(0.1)
    return traffic.stop(), planned, memory


class Memory:
    """What the worker processes take, over time."""

    def __init__(self, servers: Topology) -> None:
        self._servers = servers
        #: Megabytes of the workers of each server, on average, at each look.
        self.averages: dict[str, list[float]] = {"as": [], "rs": []}
        #: All worker processes that were ever seen.
        self.seen: set[int] = set()
        self._next = 0.0

    def look(self, seconds: float) -> bool:
        """Look, if it is time."""
        if seconds < self._next:
            return False
        self._next += LOOK_EVERY
        roles, sizes = self._servers.workers(), self._servers.memory()
        self.seen |= roles.keys()
        for role, averages in self.averages.items():
            of_role = [sizes[pid] / 1024 for pid in sizes if roles.get(pid) == role]
            averages.append(statistics.mean(of_role))
        return True

    def latest(self) -> str:
        """Say what they take now."""
        return ", ".join(
            f"{role.upper()} {averages[-1]:.0f} MiB a worker"
            for role, averages in self.averages.items()
        )

    def growth(self) -> float:
        """Return the megabytes since a quarter of the time, of the one that grew most.

        By then each proof is remembered that can be, and every cache has been used.
        """
        return max(
            averages[-1] - averages[len(averages) // 4]
            for averages in self.averages.values()
        )


def faults(tally: Tally, memory: Memory) -> list[str]:
    """Return what went wrong, in words."""
    found = list(tally.faults)
    if memory.growth() > MAX_GROWTH:
        found.append(f"the memory grew by {memory.growth():.0f} MiB a worker")
    workers = topology.AS_WORKERS + topology.RS_WORKERS
    if not set(KINDS) <= tally.kinds.keys():
        found.append("a kind of proof was not sent")
    if len(memory.seen) != workers:
        found.append(f"{len(memory.seen) - workers} workers were replaced")
    return found


def describe(
    tally: Tally, planned: list[Rotation], memory: Memory, *, seconds: float
) -> str:
    """Return the result as a list in Markdown."""
    errors = sum(count for status, count in tally.statuses.items() if status >= 500)
    kinds = ", ".join(f"{tally.kinds[kind]:,} {kind}" for kind in sorted(tally.kinds))
    rotated = ", ".join(f"{one.name} ({one.count})" for one in planned)
    sizes = "; ".join(
        f"{role.upper()} {values[len(values) // 4]:.0f} MiB after a quarter of the "
        f"time, {values[-1]:.0f} MiB at the end"
        for role, values in memory.averages.items()
    )
    lines = [
        f"{sum(tally.statuses.values()):,} requests, {COPIES} copies of each at once.",
        f"{errors} answers with a 5xx.",
        f"{tally.accepted:,} distinct proofs accepted, each exactly once ({kinds}).",
        f"{tally.replays_refused:,} replays refused.",
        f"{tally.challenged:,} proofs answered with the demand for another one.",
        f"Rotated meanwhile: {rotated}.",
        f"Memory of a worker, on average: {sizes}.",
        f"{len(faults(tally, memory))} faults.",
    ]
    head = (
        f"{dt.datetime.now(dt.UTC).date()}, Python {platform.python_version()}, "
        f"{os.cpu_count()} cores, which the clients shared, {seconds / 60:.0f} minutes:"
    )
    items = [
        textwrap.fill(line, 88, initial_indent="* ", subsequent_indent="  ")
        for line in lines
    ]
    return "\n".join([head, "", *items, ""])


def write(result: str, path: Path) -> None:
    """Put *result* in the place of the last one."""
    text = path.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    path.write_text(f"{before}{BEGIN}\n{result}{END}{after}")


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument(
        "--write", action="store_true", help=f"put the result into {REPORT.name}"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as directory:
        started = time.monotonic()
        # A version of the secrets is needed for as long as the tokens that have it, and
        # only three are live: so they can follow each other faster. Clients renew a
        # token a minute before it ends.
        with topology.running(Path(directory), access_token_lifetime="120") as servers:
            tally, planned, memory = soak(servers, arguments.minutes)
        seconds = time.monotonic() - started
        for log in Path(directory).glob("?s.log"):
            lines = log.read_text().splitlines()
            if any("Traceback" in line for line in lines):
                tally.faults.append(f"a traceback in {log.name}")
    result = describe(tally, planned, memory, seconds=seconds)
    print(result)  # noqa: T201
    found = faults(tally, memory)
    for fault in found[:20]:
        print(fault)  # noqa: T201
    if arguments.write:
        write(result, REPORT)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
