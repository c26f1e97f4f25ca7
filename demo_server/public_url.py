"""WSGI middleware: the server has the name that the operator gave it, and no other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


class PublicURL:
    """Replace scheme and host of every request by those of the public URL.

    What a client writes into ``Host``, or a stranger into ``X-Forwarded-Proto``, then
    decides nothing; and a proxy in front that ends TLS needs to tell us nothing.

    :param app: the application.
    :param url: scheme, host and maybe port.
    """

    def __init__(self, app: WSGIApplication, url: str) -> None:
        self._app = app
        parts = urlsplit(url)
        self._scheme, self._host = parts.scheme, parts.netloc

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Handle a request."""
        environ["wsgi.url_scheme"] = self._scheme
        environ["HTTP_HOST"] = self._host
        return self._app(environ, start_response)
