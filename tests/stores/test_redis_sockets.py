"""Time-outs that the kernel keeps end a call as those of Python do."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from redis import exceptions

from dpop_ext.errors import StoreError
from dpop_ext.stores.redis import RedisReplayStore
from dpop_ext.stores.redis_client import connect
from dpop_ext.stores.redis_sockets import connection_options, kept_by_kernel
from tests.engines import RedisServer, free_ports, redis_server

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="as elsewhere")

#: Seconds: what a call may take. One that is answered may take so long, too.
TIMEOUT = 1.0


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    (port,) = free_ports(1)
    with redis_server(port=port) as server:
        yield server


@pytest.fixture(params=["unix", "redis"])
def url(server: RedisServer, request: pytest.FixtureRequest) -> str:
    return server.url if request.param == "unix" else f"redis://127.0.0.1:{server.port}"


@contextlib.contextmanager
def frozen(server: RedisServer) -> Iterator[None]:
    """Stop it where it is: it takes connections and commands, and answers nothing."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


@contextlib.contextmanager
def pair(timeout: float | None) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Yield two sockets that are connected, the first one as a connection has it."""
    usual, other = socket.socketpair()
    usual.settimeout(timeout)
    with other, kept_by_kernel(usual) as mine:
        yield mine, other


def add(store: RedisReplayStore, key: bytes) -> bool:
    now = int(time.time())
    return store.add(key, expires_at=now + 66, now=now)


def commands(server: RedisServer) -> int:
    """Count the commands ``SET`` that the server was ever sent."""
    statistics = server.command("INFO", "commandstats")
    return int(statistics.partition("cmdstat_set:calls=")[2].partition(",")[0])


class TestFrozenServer:
    @pytest.mark.requirement("X-15")
    def test_it_is_an_error_after_the_time_out_and_not_tried_again(
        self, server: RedisServer, url: str
    ) -> None:
        key = secrets.token_bytes(14)
        with contextlib.closing(
            RedisReplayStore.from_url(url, timeout=TIMEOUT, connect_timeout=TIMEOUT)
        ) as store:
            assert add(store, secrets.token_bytes(14))
            (connection,) = store._client._idle  # type: ignore[attr-defined]
            assert connection._usual._sock.gettimeout() is None
            before = commands(server)
            with frozen(server):
                started = time.monotonic()
                with pytest.raises(StoreError) as raised:
                    add(store, key)
                taken = time.monotonic() - started

            assert isinstance(raised.value.__cause__, exceptions.TimeoutError)
            assert TIMEOUT * 0.9 < taken < 5
            assert connection._usual._sock is None
            # The command had arrived: this is the next one, with its own answer.
            assert add(store, key) is False
            assert add(store, secrets.token_bytes(14)) is True
            assert commands(server) == before + 3

    def test_a_client_of_other_stores_gives_up_once_too(
        self, server: RedisServer, url: str
    ) -> None:
        client: Any = connect(url, connect_timeout=TIMEOUT, timeout=TIMEOUT)
        with contextlib.closing(client):
            assert client.execute_command("SET", "other", "1")
            before = commands(server)
            with frozen(server):
                started = time.monotonic()
                with pytest.raises(exceptions.TimeoutError):
                    client.execute_command("SET", "other", "2")
                assert TIMEOUT * 0.9 < time.monotonic() - started < 5

            assert client.execute_command("SET", "other", "3")
        assert commands(server) == before + 2


class TestTimeOut:
    def test_it_is_the_error_that_a_socket_of_python_raises(self) -> None:
        with pair(0.05) as (mine, _):
            assert os.get_blocking(mine.fileno())
            for wait in (
                lambda: mine.recv(10),
                lambda: mine.recv_into(bytearray(10)),
                lambda: mine.sendall(bytes(10_000_000)),
            ):
                with pytest.raises(TimeoutError):
                    wait()

    def test_what_comes_in_time_is_received(self) -> None:
        buffer = bytearray(2)
        with pair(5) as (mine, other):
            mine.sendall(b"there")
            assert other.recv(10) == b"there"
            other.sendall(b"back")
            assert mine.recv(2) == b"ba"
            assert mine.recv_into(buffer) == 2
            assert buffer == b"ck"
            other.close()
            assert mine.recv(1) == b""

    @pytest.mark.parametrize("timeout", [1e-9, 0.5, 1.5, 100_000])
    def test_it_is_never_none(self, timeout: float) -> None:
        with pair(timeout) as (mine, _):
            for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                kept = struct.unpack(
                    "@ll", mine.getsockopt(socket.SOL_SOCKET, option, 16)
                )
                assert timeout <= kept[0] + kept[1] / 1e6 < timeout + 0.02

    @pytest.mark.parametrize("option", ["", "?socket_timeout=0.7"])
    def test_that_of_the_url_goes_before(self, url: str, option: str) -> None:
        with contextlib.closing(
            RedisReplayStore.from_url(url + option, timeout=TIMEOUT)
        ) as store:
            add(store, secrets.token_bytes(14))
            (connection,) = store._client._idle  # type: ignore[attr-defined]
            kept = connection._usual._sock.getsockopt(
                socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16
            )
        seconds, microseconds = struct.unpack("@ll", kept)
        wanted = 0.7 if option else TIMEOUT
        assert wanted <= seconds + microseconds / 1e6 < wanted + 0.02


def test_the_time_out_of_every_socket_of_python_is_not_added() -> None:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(5)
    try:
        with pair(TIMEOUT) as (mine, _):
            assert mine.gettimeout() is None
            assert os.get_blocking(mine.fileno())
    finally:
        socket.setdefaulttimeout(before)


class TestUnchanged:
    def test_a_socket_that_never_blocks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As gevent puts in the place of Python's: it would wait for ever."""

        class Green(socket.socket):
            def settimeout(self, value: float | None) -> None:
                super().settimeout(value)
                os.set_blocking(self.fileno(), False)

        with contextlib.closing(Green()) as usual:
            usual.settimeout(0.5)
            monkeypatch.setattr(socket, "socket", Green)
            assert kept_by_kernel(usual) is usual
            assert usual.gettimeout() == 0.5

    @pytest.mark.parametrize("timeout", [None, 0])
    def test_one_without_a_time_out(self, timeout: float | None) -> None:
        with socket.socket() as usual:
            usual.settimeout(timeout)
            assert kept_by_kernel(usual) is usual
            assert usual.gettimeout() == timeout

    def test_one_of_another_class(self) -> None:
        class Other(socket.socket):
            pass

        with Other() as usual:
            usual.settimeout(0.5)
            assert kept_by_kernel(usual) is usual
            assert usual.gettimeout() == 0.5

    @pytest.mark.parametrize(
        ("url", "platform", "is_changed"),
        [
            ("unix:///run/redis.sock", "linux", True),
            ("redis://localhost", "linux", True),
            ("rediss://localhost", "linux", False),
            ("unix:///run/redis.sock", "darwin", False),
            ("redis://localhost", "win32", False),
        ],
    )
    def test_tls_and_other_systems(
        self,
        url: str,
        platform: str,
        is_changed: bool,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(sys, "platform", platform)
        assert bool(connection_options(url)) is is_changed
