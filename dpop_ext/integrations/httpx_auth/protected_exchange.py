"""One exchange in httpx or httpx2 whose answer is to be authenticated.

Both show a response to hooks, and follow a redirect, before an ``auth`` is asked. So
the whole exchange (DPoP Symmetric Profile 1.0) takes place in a transport, and what is
above it sees its end. Here is what is said; how it travels is in :mod:`.transport`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any, Final

from dpop_ext.client.exchange import Flow, Outcome, Reply
from dpop_ext.client.protection import AuthenticatedResponse, Protection
from dpop_ext.errors import ResponseProofError
from dpop_ext.integrations.httpx_auth.signed_request import (
    Sending,
    is_at,
    read_reply,
    send_cookies,
    sign,
)
from dpop_ext.symmetric.response import RESPONSE_FIELD

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


def response_authentication(response: Any) -> AuthenticatedResponse | None:
    """Return what was found out about a response to a ``DPoPAuth`` request.

    :returns: None unless its protection has ``authenticated_responses``; then there is
        no response that was not authenticated.
    """
    found: AuthenticatedResponse | None = response.extensions.get(_AUTHENTICATION)
    return found


def exchange_of(request: Any) -> ProtectedExchange | None:
    """Return how *request* is to be sent; None if it is as any other."""
    found: ProtectedExchange | None = request.extensions.get(_EXCHANGE)
    return found


def protected_request(request: Any, exchange: ProtectedExchange) -> Any:
    """Return *request*, for a transport of :mod:`.transport` and no other."""
    request.extensions = {**request.extensions, _EXCHANGE: exchange}
    fields = request.headers
    base: Any = type(fields.copy())
    request.headers = _unsendable_headers_type(base)(fields, encoding=fields.encoding)
    return request


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


def protected_exchange(request: Any, protected: ProtectedExchange) -> Sending:
    """Send a request as its flow says.

    Is sent each response and its content before content decoding, which is None if it
    is too long, took too long or did not come to its end.

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


def authenticated_answer(
    library: ModuleType,
    response: Any,
    content: bytes,
    authentication: AuthenticatedResponse,
) -> Any:
    """Return the response for whoever sent the request.

    :param library: httpx or httpx2.
    """
    return library.Response(
        response.status_code,
        headers=response.headers,
        stream=library.ByteStream(content),
        extensions={**response.extensions, _AUTHENTICATION: authentication},
    )
