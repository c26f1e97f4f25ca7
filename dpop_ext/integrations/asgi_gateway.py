"""The answer to a gateway's question, for any ASGI server."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial

from dpop_ext.integrations.asgi import resource_request
from dpop_ext.integrations.asgi_threads import in_thread, make_executor
from dpop_ext.integrations.asgi_types import Receive, Scope, Send, as_bytes
from dpop_ext.resource_server.gateway import GatewayCheck
from dpop_ext.resource_server.trusted_hop import Subrequest


class GatewayApplication:
    """Answer the questions of nginx, Traefik, Caddy or Envoy, and nothing else.

    The same as :class:`dpop_ext.integrations.wsgi_gateway.GatewayApplication`.

    :param check: what is answered.
    :param client_certificate: returns the thumbprint of the certificate that a client
        showed the gateway (:rfc:`8705`), from the ASGI scope.
    :param executor: where decisions are made; None makes one of
        :data:`~dpop_ext.integrations.asgi_threads.MAX_THREADS`.
    """

    def __init__(
        self,
        check: GatewayCheck,
        *,
        client_certificate: Callable[[Scope], str | None] | None = None,
        executor: Executor | None = None,
    ) -> None:
        self._check = check
        self._client_certificate = client_certificate
        self._executor = executor or make_executor()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one question."""
        if scope["type"] != "http":
            raise RuntimeError("gateways ask over HTTP")
        find_certificate = self._client_certificate

        def values(name: str) -> tuple[str, ...]:
            wanted = name.lower().encode("latin-1")
            return tuple(
                v.decode("latin-1") for n, v in scope["headers"] if n == wanted
            )

        subrequest = Subrequest(
            request=resource_request(
                dict(scope),
                token_in_form=False,
                certificate=find_certificate(scope) if find_certificate else None,
            ),
            peer=(scope.get("client") or (None,))[0],
            values=values,
        )
        answer = await in_thread(
            partial(self._check.answer, subrequest), self._executor
        )
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
