"""What a gateway asks before it hands a request on (:rfc:`9449#section-7.1`).

nginx ``auth_request``, Traefik ``forwardAuth``, Envoy ``ext_authz``: a request of the
gateway's own says what it was asked for. The answer leaves no trace, so it may be asked
for twice; the server behind the gateway uses the proof up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import quote

from dpop_ext.resource_server.credentials import ResourceRequest, names_access_token
from dpop_ext.resource_server.error_refusal import malformed_request
from dpop_ext.resource_server.gate import FindToken, Gate, UnspentRequest
from dpop_ext.resource_server.refusal import AccessRefusedError, Refusal
from dpop_ext.resource_server.refusal_log import log_refusal
from dpop_ext.resource_server.route_policy import ANY_PROOF, RoutePolicy
from dpop_ext.resource_server.trusted_hop import Subrequest, TrustedHop
from dpop_ext.verifier import ProofVerifier

#: What gateways understand. nginx makes 500 of any other status.
STATUSES: Final = frozenset({401, 403, 503})

_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: Visible ASCII without the percent sign, and the space between scopes.
_PLAIN = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")
#: Characters of a value that goes to the server behind the gateway.
_MAX_VALUE = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayAnswer:
    """The answer to a gateway: 200, or one of :data:`STATUSES`."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes = field(default=b"", repr=False)


class GatewayCheck:
    """Answers what a gateway asks, without any framework.

    The applications for WSGI and ASGI are in :mod:`dpop_ext.integrations`. The answer
    200 lets the request pass to a server that decides about it again and uses its proof
    up: a :class:`~dpop_ext.integrations.wsgi.DPoPMiddleware` for example. Nothing is
    protected by a gateway's question alone, as a proof can then be used again.

    Both need the same nonce secrets, if they demand nonces. Content is compared with a
    digest of it (``cd``) by the server behind alone.

    :param hop: who may ask, and how it names the request that it was sent.
    :param public_url: what clients call the server behind, such as
        ``https://api.example/prefix``. A gateway that has several names takes one of
        these for each.
    :param scopes: alternatives, of which one is enough, or a function from the original
        request to them.
    :param route: what else a request must have, or a function from the original request
        to that.

    The other arguments are those of :class:`Gate`.
    """

    def __init__(
        self,
        verifier: ProofVerifier,
        find_token: FindToken,
        *,
        hop: TrustedHop,
        public_url: str,
        scopes: Iterable[str] | Callable[[ResourceRequest], Iterable[str]] = (),
        route: RoutePolicy | Callable[[ResourceRequest], RoutePolicy] = ANY_PROOF,
        realm: str | None = None,
        resource_metadata: str | None = None,
        accept_bearer: bool = False,
    ) -> None:
        self._hop = hop
        self._scopes = (
            scopes if callable(scopes) or isinstance(scopes, str) else tuple(scopes)
        )
        self._route = route
        self._gate = Gate(
            verifier,
            find_token,
            public_url=public_url,
            realm=realm,
            resource_metadata=resource_metadata,
            accept_bearer=accept_bearer,
        )

    def answer(self, subrequest: Subrequest) -> GatewayAnswer:
        """Return what to answer to the gateway."""
        try:
            request = self._original(subrequest)
        except AccessRefusedError as error:
            asked = subrequest.request.raw_target
            log_refusal(error.refusal, endpoint=asked, client_id=None)
            return self.refused(error.refusal)
        scopes = self._scopes(request) if callable(self._scopes) else self._scopes
        route = self._route(request) if callable(self._route) else self._route
        try:
            verified = self._gate.verify(request, scopes=scopes, route=route)
        except AccessRefusedError as error:
            return self.refused(error.refusal)
        return GatewayAnswer(status=200, headers=_fields(verified))

    def _original(self, subrequest: Subrequest) -> ResourceRequest:
        """Return the request that the gateway was sent."""
        method, target = self._hop.read(subrequest)
        if not _METHOD.fullmatch(method):
            raise AccessRefusedError(malformed_request("The method is malformed."))
        return replace(
            subrequest.request,
            method=method,
            raw_target=target,
            token_elsewhere=names_access_token(target.partition("?")[2]),
            # Of the original, nothing else is here.
            read_content=None,
            answer=None,
            spent=set(),
        )

    def refused(self, refusal: Refusal) -> GatewayAnswer:
        """Return how a gateway is told of *refusal*."""
        status = refusal.status
        if status not in STATUSES:
            status = 401 if status < 500 else 503
        headers, body = self._gate.challenges.answer(refusal)
        # One field: of several, nginx before 1.23 hands on the first.
        challenge = ", ".join(v for n, v in headers if n == "WWW-Authenticate")
        headers = [field for field in headers if field[0] != "WWW-Authenticate"]
        if challenge:
            headers.append(("WWW-Authenticate", challenge))
        return GatewayAnswer(status=status, headers=headers, body=body)


def _fields(verified: UnspentRequest) -> list[tuple[str, str]]:
    """Return what the server behind may want for its log: nothing of it is secret.

    All of them every time, so that a gateway replaces those that a client made up.
    """
    token, proof = verified.token, verified.proof
    values = {
        "X-DPoP-Client": token.client_id,
        "X-DPoP-Subject": token.claims.get("sub"),
        "X-DPoP-Scope": token.scope,
        "X-DPoP-Key": proof.jkt if proof is not None else None,
        "X-DPoP-Proof": proof.kind if proof is not None else "bearer",
    }
    fields = [("Cache-Control", "no-store")]
    for name, value in values.items():
        fields.append((name, _shown(value)))
    return fields


def _shown(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_VALUE:
        return "-"
    return quote(value, safe=_PLAIN)
