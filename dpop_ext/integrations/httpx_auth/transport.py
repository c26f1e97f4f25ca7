"""Authenticated answers in httpx or httpx2: below its hooks and its redirects.

Both show a response to hooks, and follow a redirect, before an ``auth`` is asked. So
where an answer is to be authenticated (DPoP Symmetric Profile 1.0), the whole exchange
takes place in a transport, and what is above it sees its end.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import wait
from contextlib import closing
from dataclasses import dataclass
from functools import cache, partial
from types import ModuleType
from typing import Any, Final, Self

from dpop_ext.client.exchange import Flow, Outcome, Reply
from dpop_ext.client.nonces import FIRST_ANSWER_WAIT
from dpop_ext.client.protection import AuthenticatedResponse, Protection
from dpop_ext.errors import ResponseProofError
from dpop_ext.integrations.httpx_auth.signed_request import (
    Sending,
    is_at,
    is_future,
    read_reply,
    send_cookies,
    sign,
)
from dpop_ext.symmetric.response import MAX_ANSWER, RESPONSE_FIELD

#: Extension of a request: its :class:`ProtectedExchange`. The library copies it to the
#: request that a redirect leads to.
_EXCHANGE: Final = "dpop_ext.exchange"
#: Extension of a response that was authenticated.
_AUTHENTICATION: Final = "dpop_ext.authentication"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtectedExchange:
    """How a request is sent whose answer is to be authenticated."""

    #: Of the request. A redirect to any other is not followed.
    origin: str
    protection: Protection
    #: Starts the flow of a request.
    begin: Callable[[Any], Flow]
    #: Told how the exchange ended.
    finish: Callable[[Outcome], None] | None


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
        protected = request.extensions.get(_EXCHANGE)
        if protected is None:
            return self._inner.handle_request(request)
        with closing(_exchange(request, protected)) as steps:
            received = None
            while True:
                try:
                    step = steps.send(received)
                except StopIteration as end:
                    return _answer(self.library, *end.value)
                received = None
                if is_future(step):
                    wait([step], timeout=FIRST_ANSWER_WAIT)
                    continue
                response = self._inner.handle_request(step)
                received = (response, self._read(response))

    def _read(self, response: Any) -> bytes | None:
        content = bytearray()
        try:
            for piece in response.stream:
                content += piece
                if len(content) > MAX_ANSWER:
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
        protected = request.extensions.get(_EXCHANGE)
        if protected is None:
            return await self._inner.handle_async_request(request)
        with closing(_exchange(request, protected)) as steps:
            received = None
            while True:
                try:
                    step = steps.send(received)
                except StopIteration as end:
                    return _answer(self.library, *end.value)
                received = None
                if is_future(step):
                    await wait_in_thread(step)
                    continue
                response = await self._inner.handle_async_request(step)
                received = (response, await self._read(response))

    async def _read(self, response: Any) -> bytes | None:
        content = bytearray()
        try:
            async for piece in response.stream:
                content += piece
                if len(content) > MAX_ANSWER:
                    return None
        except self.library.TransportError:
            return None
        finally:
            await response.stream.aclose()
        return bytes(content)

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


def response_authentication(response: Any) -> AuthenticatedResponse | None:
    """Return what was found out about a response to a ``DPoPAuth`` request.

    :returns: None unless its protection has ``authenticated_responses``; then there is
        no response that was not authenticated.
    """
    found: AuthenticatedResponse | None = response.extensions.get(_AUTHENTICATION)
    return found


def protected_request(request: Any, exchange: ProtectedExchange) -> Any:
    """Return *request*, for a transport of this module and no other."""
    request.extensions = {**request.extensions, _EXCHANGE: exchange}
    fields = request.headers
    base: Any = type(fields.copy())
    request.headers = _unsendable_headers_type(base)(fields, encoding=fields.encoding)
    return request


async def wait_in_thread(first: Any) -> None:
    """Wait for the first of many requests, in a thread: trio knows no futures."""
    import anyio.to_thread  # noqa: PLC0415

    waiting = partial(wait, [first], timeout=FIRST_ANSWER_WAIT)
    await anyio.to_thread.run_sync(waiting, abandon_on_cancel=True)


@cache
def _unsendable_headers_type(base: Any) -> Any:
    """Return a class of header fields that no transport can write as they are.

    :param base: ``Headers`` of the library.
    """

    class UnsendableHeaders(base):
        @property
        def raw(self) -> list[tuple[bytes, bytes]]:
            raise ValueError(
                "authenticated responses need Client(transport=DPoPTransport()), or "
                "AsyncClient(transport=AsyncDPoPTransport()); likewise in mounts"
            )

    return UnsendableHeaders


def _exchange(request: Any, protected: ProtectedExchange) -> Sending:
    """Send a request as its flow says.

    Is sent each response and its content before content decoding, which is None if it
    is too long or did not come to its end.

    :returns: the last response, its content and what was found out about it.
    """
    if not is_at(protected.origin, str(request.url)):
        raise ResponseProofError(
            "A redirect leads to where no answer can be authenticated."
        )
    protected.protection.check_fields(request.headers)
    with closing(protected.begin(request)) as flow:
        attempt = next(flow)
        while True:
            first = attempt.turn()
            if first is not None:
                yield first
            response, content = yield sign(request, attempt)
            try:
                attempt = flow.send(_reply(response, content))
            except StopIteration as end:
                if protected.finish is not None:
                    protected.finish(end.value)
                return response, content, end.value.authentication
            except ResponseProofError as error:
                if protected.finish is not None:
                    protected.finish(Outcome(refresh_due=error.refresh_due))
                raise
            response.request = request
            send_cookies(response, request)


def _reply(response: Any, content: bytes | None) -> Reply:
    return read_reply(
        response,
        response_proofs=tuple(response.headers.get_list(RESPONSE_FIELD)),
        fields=tuple(
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in response.headers.raw
        ),
        content=content,
    )


def _answer(
    library: ModuleType,
    response: Any,
    content: bytes,
    authentication: AuthenticatedResponse,
) -> Any:
    return library.Response(
        response.status_code,
        headers=response.headers,
        stream=library.ByteStream(content),
        extensions={**response.extensions, _AUTHENTICATION: authentication},
    )
