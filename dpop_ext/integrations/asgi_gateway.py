"""The answer to a gateway's question, for any ASGI server."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial

from dpop_ext.integrations.asgi_request import field, resource_request
from dpop_ext.integrations.asgi_threads import MAX_PENDING, DecisionThreads
from dpop_ext.integrations.asgi_types import Receive, Scope, Send, as_bytes
from dpop_ext.resource_server.gateway import GatewayCheck
from dpop_ext.resource_server.refusal import AccessRefusedError
from dpop_ext.resource_server.trusted_hop import Subrequest


class GatewayApplication:
    """Answer the questions of nginx, Traefik, Caddy or Envoy, and nothing else.

    The same as :class:`dpop_ext.integrations.wsgi_gateway.GatewayApplication`.

    :param check: what is answered.
    :param client_certificate: returns the thumbprint of the certificate that a client
        showed the gateway (:rfc:`8705`), from the ASGI scope.
    :param executor: where decisions are made; None makes one of
        :data:`~dpop_ext.integrations.asgi_threads.MAX_THREADS`.
    :param max_pending: questions that may wait for a decision at the same time; over it
        they are answered 503.
    """

    def __init__(
        self,
        check: GatewayCheck,
        *,
        client_certificate: Callable[[Scope], str | None] | None = None,
        executor: Executor | None = None,
        max_pending: int = MAX_PENDING,
    ) -> None:
        self._check = check
        self._client_certificate = client_certificate
        self._threads = DecisionThreads(executor, max_pending=max_pending)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one question."""
        if scope["type"] != "http":
            raise RuntimeError("gateways ask over HTTP")
        find_certificate = self._client_certificate

        def values(name: str) -> tuple[str, ...]:
            return field(scope, name.lower().encode("latin-1"))

        subrequest = Subrequest(
            request=resource_request(
                dict(scope),
                token_in_form=False,
                certificate=find_certificate(scope) if find_certificate else None,
            ),
            peer=(scope.get("client") or (None,))[0],
            values=values,
        )
        decision = partial(self._check.answer, subrequest)
        try:
            answer = await self._threads.decide(
                decision, endpoint=subrequest.request.raw_target
            )
        except AccessRefusedError as error:
            answer = self._check.refused(error.refusal)
        headers = [*answer.headers, ("Content-Length", str(len(answer.body)))]
        await send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": as_bytes(headers),
            }
        )
        body = b"" if scope["method"] == "HEAD" else answer.body
        await send({"type": "http.response.body", "body": body})
