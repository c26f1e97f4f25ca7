"""``auth=`` arguments of requests: :rfc:`9449#section-7.1`, and section 5."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from authlib.integrations.requests_client import OAuth2Auth as AuthlibAuth
from requests.auth import AuthBase, HTTPBasicAuth
from requests.models import PreparedRequest, Request
from requests.sessions import Session

from dpop_ext.client.audience import Audience
from dpop_ext.client.auth_arguments import require_signer, require_token
from dpop_ext.client.exchange import Flow, Outcome
from dpop_ext.client.protection import Protection
from dpop_ext.client.rehearsal import RehearsalFlow
from dpop_ext.client.signer import ProofSigner
from dpop_ext.integrations.bound_token_auth import BoundTokenAuth
from dpop_ext.integrations.requests_client.rehearsal import rehearse
from dpop_ext.integrations.requests_client.signed_request import Exchange

ClientAuth: TypeAlias = (
    Callable[[PreparedRequest], PreparedRequest] | tuple[str, str] | None
)


class DPoPAuth(AuthBase):
    """Send a bound access token with a new proof for each attempt.

    ::

        requests.get("https://api.example/me", auth=DPoPAuth(signer, access_token))

    A redirect is signed anew on the same origin, and goes anywhere else without token
    and proof. Retries that urllib3 makes are safe.

    :param signer: made with the key that the token is bound to.
    :param access_token: as the token endpoint returned it.
    :param finish: called with the outcome of each request.
    :param protection: what is authenticated besides; None is that of *signer*. With
        ``authenticated_responses``, a response is read as a whole before anybody gets
        any of it, and :func:`response_authentication` says how it was authenticated;
        :exc:`~dpop_ext.ResponseProofError` is all that comes of any other. A redirect
        is followed to the same origin only.
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

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Sign *request*.

        :raises ValueError: its URL is plain http beyond this machine; or, with a
            protection, its body can be read once only, or it is conditional.
        :raises ResponseProofError: responses are to be authenticated, and there is no
            key to do so with.
        """
        exchange = Exchange(
            request,
            self._begin,
            finish=self._finish,
            protection=self._protection,
            rehearse=self._rehearse,
        )
        exchange.prepare(request)
        return request

    def _begin(
        self,
        method: str,
        url: str,
        replayable: bool,  # noqa: FBT001
        content: str | None,
    ) -> Flow:
        return self._signer.resource_request(
            method=method,
            url=url,
            access_token=self._access_token,
            replayable=replayable,
            content=content,
            protection=self._protection,
        )

    def prefetch_nonce(
        self, session: Session, url: str, *, method: str = "POST", **kwargs: Any
    ) -> None:
        """Fetch a nonce before a request that is not to be refused for want of one.

        One ``HEAD`` request goes out, with a proof that no server accepts; one without
        any credentials, if the route has no ``HEAD``; none, if the nonce is known.
        :class:`.OAuth2Session` asks by itself where a body can be sent once only.

        :param session: that sends it.
        :param url: of the request to come.
        :param method: of the request to come.
        :param kwargs: as of :meth:`requests.Session.send`, such as ``timeout``.
        :raises ValueError: the URL is plain http beyond this machine.
        """
        flow = self._rehearse(method, url)
        if flow is None:
            return
        bare = session.prepare_request(Request(method, url, auth=_unauthenticated))
        settings = session.merge_environment_settings(
            bare.url, {}, None, kwargs.pop("verify", None), kwargs.pop("cert", None)
        )
        rehearse(session, bare, flow, **{**settings, **kwargs})

    def _rehearse(self, method: str, url: str) -> RehearsalFlow | None:
        return self._signer.rehearsal(
            method=method, url=url, access_token=self._access_token
        )

    def __repr__(self) -> str:
        return f"<DPoPAuth {self._signer!r}>"


class DPoPTokenAuth(AuthBase):
    """Send a proof to the token endpoint, beside the client's own authentication.

    A proof is not client authentication (:rfc:`9449#section-3`): both are needed.

    :param signer: with the key that the token is to be bound to.
    :param client_auth: another ``auth`` of requests; a pair is HTTP Basic. It is
        applied to each attempt anew, those that urllib3 makes by its ``Retry``
        included.
    :param audience: of the symmetric key to ask for; None asks for none.
    :param once: do not send the request again with the nonce that the server wants.
    :param pushed: for the endpoint for pushed requests (:rfc:`9126`).
    """

    def __init__(
        self,
        signer: ProofSigner,
        client_auth: ClientAuth = None,
        *,
        audience: Audience | None = None,
        once: bool = False,
        pushed: bool = False,
    ) -> None:
        if isinstance(client_auth, tuple):
            client_auth = HTTPBasicAuth(*client_auth)
        self._signer = signer
        self._authenticate = client_auth or _unauthenticated
        self._audience = audience
        self._once = once
        self._pushed = pushed

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Authenticate and sign *request*.

        :raises ValueError: its URL is plain http beyond this machine.
        """
        exchange = Exchange(request, self._begin, authenticate=self._authenticate)
        exchange.prepare(request)
        return request

    def _begin(
        self,
        method: str,
        url: str,
        replayable: bool,  # noqa: FBT001
        content: str | None,
    ) -> Flow:
        return self._signer.token_request(
            method=method,
            url=url,
            audience=self._audience,
            once=self._once,
            pushed=self._pushed,
        )

    def __repr__(self) -> str:
        return f"<DPoPTokenAuth {self._signer!r}>"


class OAuth2Auth(BoundTokenAuth, AuthlibAuth):
    """Signs the requests of an :class:`.OAuth2Session`.

    The method of the base class for this looks the token type up in a dict that all
    sessions of the process share, and is not told the HTTP method.
    """

    def __call__(self, req: PreparedRequest) -> PreparedRequest:
        """Refresh an expired token, then sign.

        :raises UnsupportedTokenTypeError: the token is not of the type ``DPoP``.
        """
        self.ensure_active_token()
        token = self.bound_token()
        for hook in self.hooks:
            req.url, req.headers, req.body = hook(req.url, req.headers, req.body)
        access_token = token["access_token"]
        finish = partial(self.client.finish, access_token)
        return DPoPAuth(self.client.dpop, access_token, finish=finish)(req)


def _unauthenticated(request: PreparedRequest) -> PreparedRequest:
    return request
