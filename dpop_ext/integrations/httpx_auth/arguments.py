"""``auth=`` arguments of httpx and httpx2: :rfc:`9449#section-7.1`, and section 5."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

from dpop_ext.client.answer_limit import PLAIN_FIELDS
from dpop_ext.client.audience import Audience
from dpop_ext.client.auth_arguments import require_signer, require_token
from dpop_ext.client.destination import Destination
from dpop_ext.client.exchange import Attempt, Flow, Outcome, extend_form
from dpop_ext.client.protection import Protection
from dpop_ext.client.signer import ProofSigner
from dpop_ext.core.request_digest import content_digest
from dpop_ext.errors import ResponseProofError
from dpop_ext.integrations.httpx_auth.limited import drain
from dpop_ext.integrations.httpx_auth.once import once_stream
from dpop_ext.integrations.httpx_auth.protected_exchange import (
    ProtectedExchange,
    protected_request,
    response_authentication,
)
from dpop_ext.integrations.httpx_auth.rehearsal import rehearse
from dpop_ext.integrations.httpx_auth.signed_request import (
    Sending,
    is_replayable,
    read_content,
    redirected,
    send_signed,
)
from dpop_ext.integrations.httpx_auth.waiting import WaitingAuth


class ResourceAuth(WaitingAuth):
    """Send a bound access token with a new proof for each attempt.

    ::

        httpx.get("https://api.example/me", auth=DPoPAuth(signer, access_token))

    It serves blocking and asyncio clients. A redirect goes out without token and proof,
    and once more with them if it stayed on the same origin and was refused. Transports
    that repeat requests are safe.

    :param signer: made with the key that the token is bound to.
    :param access_token: as the token endpoint returned it.
    :param finish: called with the outcome of each request.
    :param protection: what is authenticated besides; None is that of *signer*. With
        ``authenticated_responses`` the client needs a :class:`.BlockingTransport` or
        an :class:`.AsyncTransport`, and nothing is sent by any other. A redirect is
        followed to the same origin only.
    """

    def __init__(
        self,
        signer: ProofSigner,
        access_token: str,
        *,
        finish: Callable[[Outcome], None] | None = None,
        protection: Protection | None = None,
    ) -> None:
        self._signer = require_signer(signer)
        self._access_token = require_token(access_token)
        self._finish = finish
        self._protection = signer.protection if protection is None else protection

    def auth_flow(self, request: Any) -> Sending:
        """Sign *request*, look at the response, and send again where that can help.

        :raises ValueError: its URL is plain http beyond this machine; or, with a
            protection, its content can be read asynchronously only, it is conditional,
            or the client's transport does not authenticate answers.
        :raises ResponseProofError: the answer is to be authenticated, and it is not,
            or nothing was sent because there is no key to do so with.
        """
        origin = Destination.of(str(request.url)).origin
        if self._protection.authenticated_responses:
            protected = ProtectedExchange(
                origin=origin,
                protection=self._protection,
                # For its digest the content was read, and is kept.
                begin=partial(self._begin, replayable=True),
                finish=self._finish,
            )
            response = yield protected_request(request, protected)
            if response_authentication(response) is None:
                # From a cache, or by another transport after a redirect.
                raise ResponseProofError
            return
        replayable = is_replayable(request)
        earlier: list[Any] = []
        if not replayable and not self._protection.needs_content:
            yield from self._rehearse(request, earlier)
        while True:
            flow = self._begin(request, replayable=replayable)
            hops = yield from send_signed(
                request, flow, earlier=earlier, finish=self._finish
            )
            request = redirected(origin, hops)
            if request is None or not replayable:
                return
            drain(hops[-1])

    def _begin(self, request: Any, *, replayable: bool) -> Flow:
        digest = None
        if self._protection.needs_content:
            digest = content_digest(read_content(request))
        return self._signer.resource_request(
            method=request.method,
            url=str(request.url),
            access_token=self._access_token,
            replayable=replayable,
            content=digest,
            protection=self._protection,
        )

    def _rehearse(self, request: Any, earlier: list[Any]) -> Sending:
        """Fetch a nonce, if none is known, for a request that is sent once only."""
        flow = self._signer.rehearsal(
            method=request.method,
            url=str(request.url),
            access_token=self._access_token,
        )
        if flow is not None:
            yield from rehearse(request, flow, earlier=earlier)

    def __repr__(self) -> str:
        return f"<DPoPAuth {self._signer!r}>"


class TokenEndpointAuth(WaitingAuth):
    """Send a proof to the token endpoint, beside the client's own authentication.

    A proof is not client authentication (:rfc:`9449#section-3`): both are needed.

    :param signer: with the key that the token is to be bound to.
    :param client_auth: another ``auth`` of the library, which takes one request; a pair
        is HTTP Basic. It is applied to each attempt anew: the assertion of
        ``private_key_jwt`` is good for one. A transport that repeats the request is
        refused.
    :param audience: of the symmetric key to ask for; None asks for none.
    :param once: do not send the request again with the nonce that the server wants.
    :param pushed: for the endpoint for pushed requests (:rfc:`9126`).
    """

    #: httpx or httpx2.
    library: ModuleType

    requires_request_body = True
    requires_response_body = True

    def __init__(
        self,
        signer: ProofSigner,
        client_auth: Any = None,
        *,
        audience: Audience | None = None,
        once: bool = False,
        pushed: bool = False,
    ) -> None:
        if isinstance(client_auth, tuple):
            client_auth = self.library.BasicAuth(*client_auth)
        self._signer = signer
        self._client_auth = client_auth or self.library.Auth()
        self._audience = audience
        self._once = once
        self._pushed = pushed

    def auth_flow(self, request: Any) -> Sending:
        """Authenticate and sign *request*.

        :raises ValueError: its URL is plain http beyond this machine.
        """
        flow = self._signer.token_request(
            method=request.method,
            url=str(request.url),
            audience=self._audience,
            once=self._once,
            pushed=self._pushed,
        )
        yield from send_signed(
            request, flow, earlier=[], prepare=self._authenticate, with_body=True
        )

    def _authenticate(self, request: Any, attempt: Attempt) -> Any:
        fields = request.headers.copy()
        fields.update(PLAIN_FIELDS)
        content = request.content
        if content:
            content = extend_form(content, attempt.parameters())
            # The library counts anew.
            fields.pop("Content-Length", None)
        copy = self.library.Request(
            request.method,
            request.url,
            headers=fields,
            content=content,
            extensions=request.extensions,
        )
        authenticated = next(self._client_auth.auth_flow(copy))
        refuse = partial(
            self.library.RemoteProtocolError,
            "A grant is sent once: no redirect and no repetition takes it along.",
            request=authenticated,
        )
        authenticated.stream = once_stream(self.library)(authenticated.content, refuse)
        return authenticated

    def __repr__(self) -> str:
        return f"<DPoPTokenAuth {self._signer!r}>"
