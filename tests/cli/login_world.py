"""An authorization server, and a person with a browser who logs in there."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import requests

from tests.integrations.scripted_server import Answer, Received
from tests.integrations.token_endpoint import AuthorizationServer
from tests.patience import PATIENCE

RESOURCE = "https://api.example"


class LoginServer(AuthorizationServer):
    """Has further endpoints; the test says what they answer."""

    def __init__(self, *arguments: Any) -> None:
        self.answers: dict[str, Answer] = {}
        super().__init__(*arguments)

    def script(self, request: Received) -> Answer:
        return self.answers.get(request.target) or super().script(request)

    def to(self, target: str) -> list[Received]:
        return [request for request in self.received if request.target == target]


class Person:
    """Sits at the browser, and comes back with what the test says."""

    def __init__(self) -> None:
        self.asked: dict[str, str] = {}
        #: The request that was pushed before.
        self.pushed: dict[str, str] = {}
        self._pages: list[str] = []
        self._way_back: list[threading.Thread] = []
        #: What is done before.
        self.before: Callable[[], None] = lambda: None
        self.changes: list[dict[str, str | None]] = [{}]

    @property
    def pages(self) -> list[str]:
        """What the browser has shown at last: it may do so after the command ends."""
        for thread in self._way_back:
            thread.join(PATIENCE)
        return self._pages

    def open(self, url: str) -> bool:
        self.before()
        query = parse_qs(urlsplit(url).query)
        self.asked = self.pushed | {name: value for name, (value,) in query.items()}
        thread = threading.Thread(target=self._come_back, args=(url,), daemon=True)
        self._way_back.append(thread)
        thread.start()
        return True

    def _come_back(self, url: str) -> None:
        issuer = url.partition("/authorize")[0]
        good = {"code": "c-1", "state": self.asked["state"], "iss": issuer}
        for change in self.changes:
            given = {**good, **change}
            answer = {name: value for name, value in given.items() if value is not None}
            back = f"{self.asked['redirect_uri']}?{urlencode(answer)}"
            self._pages.append(requests.get(back, timeout=PATIENCE).text)
