"""Let scripts of other origins use an ASGI application (Fetch)."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from dpop_ext.integrations.asgi_types import (
    ASGIApp,
    Message,
    Receive,
    Scope,
    Send,
    as_bytes,
    as_text,
)
from dpop_ext.integrations.cors import METHODS, CrossOrigin


class CORS:
    """Answer preflight requests and mark the answers that a script may read.

    Put it in front of all that authenticates, for a preflight has no credentials::

        app = CORS(DPoPMiddleware(app, ...), origins=["https://app.example"])

    The handshake of a WebSocket has no such rules: browsers send no proof with it.

    :param app: an ASGI application.

    The other arguments are those of :class:`~dpop_ext.integrations.cors.CrossOrigin`.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        origins: Iterable[str],
        paths: Collection[str] | None = None,
        methods: Iterable[str] = METHODS,
        max_age: int = 600,
    ) -> None:
        self._app = app
        self._cross_origin = CrossOrigin(
            origins=origins, paths=paths, methods=methods, max_age=max_age
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request."""
        if scope["type"] != "http" or not self._cross_origin.concerns(scope["path"]):
            await self._app(scope, receive, send)
            return
        names = [name for name, _ in scope["headers"]]
        origins = [value for name, value in scope["headers"] if name == b"origin"]
        origin = b",".join(origins).decode("latin-1") if origins else None
        preflight = self._cross_origin.preflight(
            scope["method"],
            origin,
            asks_for_method=b"access-control-request-method" in names,
        )
        if preflight is not None:
            start = {"type": "http.response.start", "status": 204}
            await send({**start, "headers": as_bytes(preflight)})
            await send({"type": "http.response.body", "body": b""})
            return

        async def marking(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = as_text(message.get("headers", ()))
                marked = self._cross_origin.mark(headers, origin)
                message = {**message, "headers": as_bytes(marked)}
            await send(message)

        await self._app(scope, receive, marking)
