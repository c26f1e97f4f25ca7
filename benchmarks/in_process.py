"""The Flask route in this process: what a request takes without a server around it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Any

from flask import Flask
from werkzeug.test import EnvironBuilder

from benchmarks.routes import PATH, Route, request_lines, settings_for
from benchmarks.served_app import make_app
from benchmarks.world import AUDIENCE


def calling(route: Route) -> Callable[[], None]:
    """Return a call that serves the next request; each has a proof of its own."""
    lines = request_lines(route)
    authorization = next(lines)
    proofs = list(lines) or repeat("")
    base = EnvironBuilder(PATH, AUDIENCE).get_environ() | {"RAW_URI": PATH}
    if authorization:
        base["HTTP_AUTHORIZATION"] = authorization
    app: Flask = make_app(settings_for(route))
    upcoming: Iterator[str] = iter(proofs)

    def start_response(status: str, _headers: Any, _error: Any = None) -> Any:
        if status != "200 OK":
            raise AssertionError(status)

    def call() -> None:
        nonlocal app, upcoming
        proof = next(upcoming, None)
        if proof is None:
            app, upcoming = make_app(settings_for(route)), iter(proofs)
            proof = next(upcoming)
        environ = base | ({"HTTP_DPOP": proof} if proof else {})
        b"".join(app(environ, start_response))

    return call
