"""Where the browser comes back to: a port of this machine (:rfc:`8252#section-7.3`)."""

from __future__ import annotations

import base64
import hashlib
import html
import os
import queue
import re
import socket
import threading
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from types import TracebackType
from typing import Any, Final, Self

from dpop_ext.cli.group import Refusal
from dpop_ext.client.authorization_request import AuthorizationRequest
from dpop_ext.errors import (
    AuthorizationRefusedError,
    AuthorizationResponseError,
    WrongIssuerError,
)

#: Seconds that a connection may take: browsers open some that they never use.
CONNECTION_TIMEOUT: Final = 10

_URI = re.compile(
    r"http://(?P<host>127\.0\.0\.1|\[::1\])(?::(?P<port>[0-9]{1,5}))?(?P<path>/[^?#]*)?"
)
_STYLE = (
    "body{font:1.1rem/1.5 system-ui,sans-serif;margin:15vh auto;max-width:32rem;"
    "padding:0 1rem;text-align:center;color:#1b1f24;background:#fff}"
    "@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_FIELDS: Final = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class LoopbackRedirect:
    """Takes one authorization response, the one to a request; all else is refused.

    Anybody on this machine can send something to the port, and so can a web page in the
    browser. What has not the ``state`` of the request gets an error page, and the wait
    goes on.

    :param uri: as it is registered, without a port for one that is free.
    :raises Refusal: the URI is no loopback address, or its port is in use.
    """

    def __init__(self, uri: str) -> None:
        match = _URI.fullmatch(uri)
        port = int(match["port"] or 0) if match is not None else 0
        if match is None or port > 65_535:
            raise Refusal("--redirect-uri: http://127.0.0.1 or http://[::1] is needed")
        self._request: AuthorizationRequest | None = None
        self._responses: queue.SimpleQueue[str | AuthorizationResponseError] = (
            queue.SimpleQueue()
        )
        self._lock = threading.Lock()
        try:
            self._server = _server(match["host"], port, self)
        except OSError as error:
            raise Refusal(f"--redirect-uri: port {port}: {error.strerror}") from error
        #: Of the ``Host`` field. A page whose own name leads here sends another.
        self.authority = f"{match['host']}:{self._server.server_address[1]}"
        self.path = match["path"] or "/"
        #: Where the browser comes back to.
        self.uri = f"http://{self.authority}{match['path'] or ''}"

    def __enter__(self) -> Self:
        """Listen."""
        threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        ).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def expect(self, request: AuthorizationRequest) -> None:
        """Take the response to *request*; before the browser is sent away.

        Who is logged in already is back before anybody waits.
        """
        with self._lock:
            self._request = request

    def wait(self, *, seconds: float) -> str:
        """Return the URL that the browser came back to.

        :param seconds: until nobody is expected any more.
        :raises AuthorizationResponseError: it is a refusal, or of another server.
        :raises Refusal: there was none in time.
        """
        try:
            response = self._responses.get(timeout=seconds)
        except queue.Empty as error:
            raise Refusal(
                f"nobody came back within {seconds:g} seconds; --timeout gives more"
            ) from error
        if isinstance(response, AuthorizationResponseError):
            raise response
        return response

    def receive(
        self, query: str
    ) -> tuple[tuple[int, str, str], str | AuthorizationResponseError | None]:
        """Look at a response.

        :returns: status, heading and text of the page for it; and what whoever waits is
            to be told of once that page is sent: the process may end then.
        """
        url = f"{self.uri}?{query}"
        with self._lock:
            request = self._request
            if request is None:
                return (404, "Nothing is expected here", "No login is under way."), None
            try:
                request.read_code(url)
            except (AuthorizationRefusedError, WrongIssuerError) as error:
                # A second one is for nobody.
                self._request = None
                page = 200, "You are not logged in", "The terminal says why."
                return page, error
            except AuthorizationResponseError:
                text = "It is of another login. The terminal still waits for its own."
                return (400, "This is not the answer", text), None
            self._request = None
            text = "You can close this page; the terminal goes on."
            return (200, "Thank you", text), url

    def end(self, response: str | AuthorizationResponseError) -> None:
        """Tell whoever waits."""
        self._responses.put(response)


def _server(host: str, port: int, redirect: LoopbackRedirect) -> ThreadingTCPServer:
    class Page(BaseHTTPRequestHandler):
        server_version, sys_version = "dpop-ext", ""
        timeout = CONNECTION_TIMEOUT

        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            response = None
            if path != redirect.path or self.headers["Host"] != redirect.authority:
                answer = 404, "Nothing is here", "The terminal waits for another page."
            else:
                answer, response = redirect.receive(query)
            try:
                self._answer(*answer)
            finally:
                # Whether the browser has waited for its page or not.
                if response is not None:
                    redirect.end(response)

        def _answer(self, status: int, heading: str, text: str) -> None:
            self.send_response(status)
            for name, value in _FIELDS.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(_page(heading, text))

        def log_message(self, *_arguments: Any) -> None:
            """Say nothing: the code is in the line."""

    class Server(ThreadingTCPServer):
        address_family = socket.AF_INET if host == "127.0.0.1" else socket.AF_INET6
        # Elsewhere it would let another process listen at the same time.
        allow_reuse_address = os.name == "posix"
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *_arguments: Any) -> None:
            """Say nothing: a connection that breaks off is no answer."""

    return Server((host.strip("[]"), port), Page)


def _page(heading: str, text: str) -> bytes:
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>dpop-ext</title>'
        f"<style>{_STYLE}</style><h1>{html.escape(heading)}</h1>"
        f"<p>{html.escape(text)}</p></html>"
    ).encode()
