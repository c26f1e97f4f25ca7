"""https, or plain http that stays on the machine, and a bounded request over it.

:rfc:`9449#section-2`.
"""

from __future__ import annotations

import functools
import http.client
import io
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, NamedTuple

from dpop_ext.core.target import is_secure

#: Bytes of the largest answer that is read.
MAX_ANSWER = 64 * 1024
#: Seconds to connect to an address, for TLS, and for the answer as a whole.
TIMEOUT = 5.0


class Answer(NamedTuple):
    """An answer of the authorization server."""

    status: int
    #: Value of its ``ETag`` field.
    etag: str | None
    body: bytes


def require_secure_url(url: str, setting: str = "url") -> str:
    """Return *url* if it is https, or plain http to this machine.

    :param setting: what the URL is configured as, for the error.
    :raises ValueError: it is not.
    """
    if not is_secure(url):
        raise ValueError(
            f"{setting} is an absolute https URL, or http to a loopback address"
        )
    return url


class StatusError(OSError):
    """The answer has another status than 200."""


def why(error: Exception) -> str:
    """Return, for the log, why another server has not told what it was asked.

    That a name is not known, nobody listens, a certificate is not trusted, or which
    status the answer has. Of other errors only the class: their text may have anything.
    """
    name = type(error).__name__
    reason = error.reason if isinstance(error, urllib.error.URLError) else None
    if isinstance(reason, OSError):
        return f"{name}: {reason.strerror or type(reason).__name__!a}"
    return f"{name}: {error}" if isinstance(error, StatusError) else name


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would leave the one URL that was configured, for any other."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Follow none: the answer becomes an ``HTTPError``."""


class _Received(io.RawIOBase):
    """What a socket receives before a deadline.

    The time-out of a socket is for one read only: a byte every few seconds runs into
    none, be it of a header field, between two chunks or after the last one.

    :param received: from the socket, unbuffered.
    """

    def __init__(self, connected: socket.socket, received: io.RawIOBase) -> None:
        self._socket = connected
        self._received = received
        self._timeout = connected.gettimeout()
        self._deadline = time.monotonic() + TIMEOUT

    def readable(self) -> bool:
        """Tell that it is."""
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        """Receive what comes first.

        :raises TimeoutError: nothing came in time.
        """
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer took too long")
        self._socket.settimeout(left)
        try:
            return self._received.readinto(buffer)
        finally:
            # After the answer of a proxy, TLS has its own time.
            self._socket.settimeout(self._timeout)

    def close(self) -> None:
        """Let go of the socket."""
        self._received.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """An answer that comes before a deadline, as does that of a proxy to CONNECT."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        received: Any = self.fp
        self.fp = io.BufferedReader(_Received(sock, received.detach()))


class _Connection(http.client.HTTPConnection):
    response_class = _Response


class _SecureConnection(http.client.HTTPSConnection):
    response_class = _Response


class _Plain(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Connection, req)


class _Secure(urllib.request.HTTPSHandler):
    def __init__(self, context: ssl.SSLContext | None) -> None:
        super().__init__(context=context)
        self._given = context

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_SecureConnection, req, context=self._given)


@functools.cache
def _opener(context: ssl.SSLContext | None) -> urllib.request.OpenerDirector:
    proxies = urllib.request.getproxies()
    # Plain http stays on this machine, whatever the environment says.
    proxies.pop("http", None)
    proxy = urllib.request.ProxyHandler(proxies)
    return urllib.request.build_opener(_NoRedirects, _Plain, _Secure(context), proxy)


def fetch(
    url: str,
    *,
    data: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    context: ssl.SSLContext | None = None,
) -> bytes:
    """Return the body of the answer to a GET, or to a POST of *data*.

    No redirect is followed. A request takes :data:`TIMEOUT` seconds to connect to each
    address of a name, as many for a proxy to do so, for TLS, and for the answer as a
    whole, which has :data:`MAX_ANSWER` bytes at most. How long a name may take to be
    resolved is a setting of the system.

    :param context: for https; None trusts what the system does.
    :raises OSError: no answer in time, too long a one, or a status other than 200.
    """
    answer = ask(url, data=data, headers=headers, context=context)
    if answer.status != 200:
        raise StatusError(f"the answer has the status {answer.status}")
    return answer.body


def ask(
    url: str,
    *,
    data: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    context: ssl.SSLContext | None = None,
) -> Answer:
    """Return the answer to a GET, or to a POST of *data*; as :func:`fetch`.

    :returns: of any status. Only with 200 is there a body.
    :raises OSError: no answer in time, or too long a one.
    """
    require_secure_url(url)
    request = urllib.request.Request(  # noqa: S310 - the scheme is checked above
        url, data=data, headers={"Accept": "application/json"} | dict(headers or {})
    )
    try:
        with _opener(context).open(request, timeout=TIMEOUT) as answer:
            body = _read(answer) if answer.status == 200 else b""
            return Answer(answer.status, answer.headers.get("ETag"), body)
    except urllib.error.HTTPError as error:
        error.close()
        return Answer(error.code, None, b"")
    except http.client.HTTPException as error:
        raise OSError("the answer is not HTTP") from error


def _read(answer: http.client.HTTPResponse) -> bytes:
    body = b""
    while piece := answer.read1(MAX_ANSWER):
        body += piece
        if len(body) > MAX_ANSWER:
            raise OSError("the answer is too long")
    return body
