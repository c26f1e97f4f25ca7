"""Authlib's AsyncOAuth2Client with bound tokens: :rfc:`9449`, sections 5, 7, 10."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
from authlib.integrations.httpx_client import AsyncOAuth2Client as AuthlibAsyncClient
from authlib.oauth2.rfc6749 import OAuth2Token

from dpop_ext.client.answer_limit import LimitedContent
from dpop_ext.client.authorization_request import AuthorizationRequest
from dpop_ext.client.bundle_lock import LOCK_INTERVAL, lock_deadline
from dpop_ext.client.exchange import Outcome, Reply
from dpop_ext.client.key_material import KeyMaterial
from dpop_ext.client.session_bundle import SessionBundle
from dpop_ext.client.signer import ProofSigner
from dpop_ext.integrations.authlib_httpx.asyncio_renewal import AsyncRefresh, Renewals
from dpop_ext.integrations.authlib_httpx.auth import OAuth2Auth
from dpop_ext.integrations.authlib_httpx.library import NonceAuth, TokenAuth
from dpop_ext.integrations.bound_session import (
    NO_GRANT,
    BoundSession,
    log_failed_renewal,
    log_unsaved,
)
from dpop_ext.integrations.httpx_auth.direct import direct_mounts
from dpop_ext.integrations.httpx_auth.limited import LIMITED, limit, limit_request
from dpop_ext.integrations.session_resource import Resource

#: It carries a credential of its own, and no redirect is of interest.
_REHEARSAL = {"withhold_token": True, "follow_redirects": False}


class AsyncOAuth2Client(BoundSession, AuthlibAsyncClient):
    """:class:`OAuth2Client` for asyncio.

    :param refresh: ``background``, after 0 to 10 seconds in a task; ``foreground``,
        before the response is returned; or a function that runs a job when it likes.
    """

    token_auth_class = OAuth2Auth
    # What Authlib hands on of the arguments of revoke_token.
    SESSION_REQUEST_PARAMS = (*AuthlibAsyncClient.SESSION_REQUEST_PARAMS, "extensions")

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
        kwargs["code_challenge_method"] = kwargs.get("code_challenge_method") or "S256"
        kwargs["mounts"] = direct_mounts(
            kwargs.get("mounts"), proxy=kwargs.get("proxy")
        )
        super().__init__(client_id, client_secret, **kwargs)
        self._renewals = Renewals(refresh)
        self._due: str | None = None
        resources = Resource(issuer, resource, resource_bases, key_material)
        self.bind(dpop, resources, bundle)

    def token_request_options(self) -> dict[str, Any]:
        """Follow no redirect: it would take the grant and the secret elsewhere."""
        return {"follow_redirects": False}

    def endpoint_options(self) -> dict[str, Any]:
        """Read no more of the answer than of one to a token request."""
        return self.token_request_options() | {"extensions": {LIMITED: True}}

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

    async def start_authorization(self, **parameters: Any) -> AuthorizationRequest:
        """Begin the authorization code flow, as :class:`OAuth2Client` does."""
        draft = self.draft_authorization(parameters)
        if draft.push_to is None:
            return draft.plain()
        client_auth = self.client_auth(self.token_endpoint_auth_method)
        auth = TokenAuth(self.dpop, client_auth, pushed=True)
        response = await self.request(
            "POST",
            draft.push_to,
            data=self.pushed_form(draft),
            auth=auth,
            withhold_token=True,
            **self.token_request_options(),
        )
        return draft.pushed(Reply(status=response.status_code, body=response.content))

    async def finish_authorization(
        self, request: AuthorizationRequest, response: str | Mapping[str, str]
    ) -> OAuth2Token:
        """Get a bound token for a code; errors as of :class:`OAuth2Client`."""
        return await self.fetch_token(**self.code_parameters(request, response))

    async def fetch_token(
        self,
        url: str | None = None,
        body: str = "",
        method: str = "POST",
        headers: Any = None,
        auth: Any = None,
        **kwargs: Any,
    ) -> OAuth2Token:
        """Get a bound token, by any grant; errors as of :class:`OAuth2Client`."""
        self.check_response(kwargs)
        self.set_code_verifier(kwargs)
        kwargs.update(body=body, method=method, headers=headers)
        token = await self._request_token(super().fetch_token, url, auth, kwargs)
        self.code_verifier = None
        return token

    async def refresh_token(
        self,
        url: str | None = None,
        refresh_token: str | None = None,
        body: str = "",
        auth: Any = None,
        headers: Any = None,
        **kwargs: Any,
    ) -> OAuth2Token:
        """Get a new token for the refresh token; errors as :meth:`fetch_token`."""
        kwargs.update(refresh_token=refresh_token, body=body, headers=headers)
        return await self._request_token(super().refresh_token, url, auth, kwargs)

    async def request(self, method: str, url: Any, *args: Any, **kwargs: Any) -> Any:
        """Send a request with the token, and refresh it if that is due."""
        response = await super().request(method, url, *args, **kwargs)
        await self._renew_if_due()
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
            await self._renew_if_due()
            yield response

    async def aclose(self) -> None:
        """Close the connections, and give up a refresh that nobody waits for."""
        await self._renewals.cancel()
        await self._save_news()
        await super().aclose()

    async def __aexit__(self, *exc_info: object) -> None:
        """Close the client as :meth:`aclose` does."""
        await self.aclose()
        await super().__aexit__(*exc_info)

    async def _save_news(self) -> None:
        if self._bundle is None or not self._bundle.has_news:
            return
        try:
            async with _locked(self._bundle):
                self._bundle.save(self._bundle.read_token())
        except Exception as error:  # noqa: BLE001  the token itself is saved
            log_unsaved(error)

    def finish(self, access_token: str, outcome: Outcome) -> None:
        """Note the refresh that the outcome of a request calls for."""
        self.react(access_token, outcome, partial(self._set_due, access_token))

    def _set_due(self, access_token: str) -> None:
        self._due = access_token

    async def _renew_if_due(self) -> None:
        access_token, self._due = self._due, None
        if access_token is None:
            return
        await self._renewals.run(partial(self._renew, access_token))

    async def ensure_active_token(self, token: OAuth2Token) -> None:
        """Refresh a token that has expired, once for all tasks and processes."""
        if not self.token.is_expired(leeway=self.leeway):
            return
        async with self._alone():
            await super().ensure_active_token(self.token)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Hold off the processes that share the bundle, and learn what they did."""
        if self._bundle is None:
            yield
            return
        async with _locked(self._bundle):
            self.adopt()
            yield

    async def _renew(self, access_token: str) -> None:
        try:
            async with self._alone(), self._token_refresh_lock:
                token = self.token
                if not token or token.get("access_token") != access_token:
                    return
                await self._replace(token)
        except Exception as error:  # noqa: BLE001  nobody is there to catch it
            log_failed_renewal(error)

    async def _replace(self, token: OAuth2Token) -> None:
        url = self.metadata.get("token_endpoint")
        if url and "refresh_token" in token:
            await self.refresh_token(url, refresh_token=token["refresh_token"])
        elif self.metadata.get("grant_type") == "client_credentials":
            new = await self.fetch_token(url, grant_type="client_credentials")
            if self.update_token:
                await self.update_token(new, access_token=token["access_token"])

    async def _request_token(
        self,
        request: Callable[..., Awaitable[OAuth2Token]],
        url: str | None,
        auth: Any,
        kwargs: dict[str, Any],
    ) -> OAuth2Token:
        self.require_token_endpoint(url)
        self.set_resource(kwargs)
        for name, value in self.token_request_options().items():
            kwargs.setdefault(name, value)
        auth = TokenAuth(
            self.dpop,
            auth or self.client_auth(self.token_endpoint_auth_method),
            audience=self._resource.audience(kwargs.get("resource")),
        )
        token: OAuth2Token = self.accept(await request(url, auth=auth, **kwargs))
        if self._bundle is not None:
            async with _locked(self._bundle):
                self._bundle.save(token)
        return token


async def _read_limited(response: Any) -> None:
    try:
        limit(response)
        await response.aread()
    except BaseException:
        with anyio.CancelScope(shield=True):
            await response.aclose()
        raise


@asynccontextmanager
async def _locked(bundle: SessionBundle) -> AsyncIterator[None]:
    """Lock *bundle*; other tasks go on while this one waits."""
    deadline = lock_deadline()
    # Another process sets no event.
    while (lock := bundle.try_lock(deadline)) is None:  # noqa: ASYNC110
        await anyio.sleep(LOCK_INTERVAL)
    with lock:
        yield
