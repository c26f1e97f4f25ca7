"""A thread that serves a few files that do not change."""

from __future__ import annotations

import logging
import socket
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self

from demo_server import tls
from demo_server.browser_client.page_files import header_fields, read_files
from demo_server.settings import Settings

#: How long a connection may take to say what it wants, in seconds.
_TIMEOUT: Final = 10
#: How often the thread looks whether it is to end, in seconds.
_POLL: Final = 0.1

_log = logging.getLogger(__name__)


class PageServer:
    """Serves the page as a context manager, from a thread.

    :param listener: a TCP socket that listens; the caller may close it.
    :param settings: with the ports of all three.
    """

    def __init__(self, listener: socket.socket, settings: Settings) -> None:
        self._server = _Server(listener, settings)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=[_POLL], daemon=True
        )

    def __enter__(self) -> Self:
        """Serve."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    def __init__(self, listener: socket.socket, settings: Settings) -> None:
        self.files = read_files(settings)
        self.fields = header_fields(settings)
        self.origin = settings.client_url or ""
        context = tls.server_context(settings)
        super().__init__(listener.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener.dup()
        if context is not None:
            # Shaking hands is up to the thread of a connection: one that is slow about
            # it must not keep the others waiting.
            self.socket = context.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log one line instead of a traceback."""
        error = sys.exception()
        _log.info("a connection to the page broke: %s", type(error).__name__)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _TIMEOUT

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if self.headers.get("Host") != self.server.origin.partition("//")[2]:
            # By another name it is another origin, which both servers refuse.
            self._answer(HTTPStatus.FOUND, location=f"{self.server.origin}/")
        elif path in self.server.files:
            self._answer(HTTPStatus.OK, *self.server.files[path])
        else:
            self._answer(HTTPStatus.NOT_FOUND)

    do_HEAD = do_GET

    def _answer(
        self,
        status: HTTPStatus,
        media_type: str = "text/plain",
        content: bytes = b"",
        *,
        location: str | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in self.server.fields.items():
            self.send_header(name, value)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(content)))
        if location is not None:
            self.send_header("Location", location)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing: a path may hold a code."""

    def version_string(self) -> str:
        """Name no version."""
        return "dpop-demo"
