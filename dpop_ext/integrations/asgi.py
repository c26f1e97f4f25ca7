"""DPoP for any ASGI application: :rfc:`9449#section-7`, HTTP and WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from functools import partial

from dpop_ext.errors import MalformedRequestError
from dpop_ext.integrations.asgi_answers import ANSWER, send_signed
from dpop_ext.integrations.asgi_content import Content
from dpop_ext.integrations.asgi_fields import Admitted, adding, exposing, send_refusal
from dpop_ext.integrations.asgi_reading import Reading
from dpop_ext.integrations.asgi_request import (
    field,
    has_token_in_form,
    resource_request,
)
from dpop_ext.integrations.asgi_threads import MAX_PENDING, DecisionThreads
from dpop_ext.integrations.asgi_types import ASGIApp, Receive, Scope, Send
from dpop_ext.resource_server.answer import AnswerSlot
from dpop_ext.resource_server.error_refusal import refusing
from dpop_ext.resource_server.gate import FindToken, VerifiedRequest
from dpop_ext.resource_server.observation import ObservedRequest
from dpop_ext.resource_server.observer import Observer
from dpop_ext.resource_server.observing_gate import gate_of
from dpop_ext.resource_server.refusal import AccessRefusedError, Refusal
from dpop_ext.resource_server.route_policy import ANY_PROOF, RoutePolicy
from dpop_ext.verifier import ProofVerifier


class DPoPMiddleware:
    """Let requests through to *app* that a :class:`Gate` lets through.

    ::

        app = DPoPMiddleware(app, verifier=verifier, find_token=validator)

    The application finds the :class:`AccessToken` in ``scope["dpop_ext.token"]`` and
    the :class:`VerifiedProof` in ``scope["dpop_ext.proof"]``, which is None for an
    unbound Bearer token. Everything below this middleware is protected, WebSocket
    handshakes too, whose proof is for ``GET`` and the ``https`` URL; lifespan events
    pass.

    Requests and answers are not buffered. Only a request whose proof has a digest of
    its content is read before the application is called, and only an answer that
    carries a response proof is held until it is complete.

    Tokens and stores may take their time, so a decision is made in a thread. A store
    for asyncio is called in the event loop, see
    :class:`~dpop_ext.integrations.asgi_store.InEventLoop`.

    The server must hand on the path as it came, as ``raw_path`` (uvicorn, granian and
    hypercorn do). If it is told a ``root_path`` that stands in there, too, leave that
    out of *public_url*.

    :param app: an ASGI application.
    :param scopes: alternatives, of which one is enough, or a function from the ASGI
        scope to them; each is one or more scope values, separated by spaces.
    :param client_certificate: returns the thumbprint of the certificate that a client
        showed (:rfc:`8705`), from the ASGI scope; None refuses tokens bound to one.
    :param route: what a request must have beside a good proof, or a function from the
        ASGI scope to that.
    :param executor: where decisions are made; None makes one of
        :data:`~dpop_ext.integrations.asgi_threads.MAX_THREADS`. If nothing they need is
        anywhere but in memory, :class:`~dpop_ext.integrations.asgi_threads.AtOnce` is
        quicker.
    :param max_pending: requests that may wait for a decision at the same time; over it
        they are answered 503.
    :param observer: lets requests pass whose proof is missing or bad, and counts them;
        None demands good proofs. The application finds an :class:`ObservedRequest` in
        ``scope["dpop_ext.observed"]`` then, and None for the proof, also for a good
        one.

    The other arguments are those of :class:`Gate`.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        verifier: ProofVerifier,
        find_token: FindToken,
        scopes: Iterable[str] | Callable[[Scope], Iterable[str]] = (),
        public_url: str | None = None,
        realm: str | None = None,
        resource_metadata: str | None = None,
        accept_bearer: bool = False,
        client_certificate: Callable[[Scope], str | None] | None = None,
        route: RoutePolicy | Callable[[Scope], RoutePolicy] = ANY_PROOF,
        executor: Executor | None = None,
        max_pending: int = MAX_PENDING,
        observer: Observer | None = None,
    ) -> None:
        self._app = app
        self._route = route
        self._client_certificate = client_certificate
        # A copy: an iterator would be used up by the first request.
        self._scopes = (
            scopes if callable(scopes) or isinstance(scopes, str) else tuple(scopes)
        )
        self._threads = DecisionThreads(executor, max_pending=max_pending)
        self._gate, self._decision = gate_of(
            verifier,
            find_token,
            observer=observer,
            public_url=public_url,
            realm=realm,
            resource_metadata=resource_metadata,
            accept_bearer=accept_bearer,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] not in {"http", "websocket"}:
            # Of another protocol it is not known how to refuse.
            raise ValueError("only HTTP and WebSocket can be protected")
        scope = dict(scope)
        if field(scope, b"origin"):
            send = exposing(send)
        if ANSWER in scope or scope["type"] == "websocket":
            # Whoever put it there is further out, and signs; a handshake has no answer.
            await self._answer(scope, Content(receive), send)
            return
        slot = scope[ANSWER] = AnswerSlot()
        answer = partial(self._answer, scope, Content(receive))
        await send_signed(answer, slot, scope["method"], send)

    async def _answer(self, scope: Scope, content: Content, send: Send) -> None:
        try:
            verified = await self._decide(scope, content)
        except AccessRefusedError as error:
            await self._refuse(error.refusal, scope, send)
            return
        scope["dpop_ext.token"] = verified.token
        # Whoever asks for a proof must not take an observed request for a proved one.
        scope["dpop_ext.proof"] = None
        if isinstance(verified, ObservedRequest):
            scope["dpop_ext.observed"] = verified
        else:
            scope["dpop_ext.proof"] = verified.proof
        admitted = Admitted()
        admitted.verified = verified
        send = adding(admitted, send, self._threads.executor)
        await self._app(scope, content.receive, send)

    async def _decide(
        self, scope: Scope, content: Content
    ) -> VerifiedRequest | ObservedRequest:
        scopes = self._scopes(scope) if callable(self._scopes) else self._scopes
        route = self._route(scope) if callable(self._route) else self._route
        with refusing(MalformedRequestError):
            in_form = await has_token_in_form(scope, content)
        request = resource_request(
            scope,
            token_in_form=in_form,
            certificate=self._client_certificate and self._client_certificate(scope),
            read_content=(
                Reading(asyncio.get_running_loop(), content.read).content
                if scope["type"] == "http"
                else _no_content
            ),
        )
        check = partial(self._decision, request, scopes=scopes, route=route)
        return await self._threads.decide(check, endpoint=request.raw_target)

    async def _refuse(self, refusal: Refusal, scope: Scope, send: Send) -> None:
        await send_refusal(refusal, self._gate.challenges, scope, send)


def _no_content(limit: int) -> bytes:  # noqa: ARG001
    """Return the content of a handshake."""
    return b""
