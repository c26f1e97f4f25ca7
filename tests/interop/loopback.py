"""Where the browser comes back to, for clients that check the response themselves."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Self
from urllib.parse import urljoin

from tests.patience import PATIENCE


class LoopbackRedirect:
    """A redirect URI on a free port of this machine (:rfc:`8252#section-7.3`)."""

    def __init__(self) -> None:
        self._received = threading.Event()
        self._path = ""
        redirect = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.startswith("/callback?"):
                    redirect._path = self.path
                    redirect._received.set()
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"Done.\n")

            def log_message(self, *_arguments: Any) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self._server.server_port}/callback"

    def __enter__(self) -> Self:
        threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        ).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait(self) -> str:
        """Return the whole URL that the browser was sent to."""
        assert self._received.wait(PATIENCE)
        return urljoin(self.uri, self._path)
