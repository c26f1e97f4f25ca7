"""The content of an ASGI request: read once if it must be, and given back."""

from __future__ import annotations

import asyncio
from collections import deque

from dpop_ext.errors import ContentTooLargeError, MalformedRequestError
from dpop_ext.integrations.asgi_types import Message, Receive
from dpop_ext.integrations.wsgi import MAX_FORM

#: Seconds that a client has to send the content of which its proof has a digest.
READ_TIMEOUT = 20.0
#: Digits of the longest length that is looked at.
_MAX_DIGITS = 18


class Content:
    """What comes from the client, for the decision first and then the application.

    :param receive: of the server.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        #: What was read and the application has not seen.
        self._held: deque[Message] = deque()

    async def receive(self) -> Message:
        """Take the place of the server's ``receive``."""
        if self._held:
            return self._held.popleft()
        return await self._receive()

    async def read_form(self, length: str) -> bytes:
        """Return the content of a form that is not too long to be looked at.

        :param length: value of ``Content-Length``.
        :returns: nothing for one that is longer, or does not say how long it is.
        """
        if not (length.isascii() and length.isdecimal() and len(length) < _MAX_DIGITS):
            return b""
        if not 0 < int(length) <= MAX_FORM:
            return b""
        return await self._read(MAX_FORM)

    def read_from_thread(self, loop: asyncio.AbstractEventLoop, limit: int) -> bytes:
        """Return the whole content, for a decision in a thread.

        :param loop: where the request is served.
        :param limit: bytes that it may have.
        :raises ContentTooLargeError: it has more.
        :raises MalformedRequestError: it did not come in :data:`READ_TIMEOUT` seconds,
            or the client has gone.
        """
        reading = asyncio.run_coroutine_threadsafe(self._read(limit), loop)
        try:
            return reading.result(READ_TIMEOUT)
        except TimeoutError as error:
            reading.cancel()
            raise MalformedRequestError("The content is incomplete.") from error

    async def _read(self, limit: int) -> bytes:
        pieces = [message.get("body", b"") for message in self._held]
        complete = any(not message.get("more_body") for message in self._held)
        while not complete:
            message = await self._receive()
            self._held.append(message)
            if message["type"] != "http.request":
                raise MalformedRequestError("The content is incomplete.")
            pieces.append(message.get("body", b""))
            if sum(map(len, pieces)) > limit:
                raise ContentTooLargeError
            complete = not message.get("more_body")
        content = b"".join(pieces)
        if len(content) > limit:
            raise ContentTooLargeError
        return content
