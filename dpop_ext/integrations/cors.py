"""Which scripts may use a server, and what for (Fetch; :rfc:`9449#section-7.1`)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from dpop_ext.core.target import origin as origin_of
from dpop_ext.integrations.answer_fields import Headers, listed, varying

#: What a script has to read of an answer.
EXPOSED: Final = ("DPoP-Nonce", "WWW-Authenticate", "DPoP-Response", "DPoP-Ticket")
#: What it has to send.
REQUEST_HEADERS: Final = ("Authorization", "Content-Type", "DPoP")
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

_EXPOSE = "Access-Control-Expose-Headers"


class CrossOrigin:
    """What the middleware for WSGI and for ASGI have in common.

    Cookies are never allowed along, and pages that use them do not belong behind such
    a middleware: name the *paths* of the endpoints where there are such pages.

    :param origins: who may read answers: scheme, host and port, as a browser sends
        them. There is no wildcard.
    :param paths: the paths that this is for, decoded; None is all of them.
    :param methods: what a script may do.
    :param max_age: how long a browser keeps the answer to a preflight, in seconds.
    :raises ValueError: one of *origins* is none.
    """

    def __init__(
        self,
        *,
        origins: Iterable[str],
        paths: Collection[str] | None = None,
        methods: Iterable[str] = METHODS,
        max_age: int = 600,
    ) -> None:
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

    def concerns(self, path: str) -> bool:
        """Tell whether this is for *path*, which is decoded."""
        return self._paths is None or path in self._paths

    def preflight(
        self, method: str, origin: str | None, *, asks_for_method: bool
    ) -> Headers | None:
        """Return the fields of the answer to a preflight, which has no credentials.

        :param asks_for_method: there is an ``Access-Control-Request-Method``.
        :returns: None for any other request.
        """
        if method != "OPTIONS" or origin is None or not asks_for_method:
            return None
        allowed = self._allowed(origin)
        return with_vary([*allowed, *self._preflight] if allowed else [])

    def mark(self, headers: Headers, origin: str | None) -> Headers:
        """Return the fields of an answer that a script may read if it may at all."""
        names = {name.lower() for name, _ in headers}
        allowed = self._allowed(origin)
        if allowed and "access-control-allow-origin" not in names:
            headers = with_exposed([*headers, *allowed])
        return with_vary(headers)

    def _allowed(self, origin: str | None) -> Headers:
        if origin is None or origin not in self._origins:
            return []
        return [("Access-Control-Allow-Origin", origin)]


def with_exposed(headers: Headers) -> Headers:
    """Return *headers* with ours among those that a script may read.

    The names that the application lists there stay.
    """
    names = listed(headers, _EXPOSE)
    known = {name.lower() for name in names}
    missing = [name for name in EXPOSED if name.lower() not in known]
    others = [field for field in headers if field[0].lower() != _EXPOSE.lower()]
    return [*others, (_EXPOSE, ", ".join([*names, *missing]))]


def with_vary(headers: Headers) -> Headers:
    """Return *headers* that say that the answer depends on the origin."""
    return varying(headers, "Origin")
