"""Header fields that ASGI answers get, and the answers to what is refused."""

from __future__ import annotations

from concurrent.futures import Executor
from functools import partial

from dpop_ext.integrations.answer_fields import Headers, with_nonce, with_ticket
from dpop_ext.integrations.asgi_threads import in_thread
from dpop_ext.integrations.asgi_types import (
    Message,
    Scope,
    Send,
    as_bytes,
    as_text,
)
from dpop_ext.integrations.cors import with_exposed
from dpop_ext.resource_server.challenges import Challenges
from dpop_ext.resource_server.gate import VerifiedRequest
from dpop_ext.resource_server.observation import ObservedRequest
from dpop_ext.resource_server.refusal import Refusal

#: WebSocket close code for a handshake that may not be (:rfc:`6455#section-7.4.1`).
POLICY_VIOLATION = 1008


class Admitted:
    """Where whoever decides leaves what he found, for whoever sends the answer."""

    verified: VerifiedRequest | ObservedRequest | None = None


def adding(admitted: Admitted, send: Send, executor: Executor) -> Send:
    """Add to the start of an answer what the client is to learn from it.

    :param executor: where a ticket is made: that takes an encryption and two stores.
    """

    async def sending(message: Message) -> None:
        verified = admitted.verified
        if verified is not None and message["type"] in {
            "http.response.start",
            "websocket.accept",
        }:
            if verified.ticket is not None:
                add = partial(_with_fields, message, verified)
                message = await in_thread(add, executor)
            else:
                message = _with_fields(message, verified)
        await send(message)

    return sending


def exposing(send: Send) -> Send:
    """Let a script read the nonce and the challenge, of refusals above all."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers: Headers = with_exposed(as_text(message.get("headers", ())))
            message = {**message, "headers": as_bytes(headers)}
        await send(message)

    return sending


async def send_refusal(
    refusal: Refusal, challenges: Challenges, scope: Scope, send: Send
) -> None:
    """Send the answer to a request that may not be served."""
    headers, body = challenges.answer(refusal)
    headers.append(("Content-Length", str(len(body))))
    prefix = "http"
    if scope["type"] == "websocket":
        if "websocket.http.response" not in scope.get("extensions", {}):
            # The server answers 403, and the client learns no more.
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
            return
        prefix = "websocket.http"
    start = {"type": f"{prefix}.response.start", "status": refusal.status}
    await send({**start, "headers": as_bytes(headers)})
    if scope.get("method") == "HEAD":
        body = b""
    await send({"type": f"{prefix}.response.body", "body": body})


def _with_fields(
    message: Message, verified: VerifiedRequest | ObservedRequest
) -> Message:
    nonce = verified.next_nonce
    if nonce is None and verified.ticket is None:
        return message
    headers = as_text(message.get("headers", ()))
    if nonce is not None:
        headers = with_nonce(headers, nonce)
    if verified.ticket is not None and "status" in message:
        headers = with_ticket(headers, verified.ticket, status=message["status"])
    return {**message, "headers": as_bytes(headers)}
