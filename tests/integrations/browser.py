"""What a browser lets a script of one origin do at another: CORS, as Fetch has it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.resource_server.world import Request, Response, send

#: Readable without any permission.
SAFELISTED = {"cache-control", "content-language", "content-length", "content-type"}


class BlockedError(Exception):
    """The script gets nothing, not even a status."""


@dataclass(kw_only=True)
class Browser:
    """Runs a script of *origin*, which talks to *app*."""

    app: Any
    origin: str = "https://app.example"
    #: The answers as they were on the wire, preflights included.
    wire: list[Response] = field(default_factory=list)

    def fetch(
        self,
        target: str,
        *,
        headers: list[tuple[str, str]],
        method: str = "GET",
        body: bytes = b"",
    ) -> Response:
        """Return what the script sees of the answer."""
        self._preflight(target, headers=headers, method=method)
        fields = [*headers, ("Origin", self.origin)]
        request = Request(
            headers=fields,
            method=method,
            target=target,
            body=body,
        )
        response = self._send(request)
        self._check_origin(response)
        exposed = names(response, "Access-Control-Expose-Headers") | SAFELISTED
        visible = [f for f in response.headers if f[0].lower() in exposed]
        return Response(status=response.status, headers=visible, body=response.body)

    def _preflight(
        self, target: str, *, headers: list[tuple[str, str]], method: str
    ) -> None:
        asked = ",".join(sorted(name.lower() for name, _ in headers))
        fields = [("Origin", self.origin), ("Access-Control-Request-Method", method)]
        fields.append(("Access-Control-Request-Headers", asked))
        answer = self._send(Request(headers=fields, method="OPTIONS", target=target))
        self._check_origin(answer)
        # "*" does not stand for Authorization.
        if not 200 <= answer.status < 300 or not (
            set(asked.split(",")) <= names(answer, "Access-Control-Allow-Headers")
            and method.lower() in names(answer, "Access-Control-Allow-Methods")
        ):
            raise BlockedError

    def _send(self, request: Request) -> Response:
        response = send(self.app, request.environ())
        self.wire.append(response)
        return response

    def _check_origin(self, response: Response) -> None:
        if response.values("Access-Control-Allow-Origin") != [self.origin]:
            raise BlockedError


def names(response: Response, name: str) -> set[str]:
    """Return the entries of a list in one or more header fields, in lower case."""
    entries = ",".join(response.values(name)).split(",")
    return {entry.strip().lower() for entry in entries if entry.strip()}
