"""An ASGI application for tests that speak WSGI: one request, one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

#: Bytes of one piece of the content.
PIECE = 65536


def under_wsgi(app: Any) -> Callable[..., Any]:
    """Return *app* as a WSGI application."""

    def wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        return asyncio.run(_serve(app, environ, start_response))

    return wsgi


async def _serve(app: Any, environ: dict[str, Any], start_response: Any) -> list[bytes]:
    left = int(environ.get("CONTENT_LENGTH") or 0)
    pieces: list[bytes] = []
    complete = False

    async def receive() -> dict[str, Any]:
        nonlocal left, complete
        if complete:
            # The client says nothing more, and does not go away.
            await asyncio.Event().wait()
        piece = environ["wsgi.input"].read(min(left, PIECE)) if left else b""
        left -= len(piece)
        if left and not piece:
            return {"type": "http.disconnect"}
        complete = left <= 0
        return {"type": "http.request", "body": piece, "more_body": not complete}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            fields = [
                (name.decode("latin-1"), value.decode("latin-1"))
                for name, value in message.get("headers", ())
            ]
            start_response(f"{message['status']} X", fields)
        else:
            pieces.append(message.get("body", b""))

    await app(scope_of(environ), receive, send)
    return pieces


def scope_of(environ: dict[str, Any]) -> dict[str, Any]:
    """Return what an ASGI server makes of the request."""
    headers = [
        (name[5:].lower().replace("_", "-").encode(), value.encode("latin-1"))
        for name, value in environ.items()
        if name.startswith("HTTP_")
    ]
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if name in environ:
            header = name.lower().replace("_", "-").encode()
            headers.append((header, environ[name].encode("latin-1")))
    target = environ.get("RAW_URI") or environ.get("REQUEST_URI") or ""
    path, _, query = target.partition("?")
    decoded = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": environ["REQUEST_METHOD"],
        "scheme": environ["wsgi.url_scheme"],
        "path": decoded.encode("latin-1").decode("utf-8", "surrogateescape"),
        "raw_path": path.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "root_path": "",
        "headers": headers,
        "server": (environ["SERVER_NAME"], int(environ["SERVER_PORT"])),
        "client": (peer, 1)
        if (peer := environ.get("REMOTE_ADDR", "127.0.0.1"))
        else None,
        "test.environ": environ,
    }
    if not target:
        scope["raw_path"] = None
        scope["query_string"] = environ.get("QUERY_STRING", "").encode("latin-1")
    spent = environ.get("dpop_ext.spent")
    return scope if spent is None else {**scope, "dpop_ext.spent": spent}
