"""The part of the person: log in, agree, and come back to the loopback redirect."""

from __future__ import annotations

import webbrowser
from html.parser import HTMLParser
from urllib.parse import urljoin

import requests

from demo_client.transcript import exchange, why
from dpop_ext import AuthorizationResponseError
from dpop_ext.cli.group import Refusal
from dpop_ext.cli.loopback import LoopbackRedirect

#: The user of the demo data.
USERNAME, PASSWORD = "alice", "wonderland"
#: Time that a person has to log in and agree, in seconds.
PATIENCE = 300
#: Time that a server has to answer any of these, in seconds, on a busy machine too.
TIMEOUT = 60
_MAX_PAGES = 6


class DemoError(Exception):
    """The demo cannot go on; the message says what to look at."""


def loopback_redirect() -> LoopbackRedirect:
    """Return a redirect URI on a free port of this machine, as the command line has."""
    return LoopbackRedirect("http://127.0.0.1/callback")


def come_back(redirect: LoopbackRedirect) -> str:
    """Return the whole URL that the browser was sent to.

    :raises DemoError: nobody came in time, or with a refusal.
    """
    try:
        return redirect.wait(seconds=PATIENCE)
    except (Refusal, AuthorizationResponseError) as error:
        raise DemoError(f"No authorization response: {error}") from error


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
        response = session.get(url, timeout=TIMEOUT)
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
            response = session.post(target, data=values, timeout=TIMEOUT)
    raise DemoError("The authorization server asks for page after page.")
