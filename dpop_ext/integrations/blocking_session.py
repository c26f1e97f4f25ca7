"""Sessions with bound tokens whose calls return when they are done: :rfc:`9449`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

from authlib.oauth2.rfc6749 import OAuth2Token

from dpop_ext.client.audience import Audience
from dpop_ext.client.authorization_request import (
    AuthorizationDraft,
    AuthorizationRequest,
)
from dpop_ext.client.exchange import Outcome, Reply
from dpop_ext.client.renewal import Schedule, in_background, in_foreground
from dpop_ext.integrations.bound_session import (
    NO_GRANT,
    BoundSession,
    log_failed_renewal,
    log_unsaved,
)

#: When the refresh takes place that a stale symmetric key calls for.
Refresh = Literal["background", "foreground"] | Schedule

_SCHEDULES: dict[str, Callable[[], Schedule]] = {
    "background": in_background,
    "foreground": lambda: in_foreground,
}


class BlockingSession(BoundSession, ABC):
    """Mixed into a session of Authlib, before it."""

    _schedule: Schedule

    def set_schedule(self, refresh: Refresh) -> None:
        """Choose when a refresh takes place that nothing waits for."""
        self._schedule = _SCHEDULES[refresh]() if isinstance(refresh, str) else refresh

    @abstractmethod
    def token_request_auth(
        self, client_auth: Any, audience: Audience | None, **options: bool
    ) -> Any:
        """Return the ``auth`` of a token request, or of a pushed one."""

    def prefetch_token_nonce(self: Any) -> None:
        """Fetch the nonce of the authorization server, if none is known.

        One request goes to the token endpoint, of a grant that is missing. A server
        that refuses a proof for want of a nonce leaves the code good, so that this is
        for servers that do not; and a pushed request has fetched the nonce already.
        """
        url = self.metadata["token_endpoint"]
        if self.dpop.needs_nonce(url, "as"):
            auth = self.token_request_auth(
                self.client_auth(self.token_endpoint_auth_method), None, once=True
            )
            self.request(
                "POST",
                url,
                data=NO_GRANT,
                auth=auth,
                withhold_token=True,
                **self.token_request_options(),
            )

    def start_authorization(self: Any, **parameters: Any) -> AuthorizationRequest:
        """Begin the authorization code flow, at the servers of this session.

        The request is pushed where the authorization server has a place for that. Send
        the browser to :attr:`.AuthorizationRequest.url`.

        :param parameters: further ones, such as ``prompt``.
        :raises AuthorizationRefusedError: the server did not take the request.
        :raises UnsupportedServerError: it has no authorization endpoint.
        :raises ValueError: the session has no servers: see :meth:`.for_servers`.
        """
        draft: AuthorizationDraft = self.draft_authorization(parameters)
        if draft.push_to is None:
            return draft.plain()
        response = self.request(
            "POST",
            draft.push_to,
            data=self.pushed_form(draft),
            auth=self.token_request_auth(
                self.client_auth(self.token_endpoint_auth_method), None, pushed=True
            ),
            withhold_token=True,
            **self.token_request_options(),
        )
        return draft.pushed(Reply(status=response.status_code, body=response.content))

    def finish_authorization(
        self, request: AuthorizationRequest, response: str | Mapping[str, str]
    ) -> OAuth2Token:
        """Get a bound token for the code in an authorization response.

        It is kept, and saved if there is a bundle.

        :param request: that of :meth:`start_authorization`, perhaps in another process.
        :param response: the URL that the browser came back to, or its parameters.
        :raises AuthorizationResponseError: as :meth:`.AuthorizationRequest.read_code`,
            or *request* was made for another server or another key.
        :raises UnboundTokenError: as :meth:`fetch_token`, which has other errors, too.
        """
        return self.fetch_token(**self.code_parameters(request, response))

    def fetch_token(
        self,
        url: str | None = None,
        body: str = "",
        method: str = "POST",
        headers: Any = None,
        auth: Any = None,
        **kwargs: Any,
    ) -> OAuth2Token:
        """Get a bound token, by any grant.

        :raises WrongIssuerError: the ``authorization_response`` is not of the server
            of :meth:`.for_servers`, or does not say so though it promised to.
        :raises UnboundTokenError: the token is of another type. It is not kept.
        :raises KeyDeliveryError: the signer must have a symmetric key, and did not
            accept the one that came. A refresh token is kept, the access token is not.
        :raises SymmetricUnavailableError: likewise, and no key came.
        """
        self.check_response(kwargs)
        self.set_code_verifier(kwargs)
        kwargs.update(body=body, method=method, headers=headers)
        request = super().fetch_token  # type: ignore[misc]
        token = self._request_token(request, url, auth, kwargs)
        self.code_verifier = None
        return token

    def refresh_token(
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
        return self._request_token(request, url, auth, kwargs)

    def ensure_active_token(self: Any, token: OAuth2Token | None = None) -> bool:
        """Refresh a token that has expired, once for all threads.

        :returns: whether there is a token to use.
        """
        if not self.token.is_expired(leeway=self.leeway):
            return True
        with self._renewal, self._alone():
            token = self.token
            return bool(token and super().ensure_active_token(token))  # type: ignore[misc]

    def close(self) -> None:
        """Save what servers told, if there is a bundle, and close the connections."""
        self._save_news()
        super().close()  # type: ignore[misc]

    def __exit__(self, *exc_info: object) -> None:
        """Close the session as :meth:`close` does."""
        self._save_news()
        super().__exit__(*exc_info)  # type: ignore[misc]

    def _save_news(self) -> None:
        if self._bundle is None:
            return
        # A refresh that is under way ends first: its thread would end with the process,
        # and the refresh token that was spent would be the one that is saved.
        with self._renewal:
            if not self._bundle.has_news:
                return
            try:
                with self._bundle.locked():
                    self._bundle.save(self._bundle.read_token())
            except Exception as error:  # noqa: BLE001  the token itself is saved
                log_unsaved(error)

    def finish(self, access_token: str, outcome: Outcome) -> None:
        """Schedule the refresh that the outcome of a request calls for."""
        job = partial(self._renew, access_token)
        self.react(access_token, outcome, partial(self._schedule, job))

    def _renew(self: Any, access_token: str) -> None:
        with self._renewal:
            try:
                with self._alone():
                    token = self.token
                    if not token or token.get("access_token") != access_token:
                        return
                    # The base class knows which grants can be repeated, and tells
                    # update_token.
                    super().ensure_active_token(  # type: ignore[misc]
                        OAuth2Token({**token, "expires_at": 0})
                    )
            except Exception as error:  # noqa: BLE001  nobody is there to catch it
                log_failed_renewal(error)

    @contextmanager
    def _alone(self: Any) -> Iterator[None]:
        """Hold off the processes that share the bundle, and learn what they did."""
        if self._bundle is None:
            yield
            return
        with self._bundle.locked():
            self.adopt()
            yield

    def _request_token(
        self: Any,
        request: Callable[..., OAuth2Token],
        url: str | None,
        auth: Any,
        kwargs: dict[str, Any],
    ) -> OAuth2Token:
        self.require_token_endpoint(url)
        self.set_resource(kwargs)
        for name, value in self.token_request_options().items():
            kwargs.setdefault(name, value)
        auth = self.token_request_auth(
            auth or self.client_auth(self.token_endpoint_auth_method),
            self._resource.audience(kwargs.get("resource")),
        )
        before = self.token
        try:
            token: OAuth2Token = self.accept(request(url, auth=auth, **kwargs))
        finally:
            if self.is_to_be_saved(before):
                with self._bundle.locked():
                    self.save_token()
        return token
