"""DPoP for any ASGI application: :rfc:`9449#section-7`, HTTP and WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from functools import partial
from urllib.parse import quote

from dpop_ext.errors import MalformedRequestError
from dpop_ext.integrations.asgi_answers import ANSWER, send_signed
from dpop_ext.integrations.asgi_content import Content
from dpop_ext.integrations.asgi_fields import (
    Admitted,
    adding,
    exposing,
    send_refusal,
)
from dpop_ext.integrations.asgi_reading import Reading
from dpop_ext.integrations.asgi_threads import MAX_PENDING, DecisionThreads
from dpop_ext.integrations.asgi_types import ASGIApp, Receive, Scope, Send
from dpop_ext.resource_server.answer import AnswerSlot
from dpop_ext.resource_server.credentials import ResourceRequest, names_access_token
from dpop_ext.resource_server.error_refusal import refusing
from dpop_ext.resource_server.gate import FindToken, VerifiedRequest
from dpop_ext.resource_server.observation import ObservedRequest
from dpop_ext.resource_server.observer import Observer
from dpop_ext.resource_server.observing_gate import gate_of
from dpop_ext.resource_server.refusal import AccessRefusedError, Refusal
from dpop_ext.resource_server.route_policy import ANY_PROOF, RoutePolicy
from dpop_ext.verifier import ProofVerifier

_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
#: What a decision needs of the header.
_FIELDS = frozenset((b"host", b"authorization", b"dpop"))
#: What may stand in a path as it is: RFC 3986 section 3.3, and the slash.
_PATH = "/:@!$&'()*+,;=-._~"


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
        if _field(scope, b"origin"):
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
            in_form = await _has_token_in_form(scope, content)
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


def resource_request(
    scope: Scope,
    *,
    token_in_form: bool,
    certificate: str | None = None,
    read_content: Callable[[int], bytes] | None = None,
) -> ResourceRequest:
    """Return what the decision needs of a request.

    :param token_in_form: the body is a form with an access token.
    :param certificate: thumbprint of the client's certificate, if it showed one.
    :param read_content: how to read the content.
    """
    query = scope.get("query_string", b"").decode("latin-1")
    # In one pass: a request has a dozen fields, or a hundred.
    fields: dict[bytes, list[str]] = {}
    for name, value in scope["headers"]:
        if name in _FIELDS:
            fields.setdefault(name, []).append(value.decode("latin-1"))
    return ResourceRequest(
        method=scope.get("method", "GET"),
        scheme=_SCHEMES[scope["scheme"]],
        # More than one is no host, and makes the target malformed.
        host=",".join(fields[b"host"]) if b"host" in fields else _own_host(scope),
        raw_target=raw_target(scope),
        authorization=tuple(fields.get(b"authorization", ())),
        proofs=tuple(fields.get(b"dpop", ())),
        token_elsewhere=token_in_form or names_access_token(query),
        certificate=certificate,
        spent=scope.setdefault("dpop_ext.spent", set()),
        read_content=read_content,
        answer=scope.get(ANSWER),
    )


def raw_target(scope: Scope) -> str:
    """Return the request target as it was sent, or the decoded path, quoted anew."""
    path = scope.get("raw_path")
    if path:
        target = path.decode("latin-1")
    else:
        target = quote(scope["path"], safe=_PATH, errors="surrogateescape") or "/"
    query = scope.get("query_string", b"").decode("latin-1")
    return f"{target}?{query}" if query else target


def _no_content(limit: int) -> bytes:  # noqa: ARG001
    """Return the content of a handshake."""
    return b""


def _field(scope: Scope, name: bytes) -> tuple[str, ...]:
    """Return the values of a field, one for each line; ASGI has names in lower case."""
    return tuple(
        value.decode("latin-1") for other, value in scope["headers"] if other == name
    )


def _own_host(scope: Scope) -> str:
    """Return what the server calls itself, where a request has no ``Host``."""
    name, port = scope.get("server") or ("", None)
    name = f"[{name}]" if ":" in name else name
    return name if port is None else f"{name}:{port}"


async def _has_token_in_form(scope: Scope, content: Content) -> bool:
    """Tell whether a form names an access token; the application can still read it."""
    if scope["type"] != "http":
        return False
    kind = "".join(_field(scope, b"content-type")).partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        return False
    body = await content.read_form("".join(_field(scope, b"content-length")))
    return names_access_token(body.decode("latin-1"))
