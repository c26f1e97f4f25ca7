"""Authlib's clients of httpx with bound tokens: :rfc:`9449`, sections 5, 7 and 10.

Authlib takes httpx2 where it is installed, and httpx otherwise. Importing this needs
the extra ``httpx2`` or ``httpx``.
"""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Literal

import anyio
from authlib.integrations.base_client import UnsupportedTokenTypeError
from authlib.integrations.httpx_client import AsyncOAuth2Client as AuthlibAsyncClient
from authlib.integrations.httpx_client import OAuth2Auth as AuthlibAuth
from authlib.integrations.httpx_client import OAuth2Client as AuthlibClient
from authlib.integrations.httpx_client._compat import httpx2 as library
from authlib.oauth2.rfc6749 import OAuth2Token

from dpop_ext.client.audience import Audience
from dpop_ext.client.authorization_request import AuthorizationRequest
from dpop_ext.client.exchange import Outcome, Reply
from dpop_ext.client.key_material import KeyMaterial
from dpop_ext.client.renewal import uniform_jitter
from dpop_ext.client.session_bundle import LOCK_INTERVAL, SessionBundle, lock_deadline
from dpop_ext.client.signer import ProofSigner
from dpop_ext.client.token_response import is_bound, require_bound
from dpop_ext.integrations.blocking_session import BlockingSession, Refresh
from dpop_ext.integrations.bound_session import (
    BoundSession,
    Resource,
    log_failed_renewal,
    log_unsaved,
)
from dpop_ext.integrations.httpx_auth.arguments import (
    ResourceAuth,
    TokenEndpointAuth,
    WaitingAuth,
)
from dpop_ext.integrations.httpx_auth.discovery import (
    AsyncioDiscovery,
    BlockingDiscovery,
)
from dpop_ext.integrations.httpx_auth.signed_request import Sending

__all__ = ["AsyncDiscovery", "AsyncOAuth2Client", "Discovery", "OAuth2Client"]

#: Runs a job of an asyncio client at the time of its choice, once.
AsyncSchedule = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]

#: A redirect would take the grant and the client's secret elsewhere.
_TOKEN_REQUEST = {"follow_redirects": False}


class _TokenAuth(TokenEndpointAuth, library.Auth):
    library = library


class Discovery(BlockingDiscovery):
    """Finds servers by their metadata: see :class:`.BlockingDiscovery`."""

    library = library


class AsyncDiscovery(AsyncioDiscovery):
    """Finds servers by their metadata: see :class:`.AsyncioDiscovery`."""

    library = library


class OAuth2Auth(WaitingAuth, AuthlibAuth):
    """Signs the requests of a client with its token."""

    @property
    def requires_request_body(self) -> bool:  # type: ignore[override]
        """Whether a hook of Authlib is there, which is shown the body."""
        return bool(self.hooks)

    def set_token(self, token: dict[str, Any] | None) -> None:
        """Use *token* from now on.

        :raises UnboundTokenError: it is not of the type ``DPoP``; the one before
            stays.
        """
        if token is not None:
            require_bound(token)
        before = self.token
        super().set_token(token)
        if before and before.get("access_token") != (token or {}).get("access_token"):
            self.client.dpop.forget(before.get("access_token", ""))

    def auth_flow(self, request: Any) -> Sending:
        """Sign *request*.

        :raises UnsupportedTokenTypeError: the token is not of the type ``DPoP``.
        """
        token = self.token
        if not token or not is_bound(token):
            # Never as Bearer: whoever sees it there can use it.
            raise UnsupportedTokenTypeError(description="The token is not bound.")
        for hook in self.hooks:
            url, headers, body = hook(
                str(request.url), request.headers, request.content
            )
            request = library.Request(
                request.method,
                url,
                headers=headers,
                content=body,
                extensions=request.extensions,
            )
        access_token = token["access_token"]
        finish = partial(self.client.finish, access_token)
        auth = ResourceAuth(self.client.dpop, access_token, finish=finish)
        yield from auth.auth_flow(request)


class OAuth2Client(BlockingSession, AuthlibClient):
    """An OAuth 2 client of httpx whose tokens are bound to a key.

    Arguments and behaviour are those of
    :class:`~dpop_ext.integrations.requests_client.OAuth2Session`.
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
        super().__init__(client_id, client_secret, **kwargs)
        self.set_schedule(refresh)
        resources = Resource(issuer, resource, resource_bases, key_material)
        self.bind(dpop, resources, bundle)

    def token_request_options(self) -> dict[str, Any]:
        """Follow no redirect."""
        return _TOKEN_REQUEST

    def token_request_auth(self, client_auth: Any, audience: Audience | None) -> Any:
        """Send a proof beside the client's own authentication."""
        return _TokenAuth(self.dpop, client_auth, audience=audience)


class AsyncOAuth2Client(BoundSession, AuthlibAsyncClient):
    """:class:`OAuth2Client` for asyncio.

    :param refresh: ``background``, after 0 to 10 seconds in a task; ``foreground``,
        before the response is returned; or a function that runs a job when it likes.
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
        refresh: Literal["background", "foreground"] | AsyncSchedule = "background",
        **kwargs: Any,
    ) -> None:
        kwargs["code_challenge_method"] = kwargs.get("code_challenge_method") or "S256"
        super().__init__(client_id, client_secret, **kwargs)
        self._refresh = refresh
        #: The loop itself holds a task only weakly.
        self._tasks: set[asyncio.Task[None]] = set()
        self._due: str | None = None
        resources = Resource(issuer, resource, resource_bases, key_material)
        self.bind(dpop, resources, bundle)

    async def start_authorization(self, **parameters: Any) -> AuthorizationRequest:
        """Begin the authorization code flow, as :class:`OAuth2Client` does."""
        draft = self.draft_authorization(parameters)
        if draft.push_to is None:
            return draft.plain()
        auth = _TokenAuth(self.dpop, self.client_auth(self.token_endpoint_auth_method))
        response = await self.request(
            "POST",
            draft.push_to,
            data=self.pushed_form(draft),
            auth=auth,
            withhold_token=True,
            **_TOKEN_REQUEST,
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
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
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
        job = partial(self._renew, access_token)
        if self._refresh == "foreground":
            await job()
        elif callable(self._refresh):
            self._refresh(job)
        else:
            task = asyncio.create_task(_later(job, uniform_jitter()))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

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
        self.set_resource(kwargs)
        for name, value in _TOKEN_REQUEST.items():
            kwargs.setdefault(name, value)
        auth = _TokenAuth(
            self.dpop,
            auth or self.client_auth(self.token_endpoint_auth_method),
            audience=self._resource.audience(kwargs.get("resource")),
        )
        token: OAuth2Token = self.accept(await request(url, auth=auth, **kwargs))
        if self._bundle is not None:
            async with _locked(self._bundle):
                self._bundle.save(token)
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


async def _later(job: Callable[[], Awaitable[None]], delay: float) -> None:
    await asyncio.sleep(delay)
    await job()
