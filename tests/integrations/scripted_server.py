"""A real HTTP server on a free port whose answers the test writes."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeAlias
from urllib.parse import parse_qs

from tests.client.reading import ReadProof, read
from tests.patience import PATIENCE


@dataclass(frozen=True)
class Received:
    """A request as it came over the wire."""

    method: str
    #: Raw target: path and query.
    target: str
    fields: list[tuple[str, str]]
    body: bytes
    #: Port of the client: one for each connection.
    port: int

    def all(self, name: str) -> list[str]:
        """Every value of a header field, one for each line."""
        return [value for other, value in self.fields if other.lower() == name.lower()]

    @property
    def dpop(self) -> str:
        """The one proof of the request."""
        (proof,) = self.all("DPoP")
        return proof

    @property
    def proof(self) -> ReadProof:
        """What stands in the one proof of the request."""
        return read(self.dpop)

    @property
    def authorization(self) -> str:
        """The one credential of the request."""
        (value,) = self.all("Authorization")
        return value

    @property
    def form(self) -> dict[str, str]:
        """The form in the body."""
        return {name: value for name, (value,) in parse_qs(self.body.decode()).items()}


@dataclass(frozen=True)
class Answer:
    """What the server sends back."""

    status: int = 200
    fields: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b"{}"


Script: TypeAlias = Callable[[Received], Answer]


class ScriptedServer:
    """Answers by :attr:`script`, and keeps every request in :attr:`received`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.received: list[Received] = []
        self.script: Script = lambda request: Answer()
        self._lock = threading.Lock()

    def answer(self, request: Received) -> Answer:
        with self._lock:
            self.received.append(request)
            return self.script(request)

    def play(self, *answers: Answer) -> None:
        """Give these answers in turn, the last one for ever."""
        left = list(answers)
        self.script = lambda request: left.pop(0) if len(left) > 1 else left[0]

    @property
    def proofs(self) -> list[ReadProof]:
        return [request.proof for request in self.received]

    @property
    def kinds(self) -> str:
        """``s`` for each symmetric proof and ``a`` for each asymmetric one."""
        return "".join("s" if proof.is_symmetric else "a" for proof in self.proofs)

    @property
    def nonces(self) -> list[str | None]:
        return [proof.claims.get("nonce") for proof in self.proofs]


@contextmanager
def running_server(tls: ssl.SSLContext | None = None) -> Iterator[ScriptedServer]:
    """Run a server on a free port of 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # A small answer in two segments waits for an acknowledgement otherwise.
        wbufsize = -1
        # Seconds to wait for a body that does not come.
        timeout = PATIENCE

        def handle_any(self) -> None:
            answer = scripted.answer(
                Received(
                    self.command,
                    # Not self.path: repeated slashes are lost in it.
                    self.requestline.split()[1],
                    self.headers.items(),
                    self.read_body(),
                    self.client_address[1],
                )
            )
            self.send_response_only(answer.status)
            if not any(name == "Date" for name, _ in answer.fields):
                self.send_header("Date", self.date_time_string())
            for name, value in answer.fields:
                self.send_header(name, value)
            body = b"" if answer.status in {204, 304} else answer.body
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_any

        def read_body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    scheme = "http"
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    scripted = ScriptedServer(f"{scheme}://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield scripted
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
