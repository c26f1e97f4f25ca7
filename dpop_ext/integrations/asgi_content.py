"""The content of an ASGI request: read once if it must be, and given back."""

from __future__ import annotations

from dpop_ext.errors import ContentTooLargeError, MalformedRequestError
from dpop_ext.integrations.asgi_types import Message, Receive


class Content:
    """What comes from the client, for the decision first and then the application.

    What was read is kept as one piece: a client that sends each byte by itself must not
    make it take more room, or more time, than it has bytes.

    :param receive: of the server.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        #: What was read and the application has not seen; None if there is nothing.
        self._held: bytearray | None = None
        self._is_complete = False

    async def receive(self) -> Message:
        """Take the place of the server's ``receive``."""
        if self._held is None:
            return await self._receive()
        content, self._held = bytes(self._held), None
        more = not self._is_complete
        return {"type": "http.request", "body": content, "more_body": more}

    async def read(self, limit: int) -> bytes:
        """Return the whole content.

        :param limit: bytes that it may have.
        :raises ContentTooLargeError: it has more.
        :raises MalformedRequestError: the client has gone.
        """
        if self._held is None:
            self._held = bytearray()
        while not self._is_complete and len(self._held) <= limit:
            message = await self._receive()
            if message["type"] != "http.request":
                raise MalformedRequestError("The content is incomplete.")
            self._held += message.get("body", b"")
            self._is_complete = not message.get("more_body")
        if len(self._held) > limit:
            raise ContentTooLargeError
        return bytes(self._held)
