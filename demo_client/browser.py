"""The part of the person: log in, agree, and come back to the loopback redirect."""

from __future__ import annotations

import threading
import webbrowser
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import urljoin

import requests

from demo_client.transcript import exchange, why

#: The user of the demo data.
USERNAME, PASSWORD = "alice", "wonderland"
#: Time that a person has to log in and agree, in seconds.
PATIENCE = 300
_TIMEOUT = 30
_MAX_PAGES = 6


class DemoError(Exception):
    """The demo cannot go on; the message says what to look at."""


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
                self.send_header("Content-Type", "text/plain")
                self.end_headers()
                self.wfile.write(b"Done. You can go back to the terminal.\n")

            def log_message(self, *_arguments: object) -> None:
                """Say nothing: the transcript shows the redirect."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self._server.server_port}/callback"

    def __enter__(self) -> Self:
        """Listen."""
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
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

    def wait(self) -> str:
        """Return the whole URL that the browser was sent to.

        :raises DemoError: nobody came in time.
        """
        if not self._received.wait(PATIENCE):
            raise DemoError("Nobody came back from the authorization server.")
        return urljoin(self.uri, self._path)


class _Form(HTMLParser):
    """The first form of a page, with the values that it comes with."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action: str | None = None
        self.values: dict[str, str] = {}
        #: Name and value of the first button: the one that agrees.
        self.button: tuple[str, str] | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        fields = {name: value or "" for name, value in attrs}
        if tag == "form" and self.action is None:
            self.action = fields.get("action", "")
        elif tag == "input" and fields.get("name"):
            self.values[fields["name"]] = fields.get("value", "")
        elif tag == "button" and fields.get("name") and self.button is None:
            self.button = fields["name"], fields.get("value", "")


def open_browser(url: str) -> None:
    """Let the person do it."""
    why(f"log in as {USERNAME} with password {PASSWORD}, and allow the access")
    if not webbrowser.open(url):
        print(f"    open this address in a browser:\n    {url}", flush=True)


def fill_forms(url: str) -> None:
    """Do what the person would do: fill in the form of each page and send it.

    :raises DemoError: a page is not as it should be.
    """
    with requests.Session() as session:
        response = session.get(url, timeout=_TIMEOUT)
        for _ in range(_MAX_PAGES):
            exchange(response, body=False)
            if response.url.partition("?")[0].endswith("/callback"):
                return
            form = _Form(response.text)
            if form.action is None or not response.ok:
                raise DemoError(
                    f"The authorization server answered {response.status_code} with a "
                    "page that cannot be filled in."
                )
            values = form.values
            if "username" in values:
                values |= {"username": USERNAME, "password": PASSWORD}
            if form.button is not None:
                values |= dict([form.button])
            target = urljoin(response.url, form.action)
            response = session.post(target, data=values, timeout=_TIMEOUT)
    raise DemoError("The authorization server asks for page after page.")
