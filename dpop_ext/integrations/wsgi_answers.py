"""Response proofs for the answers of a WSGI application (Symmetric Profile 1.0).

A response proof covers the bytes that are sent. So it is made in front of everything
that changes them: middleware that compresses goes inside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, Final

from dpop_ext.integrations.answer_fields import Headers
from dpop_ext.resource_server.answer import AnswerSigner, AnswerSlot
from dpop_ext.symmetric.response import EMPTY_STATUS, MAX_ANSWER, RESPONSE_FIELD

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

#: Name of the :class:`AnswerSlot` in the environ.
ANSWER: Final = "dpop_ext.answer"


class SignedAnswers:
    """Sign the answers to requests that ask for it.

    For an application whose views are protected one by one. A
    :class:`~dpop_ext.integrations.wsgi.DPoPMiddleware` does this itself::

        app.wsgi_app = SignedAnswers(app.wsgi_app)

    Only an answer of which the whole content is at hand has a response proof: one with
    a ``Content-Length`` of 1 MiB at most, or a body that is a list. Streams pass as
    they come.

    :param app: a WSGI application, with all middleware that changes its answers.
    """

    def __init__(self, app: Application) -> None:
        self._app = app

    def __call__(
        self, environ: Environ, start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Serve the request."""
        if ANSWER in environ:  # whoever put it there is further out, and signs
            return self._app(environ, start_response)
        slot = environ[ANSWER] = AnswerSlot()
        return send_signed(self._app, slot, environ, start_response)


def send_signed(
    app: Application,
    slot: AnswerSlot,
    environ: Environ,
    start_response: Callable[..., Any],
) -> Iterable[bytes]:
    """Run *app*, and sign its answer if it left something to do so with."""
    answer = _Answer(slot, environ["REQUEST_METHOD"], start_response)
    body = app(environ, answer.start)
    if answer.is_sent:
        return body
    return answer.send(body)


class _Answer:
    """The start of an answer, held back until its content is known."""

    def __init__(
        self, slot: AnswerSlot, method: str, start_response: Callable[..., Any]
    ) -> None:
        self._slot = slot
        self._method = method
        self._start_response = start_response
        self._held: tuple[str, Headers] | None = None
        self._real_write: Callable[[bytes], Any] | None = None
        #: The real start is made: nothing can be added any more.
        self.is_sent = False

    def start(self, status: str, headers: Headers, *exc_info: Any) -> Any:
        """Take the place of ``start_response``."""
        if self._slot.signer is None or self.is_sent:
            self.is_sent = True
            return self._start_response(status, headers, *exc_info)
        if self._held is not None and not exc_info:
            raise AssertionError("start_response was called twice")
        # Applications that still write() before they return are streams.
        own = [field for field in headers if field[0].lower() != RESPONSE_FIELD.lower()]
        self._held = (status, own)
        return self._write

    def send(self, body: Iterable[bytes]) -> Iterable[bytes]:
        """Return what to send for *body*, once it is started."""
        try:
            return self._begun(body)
        except BaseException:
            # The server closes what it is given, and is given nothing.
            _close(body)
            raise

    def _begun(self, body: Iterable[bytes]) -> Iterable[bytes]:
        pieces = iter(body)
        first: list[bytes] = []
        if self._held is None:
            # A generator starts its answer when it is asked for the first piece.
            first = [piece for piece in [next(pieces, None)] if piece is not None]
        if self._held is None or self.is_sent or self._slot.signer is None:
            self._begin(None)
            return _Rest(chain(first, pieces), body)
        status, headers = self._held
        length = _length(headers, body)
        if self._method == "HEAD" or int(status[:3]) in EMPTY_STATUS:
            self._begin(self._sign(self._slot.signer, b""))
            return _Rest(chain(first, pieces), body)
        if length is None or length > MAX_ANSWER:
            self._begin(None)
            return _Rest(chain(first, pieces), body)
        content, rest = _take(chain(first, pieces), MAX_ANSWER)
        whole = len(content) == length and not rest
        self._begin(self._sign(self._slot.signer, content) if whole else None)
        return _Rest(chain([content], rest, pieces), body)

    def _sign(self, signer: AnswerSigner, content: bytes) -> str | None:
        if self._held is None:
            return None
        status, headers = self._held
        return signer.sign(status=int(status[:3]), fields=headers, content=content)

    def _begin(self, proof: str | None) -> None:
        if self._held is None or self.is_sent:
            return
        self.is_sent = True
        status, headers = self._held
        if proof is not None:
            headers = [*headers, (RESPONSE_FIELD, proof)]
        self._real_write = self._start_response(status, headers)

    def _write(self, data: bytes) -> None:
        self._begin(None)
        if self._real_write is not None:
            self._real_write(data)


class _Rest:
    """A body of which some was read; closing it closes the body itself."""

    def __init__(self, pieces: Iterable[bytes], body: Iterable[bytes]) -> None:
        self._pieces = pieces
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._pieces)

    def close(self) -> None:
        """Let the application clean up."""
        _close(self._body)


def _close(body: Iterable[bytes]) -> None:
    close = getattr(body, "close", None)
    if close is not None:
        close()


def _length(headers: Headers, body: Iterable[bytes]) -> int | None:
    """Return how long the content will be; None if that is not known."""
    values = [value for name, value in headers if name.lower() == "content-length"]
    if len(values) == 1 and values[0].isascii() and values[0].isdecimal():
        return int(values[0]) if len(values[0]) < len(str(MAX_ANSWER)) + 1 else None
    if not values and isinstance(body, list | tuple):
        return sum(map(len, body))
    return None


def _take(pieces: Iterator[bytes], limit: int) -> tuple[bytes, list[bytes]]:
    """Read up to the piece that passes *limit*, which is returned apart."""
    taken: list[bytes] = []
    for piece in pieces:
        if len(piece) > limit:
            return b"".join(taken), [piece]
        taken.append(piece)
        limit -= len(piece)
    return b"".join(taken), []
