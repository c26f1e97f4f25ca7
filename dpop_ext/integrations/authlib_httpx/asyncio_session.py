"""Sessions with bound tokens whose calls are awaited: :rfc:`9449`, sections 5, 7, 10.

:mod:`dpop_ext.integrations.blocking_session` is for those that are not.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
from authlib.oauth2.rfc6749 import OAuth2Token

from dpop_ext.client.authorization_request import (
    AuthorizationDraft,
    AuthorizationRequest,
)
from dpop_ext.client.bundle_lock import LOCK_INTERVAL, lock_deadline
from dpop_ext.client.exchange import Outcome, Reply
from dpop_ext.client.session_bundle import SessionBundle
from dpop_ext.integrations.authlib_httpx.asyncio_renewal import AsyncRefresh, Renewals
from dpop_ext.integrations.authlib_httpx.library import TokenAuth
from dpop_ext.integrations.bound_session import (
    BoundSession,
    log_failed_renewal,
    log_unsaved,
)


class AsyncioSession(BoundSession):
    """Mixed into an asynchronous session of Authlib, before it."""

    _renewals: Renewals
    #: The access token that a refresh is called for.
    _due: str | None = None

    def set_schedule(self, refresh: AsyncRefresh) -> None:
        """Choose when a refresh takes place that nothing waits for."""
        self._renewals = Renewals(refresh)

    async def start_authorization(self: Any, **parameters: Any) -> AuthorizationRequest:
        """Begin the authorization code flow, as :class:`OAuth2Client` does."""
        draft: AuthorizationDraft = self.draft_authorization(parameters)
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
        request = super().fetch_token  # type: ignore[misc]
        token = await self._request_token(request, url, auth, kwargs)
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
        request = super().refresh_token  # type: ignore[misc]
        return await self._request_token(request, url, auth, kwargs)

    async def aclose(self) -> None:
        """Close the connections.

        A refresh that is under way ends first; one that is still to come is given up.
        """
        await self._renewals.end()
        await self._save_news()
        await super().aclose()  # type: ignore[misc]

    async def __aexit__(self, *exc_info: object) -> None:
        """Close the client as :meth:`aclose` does."""
        await self.aclose()
        await super().__aexit__(*exc_info)  # type: ignore[misc]

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

    async def renew_if_due(self) -> None:
        """Refresh the token, or see to it, if a request has called for that."""
        access_token, self._due = self._due, None
        if access_token is None:
            return
        await self._renewals.run(partial(self._renew, access_token))

    async def ensure_active_token(self: Any, token: OAuth2Token) -> None:
        """Refresh a token that has expired, once for all tasks and processes.

        That goes on if this request is cancelled.
        """
        if self.token.is_expired(leeway=self.leeway):
            await self._renewals.share(self._refresh_expired)

    async def _refresh_expired(self: Any) -> None:
        async with self._alone():
            await super().ensure_active_token(self.token)  # type: ignore[misc]

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Hold off the processes that share the bundle, and learn what they did."""
        if self._bundle is None:
            yield
            return
        async with _locked(self._bundle):
            self.adopt()
            yield

    async def _renew(self: Any, access_token: str) -> None:
        try:
            async with self._alone(), self._token_refresh_lock:
                token = self.token
                if not token or token.get("access_token") != access_token:
                    return
                await self._replace(token)
        except Exception as error:  # noqa: BLE001  nobody is there to catch it
            log_failed_renewal(error)

    async def _replace(self: Any, token: OAuth2Token) -> None:
        url = self.metadata.get("token_endpoint")
        if url and "refresh_token" in token:
            await self.refresh_token(url, refresh_token=token["refresh_token"])
        elif self.metadata.get("grant_type") == "client_credentials":
            new = await self.fetch_token(url, grant_type="client_credentials")
            if self.update_token:
                await self.update_token(new, access_token=token["access_token"])

    async def _request_token(
        self: Any,
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
        before = self.token
        try:
            token: OAuth2Token = self.accept(await request(url, auth=auth, **kwargs))
        finally:
            if self.is_to_be_saved(before):
                async with _locked(self._bundle):
                    self.save_token()
        return token


@asynccontextmanager
async def _locked(bundle: SessionBundle) -> AsyncIterator[None]:
    """Lock *bundle*; other tasks go on while this one waits."""
    deadline = lock_deadline()
    # Another process sets no event.
    while (lock := bundle.try_lock(deadline)) is None:  # noqa: ASYNC110
        await anyio.sleep(LOCK_INTERVAL)
    with lock:
        yield
