"""Authlib's AsyncOAuth2Client with bound tokens: :rfc:`9449`, sections 5, 7, 10."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
from authlib.integrations.httpx_client import AsyncOAuth2Client as AuthlibAsyncClient

from dpop_ext.client.answer_limit import LimitedContent
from dpop_ext.client.key_material import KeyMaterial
from dpop_ext.client.session_bundle import SessionBundle
from dpop_ext.client.signer import ProofSigner
from dpop_ext.integrations.authlib_httpx.asyncio_renewal import AsyncRefresh
from dpop_ext.integrations.authlib_httpx.asyncio_session import AsyncioSession
from dpop_ext.integrations.authlib_httpx.library import NonceAuth, TokenAuth
from dpop_ext.integrations.authlib_httpx.options import HttpxOptions, client_options
from dpop_ext.integrations.bound_session import NO_GRANT
from dpop_ext.integrations.httpx_auth.limited import limit, limit_request
from dpop_ext.integrations.session_resource import Resource

#: It carries a credential of its own, and no redirect is of interest.
_REHEARSAL = {"withhold_token": True, "follow_redirects": False}


class AsyncOAuth2Client(HttpxOptions, AsyncioSession, AuthlibAsyncClient):
    """:class:`OAuth2Client` for asyncio.

    :param refresh: ``background``, after 0 to 10 seconds in a task; ``foreground``,
        before the response is returned; or a function that runs a job when it likes.
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
        refresh: AsyncRefresh = "background",
        **kwargs: Any,
    ) -> None:
        super().__init__(client_id, client_secret, **client_options(kwargs))
        self.set_schedule(refresh)
        resources = Resource(issuer, resource, resource_bases, key_material)
        self.bind(dpop, resources, bundle)

    async def prefetch_nonce(
        self, url: str | None = None, *, method: str = "POST"
    ) -> None:
        """Fetch a nonce as :meth:`OAuth2Client.prefetch_nonce` does."""
        if url is not None:
            if self.dpop.needs_nonce(url, "rs"):
                auth: Any = NonceAuth.of(self)
                await self.request(method, url, auth=auth, **_REHEARSAL)
            return
        url = self.metadata["token_endpoint"]
        if self.dpop.needs_nonce(url, "as"):
            client_auth = self.client_auth(self.token_endpoint_auth_method)
            auth = TokenAuth(self.dpop, client_auth, once=True)
            await self.request("POST", url, data=NO_GRANT, auth=auth, **_REHEARSAL)

    async def request(self, method: str, url: Any, *args: Any, **kwargs: Any) -> Any:
        """Send a request with the token, and refresh it if that is due."""
        response = await super().request(method, url, *args, **kwargs)
        await self.renew_if_due()
        return response

    async def send(self, request: Any, **kwargs: Any) -> Any:
        """Send a request; errors as of :class:`OAuth2Client`."""
        limited = limit_request(request)
        if not limited and not isinstance(kwargs.get("auth"), TokenAuth):
            return await super().send(request, **kwargs)
        with anyio.move_on_after(self.token_deadline):
            if limited:
                kwargs["stream"] = True
            response = await super().send(request, **kwargs)
            if limited:
                await _read_limited(response)
            return response
        raise LimitedContent().late()

    @asynccontextmanager
    async def stream(
        self, method: str, url: Any, *args: Any, **kwargs: Any
    ) -> AsyncIterator[Any]:
        """Send a request with the token; do not read the response ahead."""
        async with super().stream(method, url, *args, **kwargs) as response:
            await self.renew_if_due()
            yield response


async def _read_limited(response: Any) -> None:
    try:
        limit(response)
        await response.aread()
    except BaseException:
        with anyio.CancelScope(shield=True):
            await response.aclose()
        raise
