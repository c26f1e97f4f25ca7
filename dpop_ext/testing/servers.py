"""An authorization and a resource server in memory, for the tests of a client.

They are made of the real parts: Authlib's server with the extension of this package,
and its resource protector. Importing this needs the extra ``flask``. ::

    with run(AuthorizationServer()) as issuer, run(ResourceServer(issuer)) as api:
        session = OAuth2Session("client", "secret", dpop=ProofSigner.generate(),
                                token_endpoint=f"{issuer.url}/token")
        session.fetch_token()
        assert session.get(f"{api.url}/echo").json()["proof"] == "asymmetric"
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from dpop_ext.extras import needs

with needs("flask"):
    from flask import Flask
    from werkzeug.serving import WSGIRequestHandler, make_server

from dpop_ext.testing.authorization_server import (
    AUDIENCE,
    LIFETIME,
    AuthorizationServer,
)
from dpop_ext.testing.resource_server import ResourceServer

__all__ = [
    "AUDIENCE",
    "LIFETIME",
    "AuthorizationServer",
    "ResourceServer",
    "Server",
    "run",
]


class Server(Protocol):
    """What :func:`run` can run."""

    #: Base URL, set when it runs.
    url: str

    def make_app(self) -> Flask:
        """Return the application. The URL is known by then."""
        ...


S = TypeVar("S", bound=Server)


class _Quiet(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing: it is a test that asks."""


@contextmanager
def run(server: S) -> Iterator[S]:
    """Run *server* on a free port of 127.0.0.1; it has its ``url`` inside."""
    app: list[Flask] = []

    def later(environ: Any, start_response: Any) -> Any:
        return app[0](environ, start_response)

    listener = make_server("127.0.0.1", 0, later, threaded=True, request_handler=_Quiet)
    server.url = f"http://127.0.0.1:{listener.server_port}"
    app.append(server.make_app())
    thread = threading.Thread(target=listener.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        thread.join()
        listener.server_close()
