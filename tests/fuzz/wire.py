"""Requests as octets, handed to a WSGI application as gunicorn would."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

from werkzeug.test import run_wsgi_app

Fields = Iterable[tuple[str, bytes]]
FORM = b"application/x-www-form-urlencoded"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def first(self, name: str) -> str:
        return (self.all(name) or [""])[0]

    @property
    def error(self) -> str | None:
        """The error code of a JSON body."""
        if not self.first("Content-Type").startswith("application/json"):
            return None
        body = json.loads(self.body or b"{}")
        error: str | None = body.get("error")
        return error


def send(
    app: Any,
    method: str,
    target: bytes,
    fields: Fields = (),
    *,
    body: bytes = b"",
    environ: dict[str, Any] | None = None,
) -> Answer:
    """Make a request.

    :param fields: fields that come twice are joined with a comma.
    """
    path, query = _split(target)
    given: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query.decode("latin-1"),
        "RAW_URI": target.decode("latin-1"),
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in fields:
        key = name.upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        text = value.decode("latin-1")
        joins = key.startswith("HTTP_") and key in given
        given[key] = f"{given[key]},{text}" if joins else text
    body_parts, status, headers = run_wsgi_app(app, given | (environ or {}))
    return Answer(
        status=int(status.split(" ", maxsplit=1)[0]),
        headers=list(headers),
        body=b"".join(body_parts),
    )


def form(pairs: Iterable[tuple[str, bytes]], *, raw: str = "") -> bytes:
    """Encode a form.

    :param raw: the name of a parameter that is not encoded.
    """
    return b"&".join(
        name.encode() + b"=" + (value if name == raw else _quote(value))
        for name, value in pairs
    )


def _quote(value: bytes) -> bytes:
    return quote_from_bytes(value, safe="").encode()


def _split(target: bytes) -> tuple[bytes, bytes]:
    if not target.startswith(b"/") and b"://" in target:
        _, slash, rest = target.partition(b"://")[2].partition(b"/")
        target = slash + rest
    target = target.partition(b"#")[0]
    path, _, query = target.partition(b"?")
    return path, query
