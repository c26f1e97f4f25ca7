"""Let scripts of other origins use a WSGI application (Fetch)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from dpop_ext.integrations.answer_fields import Headers
from dpop_ext.integrations.cors import METHODS, CrossOrigin

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


class CORS:
    """Answer preflight requests and mark the answers that a script may read.

    Put it in front of all that authenticates, for a preflight has no credentials::

        app = CORS(DPoPMiddleware(app, ...), origins=["https://app.example"])

    :param app: a WSGI application.

    The other arguments are those of :class:`~dpop_ext.integrations.cors.CrossOrigin`.
    """

    def __init__(
        self,
        app: WSGIApplication,
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

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Serve the request."""
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        # WSGI has bytes there, each as one character.
        path = path.encode("latin-1").decode("utf-8", "replace")
        if not self._cross_origin.concerns(path):
            return self._app(environ, start_response)
        origin: str | None = environ.get("HTTP_ORIGIN")
        preflight = self._cross_origin.preflight(
            environ["REQUEST_METHOD"],
            origin,
            asks_for_method="HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ,
        )
        if preflight is not None:
            start_response("204 No Content", preflight)
            return []

        def start(status: str, headers: Headers, *exc_info: Any) -> Any:
            headers = self._cross_origin.mark(headers, origin)
            return start_response(status, headers, *exc_info)

        return self._app(environ, start)
