"""Let scripts of other origins use a server (Fetch; :rfc:`9449#section-7.1`)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, Final

from dpop_ext.core.target import origin as origin_of

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

#: What a script has to read of an answer.
EXPOSED: Final = ("DPoP-Nonce", "WWW-Authenticate", "DPoP-Response", "DPoP-Ticket")
#: What it has to send.
REQUEST_HEADERS: Final = ("Authorization", "Content-Type", "DPoP")
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

_EXPOSE = "Access-Control-Expose-Headers"

Headers = list[tuple[str, str]]


class CORS:
    """Answer preflight requests and mark the answers that a script may read.

    Put it in front of all that authenticates, for a preflight has no credentials::

        app = CORS(DPoPMiddleware(app, ...), origins=["https://app.example"])

    Cookies are never allowed along, and pages that use them do not belong behind this
    middleware: name the *paths* of the endpoints where there are such pages.

    :param app: a WSGI application.
    :param origins: who may read answers: scheme, host and port, as a browser sends
        them. There is no wildcard.
    :param paths: the paths that this is for, decoded; None is all of them.
    :param methods: what a script may do.
    :param max_age: how long a browser keeps the answer to a preflight, in seconds.
    :raises ValueError: one of *origins* is none.
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
        self._origins = frozenset(origins)
        for origin in self._origins:
            if origin_of(origin) != origin:
                raise ValueError("an origin is a scheme, a host and maybe a port")
        self._paths = paths
        self._preflight = [
            ("Access-Control-Allow-Methods", ", ".join(methods)),
            ("Access-Control-Allow-Headers", ", ".join(REQUEST_HEADERS)),
            ("Access-Control-Max-Age", str(max_age)),
            # No cache on the way may keep it for another origin.
            ("Cache-Control", "no-store"),
        ]

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Serve the request."""
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        if self._paths is not None and path not in self._paths:
            return self._app(environ, start_response)
        origin: str | None = environ.get("HTTP_ORIGIN")
        allowed: Headers = []
        if origin is not None and origin in self._origins:
            allowed = [("Access-Control-Allow-Origin", origin)]
        if (
            environ["REQUEST_METHOD"] == "OPTIONS"
            and origin is not None
            and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
        ):
            fields = allowed and [*allowed, *self._preflight]
            start_response("204 No Content", with_vary(fields))
            return []

        def start(status: str, headers: Headers, *exc_info: Any) -> Any:
            names = {name.lower() for name, _ in headers}
            if allowed and "access-control-allow-origin" not in names:
                headers = with_exposed([*headers, *allowed])
            return start_response(status, with_vary(headers), *exc_info)

        return self._app(environ, start)


def with_exposed(headers: Headers) -> Headers:
    """Return *headers* with ours among those that a script may read.

    The names that the application lists there stay.
    """
    listed = _listed(headers, _EXPOSE)
    known = {name.lower() for name in listed}
    missing = [name for name in EXPOSED if name.lower() not in known]
    others = [field for field in headers if field[0].lower() != _EXPOSE.lower()]
    return [*others, (_EXPOSE, ", ".join([*listed, *missing]))]


def with_vary(headers: Headers) -> Headers:
    """Return *headers* that say that the answer depends on the origin."""
    if {name.lower() for name in _listed(headers, "Vary")} & {"origin", "*"}:
        return headers
    return [*headers, ("Vary", "Origin")]


def _listed(headers: Headers, field: str) -> list[str]:
    values = [value for name, value in headers if name.lower() == field.lower()]
    names = [name.strip() for value in values for name in value.split(",")]
    return [name for name in names if name]
