"""Answers of httpx and httpx2 that are read as far as they may be (:rfc:`6749`)."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import Any, Final

from dpop_ext.client.answer_limit import (
    MAX_REFUSAL,
    PLAIN_FIELDS,
    REFUSAL_TIMEOUT,
    LimitedContent,
    is_plain,
)

#: Name of the extension of a request whose answer is read as far as it may be.
LIMITED: Final = "dpop_ext.limited"


class _Stream:
    """Content that another stream has."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def close(self) -> None:
        self._inner.close()

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Limited(_Stream):
    def __init__(self, inner: Any, limited: LimitedContent) -> None:
        super().__init__(inner)
        self._limited = limited

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._inner:
            self._limited.add(piece)
            yield piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._inner:
            self._limited.add(piece)
            yield piece


class _Refusal(_Stream):
    """Ends at a time, or where the connection does, without an error.

    :param is_wanted: a piece is handed on. If none is, a decoder has nothing to do.
    """

    #: Of the library: a connection that ends before the content does, among others.
    broken: type[Exception]

    def __init__(self, inner: Any, *, is_short: bool, is_wanted: bool) -> None:
        super().__init__(inner)
        self._is_short = is_short
        self._is_wanted = is_wanted

    def __iter__(self) -> Iterator[bytes]:
        deadline = time.monotonic() + REFUSAL_TIMEOUT
        with suppress(self.broken):
            for piece in self._inner if self._is_short else ():
                if time.monotonic() > deadline:
                    break
                yield piece if self._is_wanted else b""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if not self._is_short:
            return
        deadline = time.monotonic() + REFUSAL_TIMEOUT
        with suppress(self.broken):
            async for piece in self._inner:
                if time.monotonic() > deadline:
                    break
                yield piece if self._is_wanted else b""


def limit(response: Any) -> None:
    """Let the library read as much of an answer to a token request as may be read.

    :raises ServerAnswerError: it is compressed. Or, when it is read, it has more than
        128 KiB or takes longer than a minute.
    """
    limited = LimitedContent()
    limited.require_plain(response.headers.get("Content-Encoding"))
    response.stream = _stream_type(response, _Limited)(response.stream, limited)


def limit_request(request: Any) -> bool:
    """Ask for no compression, if the answer to *request* is read by its client.

    :returns: whether it is: with :data:`LIMITED` in its extensions.
    """
    if LIMITED not in request.extensions:
        return False
    request.headers.update(PLAIN_FIELDS)
    return True


def drain(response: Any) -> None:
    """Let the library read a refusal to its end if that is near, and no further.

    Before it sends a request again it reads the answer, so that the connection is of
    use. Content that is longer, compressed or broken off is lost.
    """
    length = response.headers.get("Content-Length", "")
    response.stream = _stream_type(response, _Refusal)(
        response.stream,
        # More digits are of a longer one, too.
        is_short=length.isdecimal() and len(length) < 9 and int(length) <= MAX_REFUSAL,
        is_wanted=is_plain(response.headers.get("Content-Encoding")),
    )


def _stream_type(response: Any, kind: Any) -> Any:
    return _stream_type_of(type(response.request).__module__, kind)


@cache
def _stream_type_of(library: str, kind: Any) -> Any:
    """Return the class of content that *library* takes for its own."""
    module = import_module(library)
    return type(
        kind.__name__,
        (kind, module.SyncByteStream, module.AsyncByteStream),
        {"broken": module.TransportError},
    )
