"""Bodies of httpx and httpx2 that no redirect takes along (:rfc:`9449#section-5`)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from types import ModuleType
from typing import Any


def once_stream(
    library: ModuleType,
) -> Callable[[bytes, Callable[[], Exception]], Any]:
    """Return the class of bodies that go out once.

    The library hands the body of a request on to where a redirect leads, and there is
    a client secret in this one.
    """

    class OnceStream(library.SyncByteStream, library.AsyncByteStream):  # type: ignore[name-defined]
        def __init__(self, content: bytes, refuse: Callable[[], Exception]) -> None:
            self._content: bytes | None = content
            self._refuse = refuse

        def _take(self) -> bytes:
            content, self._content = self._content, None
            if content is None:
                raise self._refuse()
            return content

        def __iter__(self) -> Iterator[bytes]:
            yield self._take()

        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield self._take()

    return OnceStream
