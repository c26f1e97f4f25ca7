"""Authlib's OAuth2Client with bound tokens: :rfc:`9449`, sections 5, 7 and 10."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from authlib.integrations.httpx_client import OAuth2Client as AuthlibClient

from dpop_ext.client.answer_limit import LimitedContent
from dpop_ext.client.audience import Audience
from dpop_ext.client.key_material import KeyMaterial
from dpop_ext.client.session_bundle import SessionBundle
from dpop_ext.client.signer import ProofSigner
from dpop_ext.client.time_limit import within
from dpop_ext.integrations.authlib_httpx.library import NonceAuth, TokenAuth
from dpop_ext.integrations.authlib_httpx.options import HttpxOptions, client_options
from dpop_ext.integrations.blocking_session import BlockingSession, Refresh
from dpop_ext.integrations.httpx_auth.limited import limit, limit_request
from dpop_ext.integrations.session_resource import Resource


class OAuth2Client(HttpxOptions, BlockingSession, AuthlibClient):
    """An OAuth 2 client of httpx whose tokens are bound to a key.

    Arguments and behaviour are those of
    :class:`~dpop_ext.integrations.requests_client.OAuth2Session`.
    """

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
        super().__init__(client_id, client_secret, **client_options(kwargs))
        self.set_schedule(refresh)
        resources = Resource(issuer, resource, resource_bases, key_material)
        self.bind(dpop, resources, bundle)

    def send(self, request: Any, **kwargs: Any) -> Any:
        """Send a request.

        :raises ServerAnswerError: it is one to the authorization server, and the answer
            is compressed, has more than 128 KiB, or does not come in ``token_deadline``
            seconds.
        """
        send = partial(super().send, request, **kwargs)
        if limit_request(request):
            send = partial(_read_limited, partial(send, stream=True))
        elif not isinstance(kwargs.get("auth"), TokenAuth):
            return send()
        late, url = LimitedContent().late, str(request.url)
        return within(self.token_deadline, send, late=late, url=url)

    def prefetch_nonce(self, url: str | None = None, *, method: str = "POST") -> None:
        """Fetch a nonce before a request that is not to be refused for want of one.

        Bodies that can be sent once only need no such call.

        :param url: of the request to come, to a resource server; None is the token
            endpoint, before a code is sent there that is good once.
        :param method: of the request to come.
        :raises UnboundTokenError: there is no bound token yet to ask with.
        """
        if url is None:
            self.prefetch_token_nonce()
        elif self.dpop.needs_nonce(url, "rs"):
            self.request(
                method,
                url,
                auth=NonceAuth.of(self),
                withhold_token=True,
                follow_redirects=False,
            )

    def token_request_auth(
        self, client_auth: Any, audience: Audience | None, **options: bool
    ) -> Any:
        """Send a proof beside the client's own authentication."""
        return TokenAuth(self.dpop, client_auth, audience=audience, **options)


def _read_limited(send: Callable[[], Any]) -> Any:
    response = send()
    try:
        limit(response)
        response.read()
    except BaseException:
        response.close()
        raise
    return response
