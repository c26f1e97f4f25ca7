"""DPoP as a security dependency of FastAPI, and for routes of Starlette.

:rfc:`9449#section-7`. Importing it needs the extra ``fastapi``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from copy import copy
from functools import partial
from typing import Any

from dpop_ext.extras import needs

with needs("fastapi"):
    from fastapi.openapi.models import HTTPBase
    from fastapi.security import SecurityScopes
    from fastapi.security.base import SecurityBase
    from starlette.applications import Starlette
    from starlette.requests import ClientDisconnect, HTTPConnection
    from starlette.websockets import WebSocket

from dpop_ext.errors import MalformedRequestError
from dpop_ext.integrations.asgi_answers import ANSWER, send_signed
from dpop_ext.integrations.asgi_fields import Admitted, adding, exposing, send_refusal
from dpop_ext.integrations.asgi_reading import Reading
from dpop_ext.integrations.asgi_request import resource_request
from dpop_ext.integrations.asgi_threads import MAX_PENDING, DecisionThreads
from dpop_ext.integrations.asgi_types import ASGIApp, Receive, Scope, Send
from dpop_ext.integrations.fastapi_request import has_token_in_form, read_content
from dpop_ext.resource_server.answer import AnswerSlot
from dpop_ext.resource_server.challenges import Challenges
from dpop_ext.resource_server.error_refusal import refuse
from dpop_ext.resource_server.gate import FindToken, VerifiedRequest
from dpop_ext.resource_server.observation import ObservedRequest
from dpop_ext.resource_server.observer import Observer
from dpop_ext.resource_server.observing_gate import gate_of
from dpop_ext.resource_server.refusal import AccessRefusedError, Refusal
from dpop_ext.resource_server.route_policy import ANY_PROOF, RoutePolicy
from dpop_ext.verifier import ProofVerifier

__all__ = ["DPoPSecurity", "RouteRefusedError"]

_ADMITTED = "dpop_ext.admitted"


class RouteRefusedError(AccessRefusedError):
    """A route was called that may not be. :meth:`DPoPSecurity.install` answers it."""

    def __init__(self, refusal: Refusal, challenges: Challenges) -> None:
        super().__init__(refusal)
        self.challenges = challenges


class DPoPSecurity(SecurityBase):
    """Protect routes by a DPoP proof, and say so in the OpenAPI document.

    ::

        dpop = DPoPSecurity(verifier=verifier, find_token=validator,
                            public_url="https://api.example")
        dpop.install(app)

        @app.get("/accounts")
        async def accounts(
            caller: Annotated[VerifiedRequest, Security(dpop, scopes=["accounts"])],
        ): ...

    Scopes of one ``Security`` are needed all together. Of Starlette, a route calls
    :meth:`verify`. Decisions are made in a thread, as by
    :class:`~dpop_ext.integrations.asgi.DPoPMiddleware`, which protects a whole
    application and decides before FastAPI reads the content.

    :param verifier: shared by all requests.
    :param scheme_name: in the OpenAPI document.
    :param description: likewise.
    :param client_certificate: as of the middleware.
    :param executor: where decisions are made.
    :param max_pending: as of the middleware.
    :param observer: lets requests pass whose proof is missing or bad, and counts them;
        None demands good proofs. A route gets an :class:`ObservedRequest` then, whose
        ``proof`` is None, also for a good one.

    The other arguments are those of :class:`Gate`.
    """

    def __init__(
        self,
        *,
        verifier: ProofVerifier,
        find_token: FindToken,
        public_url: str | None = None,
        realm: str | None = None,
        resource_metadata: str | None = None,
        accept_bearer: bool = False,
        client_certificate: Callable[[Scope], str | None] | None = None,
        scheme_name: str = "DPoP",
        description: str | None = "An access token with a proof of possession",
        executor: Executor | None = None,
        max_pending: int = MAX_PENDING,
        observer: Observer | None = None,
    ) -> None:
        self.model = HTTPBase(scheme="DPoP", description=description)
        self.scheme_name = scheme_name
        self._client_certificate = client_certificate
        self._threads = DecisionThreads(executor, max_pending=max_pending)
        self._route = ANY_PROOF
        self._gate, self._decision = gate_of(
            verifier,
            find_token,
            observer=observer,
            public_url=public_url,
            realm=realm,
            resource_metadata=resource_metadata,
            accept_bearer=accept_bearer,
        )

    def install(self, app: Starlette) -> None:
        """Let *app* answer refusals, and put nonces and proofs on its answers.

        That goes for the applications that are mounted in it, too. Call it after the
        middleware that changes answers was added. Without it a refusal is an error of
        the server.
        """
        app.add_middleware(_Answers, executor=self._threads.executor)
        app.add_exception_handler(RouteRefusedError, _refuse)

    def demanding(self, route: RoutePolicy) -> DPoPSecurity:
        """Return a dependency for routes that demand more than a good proof."""
        demanding = copy(self)
        demanding._route = route  # noqa: SLF001 - it is one of us
        return demanding

    async def __call__(
        self, request: HTTPConnection, security_scopes: SecurityScopes
    ) -> VerifiedRequest | ObservedRequest:
        """Return who calls a route of FastAPI.

        :raises RouteRefusedError: it may not be called.
        """
        return await self.verify(request, *security_scopes.scopes)

    async def verify(
        self, request: HTTPConnection, *scopes: str
    ) -> VerifiedRequest | ObservedRequest:
        """Return who calls; for a route of Starlette.

        :param scopes: all of them are needed.
        :raises RouteRefusedError: it may not be called.
        :raises RuntimeError: :meth:`install` was not called.
        """
        scope: Any = request.scope
        if _ADMITTED not in scope:
            raise RuntimeError("call DPoPSecurity.install(app) first")
        loop = asyncio.get_running_loop()
        try:
            in_form = await has_token_in_form(request)
        except ClientDisconnect as error:
            refusal = refuse(MalformedRequestError("The content cannot be read."))
            raise self._refused(refusal, scope) from error
        asked = resource_request(
            scope,
            token_in_form=in_form,
            certificate=self._client_certificate and self._client_certificate(scope),
            read_content=Reading(loop, partial(read_content, request)).content,
        )
        needed = [" ".join(scopes)] if scopes else []
        check = partial(self._decision, asked, scopes=needed, route=self._route)
        try:
            verified = await self._threads.decide(check, endpoint=asked.raw_target)
        except AccessRefusedError as error:
            raise self._refused(error.refusal, scope) from error
        scope[_ADMITTED].verified = verified
        return verified

    def _refused(self, refusal: Refusal, scope: Scope) -> RouteRefusedError:
        # Those of the innermost application. One that is mounted in the one that was
        # installed has its own, and would answer 500 to what they do not know.
        handlers, _ = scope.get("starlette.exception_handlers", ({}, {}))
        if not any(kind in handlers for kind in RouteRefusedError.__mro__):
            handlers[RouteRefusedError] = _refuse
        return RouteRefusedError(refusal, self._gate.challenges)


class _Answers:
    """Puts on the answers what the dependency, deep inside, has found."""

    def __init__(self, app: ASGIApp, *, executor: Executor) -> None:
        self._app = app
        self._executor = executor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        if any(name == b"origin" for name, _ in scope["headers"]):
            send = exposing(send)
        admitted = scope[_ADMITTED] = Admitted()

        async def answer(send: Send) -> None:
            await self._app(scope, receive, adding(admitted, send, self._executor))

        if scope["type"] == "websocket" or ANSWER in scope:
            await answer(send)
            return
        slot = scope[ANSWER] = AnswerSlot()
        await send_signed(answer, slot, scope["method"], send)


async def _refuse(request: Any, error: Any) -> Any:
    """Answer a refusal; of HTTP, Starlette sends what this returns."""
    # Not the error: Starlette keeps the answer in a frame of the error's traceback.
    refusal, challenges = error.refusal, error.challenges

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        await send_refusal(refusal, challenges, scope, send)

    if isinstance(request, WebSocket):
        await send_refusal(refusal, challenges, request.scope, request.send)
    return answer
