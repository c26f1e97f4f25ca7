"""What the scripts share: one JSON line per step, with the answers that it got.

The argument of a script is a JSON object. A script that needs a person prints an
authorization URL and reads the URL of the callback from its standard input.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from tests.patience import PATIENCE


class RecordingAdapter(HTTPAdapter):
    """Below everything that a library adds to a request, its retries included."""

    def __init__(self) -> None:
        super().__init__()
        self._answers: list[dict[str, Any]] = []
        self._last_request: requests.PreparedRequest | None = None
        self._next_url: str | None = None

    def send(
        self, request: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> requests.Response:
        """Send a request and note the answer."""
        if self._next_url is not None:
            request.url, self._next_url = self._next_url, None
        self._last_request = request
        kwargs.setdefault("timeout", PATIENCE)
        response = super().send(request, *args, **kwargs)
        self._answers.append(_describe(response))
        return response

    def send_again(self) -> None:
        """Send the last request with the same proof."""
        if self._last_request is None:
            raise RuntimeError("no request was sent")
        self.send(self._last_request.copy())

    def divert(self, url: str) -> None:
        """Send the next request to *url*, whatever its proof was made for."""
        self._next_url = url

    def report(self, step: str, **fields: Any) -> None:
        """Print what became of a step."""
        answers, self._answers = self._answers, []
        print(json.dumps({"step": step, "answers": answers, **fields}), flush=True)  # noqa: T201

    def authorize(self, url: str) -> str:
        """Let a person visit *url*; return the callback."""
        self.report("authorize", url=url)
        return sys.stdin.readline().strip()


def start() -> tuple[dict[str, str], requests.Session, RecordingAdapter]:
    """Return the argument of the script, and a session with its recorder."""
    session, adapter = requests.Session(), RecordingAdapter()
    session.mount("http://", adapter)
    return json.loads(sys.argv[1]), session, adapter


def _describe(response: requests.Response) -> dict[str, Any]:
    answer: dict[str, Any] = {"status": response.status_code}
    if response.ok:
        return answer
    challenge = response.headers.get("WWW-Authenticate")
    if challenge is None:
        body = response.json()
        description = body.get("error_description")
        return answer | {"error": body["error"], "description": description}
    for name, parameter in ("error", "error"), ("description", "error_description"):
        found = re.search(rf'\b{parameter}="([^"]*)"', challenge)
        answer[name] = found and found[1]
    return answer
