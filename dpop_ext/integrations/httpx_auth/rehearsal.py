"""A nonce before it is needed, with httpx or httpx2: :rfc:`9449#section-9`."""

from __future__ import annotations

from functools import cache, partial
from importlib import import_module
from typing import Any

from dpop_ext.client.rehearsal import LEFT_OUT, Question, RehearsalFlow
from dpop_ext.client.signer import ProofSigner
from dpop_ext.integrations.httpx_auth.limited import drain
from dpop_ext.integrations.httpx_auth.once import once_stream
from dpop_ext.integrations.httpx_auth.signed_request import Sending, read_reply, sign
from dpop_ext.integrations.httpx_auth.waiting import WaitingAuth


class RehearsalAuth(WaitingAuth):
    """Ask for nothing but a nonce, in place of the request that it is given.

    :param signer: made with the key that the token is bound to.
    :param access_token: as the token endpoint returned it.
    """

    def __init__(self, signer: ProofSigner, access_token: str) -> None:
        self._signer = signer
        self._access_token = access_token

    def auth_flow(self, request: Any) -> Sending:
        """Ask, and learn from the answers."""
        flow = self._signer.rehearsal(
            method=request.method,
            url=str(request.url),
            access_token=self._access_token,
        )
        if flow is None:
            raise ValueError("The nonce is known: ask needs_nonce first.")
        yield from rehearse(request, flow, earlier=[])

    def __repr__(self) -> str:
        return f"<RehearsalAuth {self._signer!r}>"


def rehearse(request: Any, flow: RehearsalFlow, *, earlier: list[Any]) -> Sending:
    """Send what *flow* asks for.

    :param request: the one to come.
    :param earlier: the responses to what was sent before; those to what is sent here
        are added.
    """
    question = next(flow)
    while True:
        first = question.turn()
        if first is not None:
            yield first
        if not question.is_needed():
            flow.close()
            return
        response = yield _request(request, question)
        drain(response)
        # The library lists the answers before, then any redirects of this request.
        hops = [*response.history, response][len(earlier) :]
        earlier.append(response)
        try:
            question = flow.send(read_reply(hops[0]))
        except StopIteration:
            return


def _request(request: Any, question: Question) -> Any:
    if question.is_anonymous:
        return _anonymous(request, question)
    fields = request.headers.copy()
    for name in LEFT_OUT:
        fields.pop(name, None)
    bare = type(request)(
        question.method, request.url, headers=fields, extensions=request.extensions
    )
    return sign(bare, question)


@cache
def _empty_headers_type(base: Any) -> Any:
    class EmptyHeaders(base):
        """Fields that are sent with the length 0, and copied with none that is one."""

        @property
        def raw(self) -> list[tuple[bytes, bytes]]:
            return [
                (name, b"0" if name.lower() == b"content-length" else value)
                for name, value in super().raw
            ]

    return EmptyHeaders


def _anonymous(request: Any, question: Question) -> Any:
    agent = request.headers.get("User-Agent")
    bare = type(request)(
        question.method,
        question.url,
        headers={} if agent is None else {"User-Agent": agent},
        extensions=request.extensions,
    )
    # Of a redirect that keeps the method, the library makes a request with cookies. It
    # copies this length, which HTTP/1.1 does not write, and finds no content.
    fields = bare.headers
    fields["Content-Length"] = "redirected"
    base: Any = type(fields)
    bare.headers = _empty_headers_type(base)(fields, encoding=fields.encoding)
    library = import_module(type(request).__module__)
    refuse = partial(
        library.RemoteProtocolError,
        "A request for a nonce was redirected.",
        request=bare,
    )
    bare.stream = once_stream(library)(b"", refuse)
    return bare
