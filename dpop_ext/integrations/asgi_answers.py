"""Response proofs for the answers of an ASGI application (Symmetric Profile 1.0).

A response proof covers the bytes that are sent. So it is made in front of everything
that changes them: middleware that compresses goes inside.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from dpop_ext.integrations.asgi_types import (
    ASGIApp,
    Message,
    Receive,
    Scope,
    Send,
    as_text,
)
from dpop_ext.resource_server.answer import AnswerSlot
from dpop_ext.symmetric.response import EMPTY_STATUS, MAX_ANSWER, RESPONSE_FIELD

#: Name of the :class:`AnswerSlot` in the scope.
ANSWER: Final = "dpop_ext.answer"
_FIELD = RESPONSE_FIELD.lower().encode("ascii")


class SignedAnswers:
    """Sign the answers to requests that ask for it.

    For an application whose routes are protected one by one, of Django for example. A
    :class:`~dpop_ext.integrations.asgi.DPoPMiddleware` does this itself, and so does
    an application that a :class:`~.fastapi_security.DPoPSecurity` was installed in::

        application = SignedAnswers(get_asgi_application())

    :param app: an ASGI application, with all middleware that changes its answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request."""
        # Whoever put it there is further out, and signs; a handshake has no answer.
        if scope["type"] != "http" or ANSWER in scope:
            await self._app(scope, receive, send)
            return
        slot = AnswerSlot()
        answer = partial(self._app, {**scope, ANSWER: slot}, receive)
        await send_signed(answer, slot, scope["method"], send)


async def send_signed(
    answer: Callable[[Send], Awaitable[None]],
    slot: AnswerSlot,
    method: str,
    send: Send,
) -> None:
    """Let *answer* send, and sign what it sends if it left something to do so with.

    An answer is held until it is complete if it is one message, or says with a
    ``Content-Length`` of 1 MiB at most that it soon will be. Streams pass as they come,
    and have no proof.
    """
    held = _Held(slot, method, send)
    await answer(held.send)


class _Held:
    """An answer that goes out when its content is known, or at once."""

    def __init__(self, slot: AnswerSlot, method: str, send: Send) -> None:
        self._slot = slot
        self._method = method
        self._send = send
        self._messages: list[Message] = []
        self._size = 0

    async def send(self, message: Message) -> None:
        """Take the place of the server's ``send``."""
        if message["type"] == "http.response.start" and self._slot.signer is not None:
            own = [field for field in message.get("headers", ()) if field[0] != _FIELD]
            self._messages = [{**message, "headers": own}]
            length = _length(self._messages[0])
            if self._has_content() and length is not None and length > MAX_ANSWER:
                await self._release(complete=False)
            return
        if not self._messages:
            await self._send(message)
            return
        self._messages.append(message)
        self._size += len(message.get("body", b""))
        is_body = message["type"] == "http.response.body"
        complete = is_body and not message.get("more_body")
        is_stream = self._has_content() and _length(self._messages[0]) is None
        if complete or is_stream or not is_body or self._size > MAX_ANSWER:
            await self._release(complete=complete)

    def _has_content(self) -> bool:
        status = self._messages[0]["status"]
        return self._method != "HEAD" and status not in EMPTY_STATUS

    async def _release(self, *, complete: bool) -> None:
        start, *rest = messages = self._messages
        content = b"".join(message.get("body", b"") for message in rest)
        if not self._has_content():
            content = b""
        elif _length(start) not in {None, len(content)}:
            complete = False
        self._messages = []
        signer = self._slot.signer
        proof = None
        if complete and signer is not None:
            proof = signer.sign(
                status=start["status"],
                fields=as_text(start["headers"]),
                content=content,
            )
        if proof is not None:
            added = (_FIELD, proof.encode("ascii"))
            start = {**start, "headers": [*start["headers"], added]}
        await self._send(start)
        for message in messages[1:]:
            await self._send(message)


def _length(start: Message) -> int | None:
    """Return how long the content will be; None if that is not known."""
    lengths = [value for name, value in start["headers"] if name == b"content-length"]
    if len(lengths) != 1 or not lengths[0].isdigit():
        return None
    # More digits than a length has are as good as a longer one.
    return int(lengths[0][: len(str(MAX_ANSWER)) + 1])
