"""A fetch over loopback: bounded in time and size, and to the one URL."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from dpop_ext.core.target import is_secure
from dpop_ext.resource_server import transport
from dpop_ext.resource_server.transport import MAX_ANSWER, ask, fetch
from tests.patience import PATIENCE


class Answers(BaseHTTPRequestHandler):
    """What a misbehaving authorization server may say."""

    def do_GET(self) -> None:
        if self.path == "/redirect":
            self.send_response(302)
            self.send_header("Location", "/ok")
            self.end_headers()
        elif self.path == "/error":
            self.send_error(500)
        elif self.path == "/created":
            self.send_response(201)
            self.end_headers()
        elif self.path == "/unchanged":
            self.send_response(304)
            self.end_headers()
        elif self.path == "/garbage":
            self.wfile.write(b"garbage\r\n\r\n")
        elif self.path == "/silent":
            self.server.let_go.wait(PATIENCE)  # type: ignore[attr-defined]
        else:
            size = MAX_ANSWER + 1 if self.path == "/long" else 2
            self.send_response(200)
            self.send_header("ETag", '"1"')
            self.end_headers()
            self.wfile.write(b"x" * size)

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.rfile.read(length) + self.headers["X"].encode())

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def base() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Answers)
    server.let_go = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.let_go.set()  # type: ignore[attr-defined]
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_body_of_an_answer_is_returned(base: str) -> None:
    assert fetch(base + "/ok") == b"xx"
    assert fetch(base + "/", data=b"a=b", headers={"X": "y"}) == b"a=by"


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/ok", (200, '"1"', b"xx")),
        ("/unchanged", (304, None, b"")),
        ("/redirect", (302, None, b"")),
        ("/error", (500, None, b"")),
    ],
)
def test_an_answer_of_any_status_can_be_asked_for(
    base: str, path: str, answer: tuple[int, str | None, bytes]
) -> None:
    assert ask(base + path) == answer


@pytest.mark.parametrize(
    "path", ["/redirect", "/error", "/created", "/garbage", "/long"]
)
def test_any_other_answer_is_none(base: str, path: str) -> None:
    with pytest.raises(OSError):  # noqa: PT011 - of any kind
        fetch(base + path)


def test_a_server_that_does_not_answer_is_not_waited_for(
    base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "TIMEOUT", 0.05)
    with pytest.raises(OSError):  # noqa: PT011 - of any kind
        fetch(base + "/silent")


@pytest.mark.parametrize(
    ("before", "every", "after"),
    [
        (b"HTTP/1.1 200 OK\r\nX: ", b"x", b"\r\nContent-Length: 0\r\n\r\n"),
        (b"", b"HTTP/1.1 100 Go on\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", b"x", b""),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;",
            b"x",
            b"\r\nx\r\n0\r\n\r\n",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
            b"X: y\r\n",
            b"\r\n",
        ),
    ],
    ids=["field", "interim", "body", "chunk", "trailer"],
)
def test_an_answer_that_trickles_in_is_given_up(
    before: bytes, every: bytes, after: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "TIMEOUT", 0.2)
    given_up = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def trickle() -> None:
            connection, _ = listening.accept()
            with connection, suppress(OSError):
                connection.recv(4096)
                connection.sendall(before)
                for _ in range(50 * PATIENCE):
                    connection.sendall(every)
                    # None of these waits is as long as the time-out.
                    if given_up.wait(0.02):
                        return
                connection.sendall(after)

        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            with pytest.raises(TimeoutError):
                fetch(f"http://127.0.0.1:{listening.getsockname()[1]}/")
        finally:
            given_up.set()
            thread.join()


@pytest.mark.requirement("G-1")
def test_plain_http_goes_through_no_proxy(
    base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where nobody listens: what went there would not come back.
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    # Made anew, as in a process that starts now.
    monkeypatch.setattr(transport, "_opener", transport._opener.__wrapped__)
    assert fetch(base + "/ok") == b"xx"


def test_nobody_there() -> None:
    with pytest.raises(OSError):  # noqa: PT011 - of any kind
        fetch("http://127.0.0.1:1/")


@pytest.mark.requirement("G-1")
@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com",
        "https://127.0.0.1/",
        "http://localhost:9000/x",
        "http://127.0.0.1:9000",
        "http://127.9.9.9",
        "http://[::1]:9000",
    ],
)
def test_https_and_loopback_are_secure(url: str) -> None:
    assert is_secure(url)


@pytest.mark.requirement("G-1")
@pytest.mark.parametrize(
    "url",
    [
        "http://api.example.com",
        "http://localhost.example.com",
        "http://10.0.0.1",
        "http://127.0.0.1@evil.example",
        "ftp://localhost",
        "file:///localhost",
        "localhost",
        "//localhost",
        "https://",
        "http://[::1",
        "",
    ],
)
def test_everything_else_is_not(url: str) -> None:
    assert not is_secure(url)
    with pytest.raises(ValueError, match="https"):
        fetch(url)
