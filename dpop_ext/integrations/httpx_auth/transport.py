"""Transports that authenticate answers, below the hooks and redirects of httpx.

DPoP Symmetric Profile 1.0.
"""

from __future__ import annotations

import asyncio
import socket
import time
from concurrent.futures import Future, wait
from contextlib import closing, suppress
from functools import partial
from types import ModuleType
from typing import Any, Self

from dpop_ext.client.nonces import FIRST_ANSWER_WAIT
from dpop_ext.client.time_limit import within
from dpop_ext.integrations.httpx_auth.protected_exchange import (
    authenticated_answer,
    exchange_of,
    protected_exchange,
)
from dpop_ext.integrations.httpx_auth.signed_request import is_future
from dpop_ext.symmetric.response import MAX_ANSWER


class BlockingTransport:
    """Sends the requests of a client whose answers are to be authenticated.

    ::

        client = httpx.Client(transport=DPoPTransport(), auth=DPoPAuth(...))

    Other requests go through it as they are. Whatever sees an answer above it, such as
    a hook, sees an authenticated one.

    :param inner: what writes to connections; None is the usual one of the library.
        A transport that repeats requests goes here, and so does one with a proxy.
    """

    #: httpx or httpx2.
    library: ModuleType

    def __init__(self, inner: Any = None) -> None:
        self._inner = inner or self.library.HTTPTransport()

    def handle_request(self, request: Any) -> Any:
        """Send *request*, and return the answer when it is authenticated.

        :raises ResponseProofError: it is not, or nothing was sent, because there is no
            key to do so with or because a redirect leads elsewhere.
        :raises ValueError: the request is conditional.
        """
        protected = exchange_of(request)
        if protected is None:
            return self._inner.handle_request(request)
        with closing(protected_exchange(request, protected)) as steps:
            received = None
            while True:
                try:
                    step = steps.send(received)
                except StopIteration as end:
                    return authenticated_answer(self.library, *end.value)
                received = None
                if is_future(step):
                    wait([step], timeout=FIRST_ANSWER_WAIT)
                    continue
                response = self._inner.handle_request(step)
                seconds = protected.protection.answer_deadline
                received = (response, self._read_within(seconds, response))

    def _read_within(self, seconds: float, response: Any) -> bytes | None:
        read = partial(self._read, response, deadline=time.monotonic() + seconds)
        if _comes_in_pieces(response):
            return read()
        try:
            return within(seconds, read, late=TimeoutError)
        except TimeoutError:
            _end(response)
            return None

    def _read(self, response: Any, *, deadline: float) -> bytes | None:
        content = bytearray()
        try:
            for piece in response.stream:
                content += piece
                if len(content) > MAX_ANSWER or time.monotonic() > deadline:
                    return None
        except self.library.TransportError:
            return None
        finally:
            response.stream.close()
        return bytes(content)

    def __enter__(self) -> Self:
        """Open the inner transport."""
        self._inner.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close the inner transport."""
        self._inner.__exit__(*exc_info)

    def close(self) -> None:
        """Close the inner transport."""
        self._inner.close()


class AsyncTransport:
    """:class:`BlockingTransport` for asynchronous clients."""

    #: httpx or httpx2.
    library: ModuleType

    def __init__(self, inner: Any = None) -> None:
        self._inner = inner or self.library.AsyncHTTPTransport()

    async def handle_async_request(self, request: Any) -> Any:
        """Send *request*, and return the answer when it is authenticated.

        Errors as of :meth:`BlockingTransport.handle_request`.
        """
        protected = exchange_of(request)
        if protected is None:
            return await self._inner.handle_async_request(request)
        with closing(protected_exchange(request, protected)) as steps:
            received = None
            while True:
                try:
                    step = steps.send(received)
                except StopIteration as end:
                    return authenticated_answer(self.library, *end.value)
                received = None
                if is_future(step):
                    await wait_for_first(step)
                    continue
                response = await self._inner.handle_async_request(step)
                seconds = protected.protection.answer_deadline
                received = (response, await self._read(response, seconds=seconds))

    async def _read(self, response: Any, *, seconds: float) -> bytes | None:
        import anyio  # noqa: PLC0415

        content = bytearray()
        try:
            with anyio.move_on_after(seconds) as in_time:
                async for piece in response.stream:
                    content += piece
                    if len(content) > MAX_ANSWER:
                        return None
        except self.library.TransportError:
            return None
        finally:
            await response.stream.aclose()
        return None if in_time.cancelled_caught else bytes(content)

    async def __aenter__(self) -> Self:
        """Open the inner transport."""
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close the inner transport."""
        await self._inner.__aexit__(*exc_info)

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self._inner.aclose()


def _comes_in_pieces(response: Any) -> bool:
    """Tell whether whatever is read of the content is handed on at once.

    The lines between chunks may come byte by byte, or never end, and frames of HTTP/2
    without content in them likewise: who reads them does not look at the time.
    """
    return (
        response.extensions.get("http_version") in {b"HTTP/1.0", b"HTTP/1.1"}
        and "Content-Length" in response.headers
        and "Transfer-Encoding" not in response.headers
    )


def _end(response: Any) -> None:
    """End a connection, and with it the thread that waits for what comes over it."""
    stream = response.extensions.get("network_stream")
    connected = stream.get_extra_info("socket") if stream is not None else None
    if isinstance(connected, socket.socket):
        with suppress(OSError):
            # One of TLS by its own method would go on without TLS.
            socket.socket.shutdown(connected, socket.SHUT_RDWR)


async def wait_for_first(first: Future[None]) -> None:
    """Wait for the first of many requests, while other tasks go on."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        # trio knows no futures: in a thread.
        import anyio.to_thread  # noqa: PLC0415

        waiting = partial(wait, [first], timeout=FIRST_ANSWER_WAIT)
        await anyio.to_thread.run_sync(waiting, abandon_on_cancel=True)
        return
    # In no thread here: there are few, and the application has work for them.
    answered = asyncio.wrap_future(first)
    try:
        await asyncio.wait([answered], timeout=FIRST_ANSWER_WAIT)
    finally:
        answered.cancel()
