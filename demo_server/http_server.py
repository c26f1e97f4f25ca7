"""One WSGI app under gunicorn, which hands the raw request target to it."""

from __future__ import annotations

import logging
import multiprocessing
import os
import ssl
from collections.abc import Callable
from typing import Any
from wsgiref.types import WSGIApplication

from gunicorn import util
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from gunicorn.http.errors import (
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
)
from gunicorn.workers.gthread import ThreadWorker

log = logging.getLogger(__name__)

#: What a worker does at the same time.
THREADS = 8

#: Room for an access token of 16 KiB or a proof of 8 KiB: what is too long must get
#: the answer of the protocol, not one of the HTTP server.
FIELD_SIZE = 24_576

#: How long an idle connection stays open, in seconds: longer than the minute of nginx,
#: or it sends a request into a connection that is just being closed.
KEEP_ALIVE = 75

#: How long a worker may give no sign of life, in seconds: none comes while it begins,
#: which takes a while on a busy machine. Requests have threads of their own.
SILENCE = 120

#: How long the requests in progress have when the server is told to stop, in seconds.
GRACE = 5


class HTTPServer(BaseApplication):
    """gunicorn with worker processes, on a socket that is bound already.

    :param make_app: called in each worker process.
    :param listener: file descriptor of a bound TCP socket; we close it.
    :param ready: called in the first worker process that can answer.
    :param workers: how many there are; one that ends is replaced.
    :param tls: certificate, key and rules; None for plain HTTP.
    :param parent: identifier of the process that must outlive this one, if any.
    """

    def __init__(
        self,
        make_app: Callable[[], WSGIApplication],
        *,
        listener: int,
        ready: Callable[[], None],
        workers: int,
        tls: ssl.SSLContext | None = None,
        parent: int | None = None,
    ) -> None:
        self._make_app = make_app
        self._listener = listener
        self._ready = ready
        self._workers = workers
        self._first = multiprocessing.get_context("fork").Semaphore(1)
        self._tls = tls
        self._parent = parent
        super().__init__()

    def load_config(self) -> None:
        """Set what differs from the defaults, whatever the environment says."""
        settings = {
            "bind": f"fd://{self._listener}",
            "workers": self._workers,
            "worker_class": Worker,
            "threads": THREADS,
            "limit_request_line": 8190,
            "limit_request_field_size": FIELD_SIZE,
            "timeout": SILENCE,
            "graceful_timeout": GRACE,
            "keepalive": KEEP_ALIVE,
            "logger_class": PlainLogger,
            "post_worker_init": self._tell,
            "control_socket_disable": True,
            # No header field of a client may say who it is, or who we are.
            "forwarded_allow_ips": "",
            "forwarder_headers": "",
            "secure_scheme_headers": {},
        }
        if self._tls is not None:
            # The name of a file is what turns TLS on; it is not read again.
            settings["certfile"] = __file__
            settings["ssl_context"] = lambda _config, _default: self._tls
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> WSGIApplication:
        """Make the app, in the worker process."""
        return self._make_app()

    def _tell(self, _: Any) -> None:
        if self._first.acquire(block=False):
            self._ready()

    def run(self) -> None:
        """Serve until a signal says stop, then exit the process."""
        Master(self, parent=self._parent).run()


class Master(Arbiter):
    """A master process that does not outlive the one that started it."""

    def __init__(self, app: HTTPServer, *, parent: int | None) -> None:
        super().__init__(app)
        self._parent = parent

    def murder_workers(self) -> None:
        """Look after the workers, about once a second, and after our parent."""
        if self._parent is not None and os.getppid() != self._parent:
            raise StopIteration
        super().murder_workers()


class Worker(ThreadWorker):
    """A worker that repeats nothing of what it was sent, in answers or in the log."""

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Answer what is no HTTP request, or is over a limit."""
        ours = isinstance(exc, InvalidResponseHeader | InvalidResponseHeaderName)
        if ours or not isinstance(exc, ParseException):
            super().handle_error(req, client, addr, exc)
            return
        status, reason = 400, "Bad Request"
        if isinstance(exc, LimitRequestLine):
            status, reason = 414, "URI Too Long"
        elif isinstance(exc, LimitRequestHeaders):
            status, reason = 431, "Request Header Fields Too Large"
        log.warning("%s: %s", reason, type(exc).__name__)
        try:
            util.write_error(client, status, reason, "")
        except OSError:
            log.info("the answer could not be sent")


class PlainLogger(Logger):
    """gunicorn's own lines through the handlers of :mod:`demo_server.logs`."""

    def setup(self, cfg: Any) -> None:
        """Keep what is configured, and write no access log: its URLs hold codes."""
        self.cfg = cfg
        self._access_log_enabled = False
        self.error_log.propagate = True
