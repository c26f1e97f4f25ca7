"""Content of a request that a decision in a thread asks for, and does not wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import Any, Final

from dpop_ext.errors import MalformedRequestError

#: Seconds that a client has to send the content of which its proof has a digest.
READ_TIMEOUT = 20.0
#: Seconds of it that a thread waits, for content that is as good as here.
_PATIENCE: Final = 0.05


class ContentAwaitedError(BaseException):
    """The decision has to be made again, when the content is here.

    No ``Exception``, which a decision would take for a reason to refuse.

    :param reading: what is waited for.
    """

    def __init__(self, reading: Reading) -> None:
        super().__init__()
        self.reading = reading


class Reading:
    """Content that is read in the event loop.

    A thread that waited for a client would be lost to everybody else's requests for as
    long as that client likes.

    :param loop: where the request is served.
    :param read: returns the content, which may have so many bytes.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        read: Callable[[int], Coroutine[Any, Any, bytes]],
    ) -> None:
        self._loop = loop
        self._read = read
        self._future: Future[bytes] | None = None
        self._was_awaited = False

    def content(self, limit: int) -> bytes:
        """Return the whole content, for a decision in a thread or in the loop.

        :param limit: bytes that it may have.
        :raises ContentAwaitedError: it is not here yet.
        :raises MalformedRequestError: it did not come in :data:`READ_TIMEOUT` seconds.
            Other errors are those of the reading.
        """
        if self._future is None:
            self._future = asyncio.run_coroutine_threadsafe(
                self._read(limit), self._loop
            )
        patience = 0 if self._was_awaited or self._is_in_loop() else _PATIENCE
        try:
            return self._future.result(patience)
        except (TimeoutError, CancelledError) as error:
            if not self._was_awaited:
                raise ContentAwaitedError(self) from error
            raise MalformedRequestError("The content is incomplete.") from error

    def _is_in_loop(self) -> bool:
        """Tell whether nothing comes while this waits."""
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    async def wait(self) -> None:
        """Wait in the event loop until the content is here, or has failed to come."""
        self._was_awaited = True
        if self._future is not None:
            # What went wrong is told to the decision, which asks again.
            with suppress(Exception):
                await asyncio.wait_for(asyncio.wrap_future(self._future), READ_TIMEOUT)
