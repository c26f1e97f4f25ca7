"""Authlib's OAuth2Session with bound tokens: :rfc:`9449`, sections 5, 7 and 10."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from authlib.integrations.requests_client import OAuth2Session as AuthlibSession
from requests.models import PreparedRequest, Response

from dpop_ext.client.answer_limit import PLAIN_FIELDS, LimitedContent
from dpop_ext.client.audience import Audience
from dpop_ext.client.key_material import KeyMaterial
from dpop_ext.client.session_bundle import SessionBundle
from dpop_ext.client.signer import ProofSigner
from dpop_ext.client.time_limit import within
from dpop_ext.client.token_response import require_bound
from dpop_ext.integrations.blocking_session import BlockingSession, Refresh
from dpop_ext.integrations.bound_session import TOKEN_TIMEOUT
from dpop_ext.integrations.requests_client.auth import (
    DPoPAuth,
    DPoPTokenAuth,
    OAuth2Auth,
)
from dpop_ext.integrations.requests_client.direct import DirectSession
from dpop_ext.integrations.requests_client.rehearsal import rehearsal_of, rehearse
from dpop_ext.integrations.requests_client.reply import is_limited, limit_answer
from dpop_ext.integrations.requests_client.signed_request import is_token_request
from dpop_ext.integrations.session_resource import Resource


class OAuth2Session(BlockingSession, AuthlibSession, DirectSession):
    """An OAuth 2 session of requests whose tokens are bound to a key.

    Every token request and every request with a token carries a proof. A token of
    another type is refused, whatever asked for it. PKCE is used for each
    authorization: pass ``code_verifier`` as ever, or leave it to the session.

    A request that is refused for a stale symmetric key is repeated at once with an
    asymmetric proof, and the token is refreshed once, at a time that *refresh* tells.

    :param client_id: as of Authlib, which has the other arguments, too:
        ``token_endpoint``, ``scope``, ``redirect_uri``, ``update_token``, ...
    :param dpop: signer with the key that tokens are to be bound to.
    :param bundle: in place of *dpop* and ``token``: the session of an earlier process,
        or of several at once. Each new token is saved in it.
    :param issuer: identifier of the authorization server. With *resource*, it lets
        token requests ask for a symmetric key.
    :param resource: identifier of the resource server, sent with authorization and
        token requests (:rfc:`8707`).
    :param resource_bases: URLs at or below which symmetric proofs may be sent, if not
        *resource* itself.
    :param key_material: contributes to keys that the authorization server encrypts for
        the resource server; None does not.
    :param refresh: ``background``, after 0 to 10 seconds in a thread; ``foreground``,
        before the response is returned; or a function that runs a job when it likes.
    :raises ValueError: neither signer nor bundle, or both; a token placement other than
        the header; or a signer that must have symmetric keys and is not told issuer and
        resource.
    :raises UnboundTokenError: the token in the bundle is of another type.
    """

    token_auth_class = OAuth2Auth

    def __init__(
        self,
        client_id: str | None = None,
        client_secret: str | None = None,
        *,
        dpop: ProofSigner | None = None,
        bundle: SessionBundle | None = None,
        issuer: str | None = None,
        resource: str | None = None,
        resource_bases: Sequence[str] = (),
        key_material: KeyMaterial | None = None,
        refresh: Refresh = "background",
        **kwargs: Any,
    ) -> None:
        kwargs["code_challenge_method"] = kwargs.get("code_challenge_method") or "S256"
        # First of all: the destructor of the base class fails on half an object.
        super().__init__(client_id, client_secret, **kwargs)  # type: ignore[call-arg]
        self.set_schedule(refresh)
        resources = Resource(issuer, resource, resource_bases, key_material)
        self.bind(dpop, resources, bundle)

    def send(self, request: PreparedRequest, **kwargs: Any) -> Response:
        """Send a request, and ask for a nonce first if its body can be sent once only.

        With two requests at most, which can do nothing, and only if no nonce of the
        server is known that is new enough.

        :raises ServerAnswerError: it is one to the authorization server, and the answer
            is compressed, has more than 128 KiB, or does not come in ``token_deadline``
            seconds.
        """
        rehearsal = rehearsal_of(request)
        if rehearsal is not None:
            rehearse(self, request, rehearsal, **kwargs)
        send = partial(super().send, request, **kwargs)
        response: Response
        if is_limited(request):
            request.headers.update(PLAIN_FIELDS)
        elif not is_token_request(request):
            response = send()
            return response
        late = LimitedContent().late
        response = within(self.token_deadline, send, late=late, url=request.url)
        return response

    def prefetch_nonce(
        self, url: str | None = None, *, method: str = "POST", **kwargs: Any
    ) -> None:
        """Fetch a nonce before a request that is not to be refused for want of one.

        Bodies that can be sent once only need no such call: :meth:`send` does it.

        :param url: of the request to come, to a resource server; None is the token
            endpoint, before a code is sent there that is good once.
        :param method: of the request to come.
        :param kwargs: such as ``timeout``.
        :raises UnboundTokenError: there is no bound token yet to ask with.
        """
        if url is None:
            self.prefetch_token_nonce()
            return
        require_bound(self.token or {})
        auth = DPoPAuth(self.dpop, self.token["access_token"])
        if self.default_timeout:
            kwargs.setdefault("timeout", self.default_timeout)
        auth.prefetch_nonce(self, url, method=method, **kwargs)

    def token_request_options(self) -> dict[str, Any]:
        """Follow no redirect, and end in time."""
        return {
            # It would take the grant and the client's secret elsewhere.
            "allow_redirects": False,
            # Requests whose token has expired wait for this one.
            "timeout": self.default_timeout or TOKEN_TIMEOUT,
        }

    def endpoint_options(self) -> dict[str, Any]:
        """Read no more of the answer than of one to a token request."""
        return self.token_request_options() | {"hooks": {"response": limit_answer}}

    def token_request_auth(
        self, client_auth: Any, audience: Audience | None, **options: bool
    ) -> Any:
        """Send a proof beside the client's own authentication."""
        return DPoPTokenAuth(self.dpop, client_auth, audience=audience, **options)
