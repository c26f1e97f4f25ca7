"""The answer to a gateway's question, for any WSGI server: :pep:`3333`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from dpop_ext.integrations.client_certificate import ClientCertificate
from dpop_ext.integrations.wsgi_answers import Environ
from dpop_ext.integrations.wsgi_request import resource_request
from dpop_ext.resource_server.gateway import GatewayCheck
from dpop_ext.resource_server.trusted_hop import Subrequest


class GatewayApplication:
    """Answer the questions of nginx, Traefik, Caddy or Envoy, and nothing else.

    ::

        app = GatewayApplication(GatewayCheck(verifier, validator, hop=..., ...))

    Serve it at an address that only the gateway can reach, see
    :class:`~dpop_ext.resource_server.trusted_hop.TrustedHop`.

    :param check: what is answered.
    :param client_certificate: where tokens that are bound to a certificate find it
        (:rfc:`8705`), in what the gateway sends.
    """

    def __init__(
        self,
        check: GatewayCheck,
        *,
        client_certificate: ClientCertificate | None = None,
    ) -> None:
        self._check = check
        self._client_certificate = client_certificate

    def __call__(
        self, environ: Environ, start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Answer one question."""
        request = resource_request(
            environ,
            token_in_form=False,
            client_certificate=self._client_certificate,
        )

        def values(name: str) -> tuple[str, ...]:
            key = "HTTP_" + name.upper().replace("-", "_")
            return (environ[key],) if key in environ else ()

        answer = self._check.answer(
            Subrequest(request=request, peer=environ.get("REMOTE_ADDR"), values=values)
        )
        body = b"" if environ["REQUEST_METHOD"] == "HEAD" else answer.body
        start_response(
            f"{answer.status} {HTTPStatus(answer.status).phrase}",
            [*answer.headers, ("Content-Length", str(len(answer.body)))],
        )
        return [body]
