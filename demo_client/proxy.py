"""A proxy between client and resource server that changes what passes through it.

Such a one stands wherever TLS ends before the server: a load balancer, a gateway, a
service mesh. This one is a plain HTTP proxy (:rfc:`9110#section-3.7`).
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from demo_client.browser import TIMEOUT

#: Of one connection, in seconds; as long as anybody waits for an answer.
_TIMEOUT = TIMEOUT
#: Fields that are about one connection (RFC 9110 section 7.6.1), and the length.
_HOP = {"connection", "proxy-connection", "keep-alive", "transfer-encoding"}
_HOP |= {"content-length"}


@dataclass(slots=True, kw_only=True)
class Passing:
    """A request or an answer on its way; a change function changes it in place."""

    method: str
    #: Path and query.
    target: str
    #: Of an answer; 0 in a request.
    status: int = 0
    fields: list[tuple[str, str]] = field(default_factory=list)
    content: bytes = b""


Change = Callable[[Passing], None]


def pass_on(_message: Passing) -> None:
    """Change nothing."""


@dataclass(slots=True)
class MeddlingProxy:
    """Where the proxy is, and what it does from now on."""

    url: str
    change_request: Change = pass_on
    change_answer: Change = pass_on

    @property
    def for_requests(self) -> dict[str, str]:
        """The ``proxies`` argument of requests."""
        return {"http": self.url, "https": self.url}


@contextmanager
def meddling_proxy() -> Iterator[MeddlingProxy]:
    """Run a proxy on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = _TIMEOUT
        # A small answer in two segments waits for an acknowledgement otherwise.
        wbufsize = -1

        def forward(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length", 0))
            request = Passing(
                method=self.command,
                target=parts.path + (f"?{parts.query}" if parts.query else ""),
                fields=_end_to_end(self.headers.items()),
                content=self.rfile.read(length),
            )
            proxy.change_request(request)
            answer = _ask(parts.netloc, request)
            proxy.change_answer(answer)
            self.send_response_only(answer.status)
            for name, value in answer.fields:
                self.send_header(name, value)
            if answer.status not in {204, 304}:
                self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.content)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = forward

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy = MeddlingProxy(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _ask(host: str, request: Passing) -> Passing:
    connection = http.client.HTTPConnection(host, timeout=_TIMEOUT)
    try:
        connection.putrequest(
            request.method, request.target, skip_host=True, skip_accept_encoding=True
        )
        for name, value in request.fields:
            connection.putheader(name, value)
        if request.content or request.method in {"POST", "PUT", "PATCH"}:
            connection.putheader("Content-Length", str(len(request.content)))
        connection.endheaders(request.content or None)
        response = connection.getresponse()
        return Passing(
            method=request.method,
            target=request.target,
            status=response.status,
            fields=_end_to_end(response.getheaders()),
            content=response.read(),
        )
    finally:
        connection.close()


def _end_to_end(fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in fields if name.lower() not in _HOP]
