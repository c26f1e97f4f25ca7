"""Authlib's OAuth2Session with bound tokens: :rfc:`9449`, sections 5, 7 and 10."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

from authlib.common.security import generate_token
from authlib.integrations.requests_client import OAuth2Session as AuthlibSession
from authlib.oauth2.rfc6749 import OAuth2Token

from dpop_ext.client.audience import Audience
from dpop_ext.client.exchange import Outcome
from dpop_ext.client.renewal import Schedule, in_background, in_foreground
from dpop_ext.client.signer import ProofSigner
from dpop_ext.errors import DPoPError, UnboundTokenError
from dpop_ext.integrations.requests_client.auth import DPoPTokenAuth, OAuth2Auth

_SCHEDULES: dict[str, Callable[[], Schedule]] = {
    "background": in_background,
    "foreground": lambda: in_foreground,
}

#: Seconds for a token request, if there is no ``default_timeout``.
TOKEN_TIMEOUT = 30

_log = logging.getLogger("dpop_ext.client")


class OAuth2Session(AuthlibSession):
    """An OAuth 2 session of requests whose tokens are bound to a key.

    Every token request and every request with a token carries a proof. A token of
    another type is refused, whatever asked for it. PKCE is used for each
    authorization: pass ``code_verifier`` as ever, or leave it to the session.

    A request that is refused for a stale symmetric key is repeated at once with an
    asymmetric proof, and the token is refreshed once, at a time that *refresh* tells.

    :param client_id: as of Authlib, which has the other arguments, too:
        ``token_endpoint``, ``scope``, ``redirect_uri``, ``update_token``, ...
    :param dpop: signer with the key that tokens are to be bound to.
    :param issuer: identifier of the authorization server. With *resource*, it lets
        token requests ask for a symmetric key.
    :param resource: identifier of the resource server, sent with authorization and
        token requests (:rfc:`8707`).
    :param resource_bases: URLs at or below which symmetric proofs may be sent, if not
        *resource* itself.
    :param refresh: ``background``, after 0 to 10 seconds in a thread; ``foreground``,
        before the response is returned; or a function that runs a job when it likes.
    :raises ValueError: a token placement other than the header, or a signer that must
        have symmetric keys and is not told issuer and resource.
    """

    token_auth_class = OAuth2Auth

    def __init__(
        self,
        client_id: str | None = None,
        client_secret: str | None = None,
        *,
        dpop: ProofSigner,
        issuer: str | None = None,
        resource: str | None = None,
        resource_bases: Sequence[str] = (),
        refresh: Literal["background", "foreground"] | Schedule = "background",
        **kwargs: Any,
    ) -> None:
        kwargs["code_challenge_method"] = kwargs.get("code_challenge_method") or "S256"
        # First of all: the destructor of the base class fails on half an object.
        super().__init__(client_id, client_secret, **kwargs)
        self.dpop = dpop
        #: The PKCE verifier of the last authorization URL made without one of your own.
        self.code_verifier: str | None = None
        self._issuer = issuer
        self._resource = resource
        self._resource_bases = resource_bases
        self._schedule = _SCHEDULES[refresh]() if isinstance(refresh, str) else refresh
        self._renewal = threading.RLock()
        self._renewed: str | None = None
        if self.token_auth.token_placement != "header":
            raise ValueError("A bound token goes into the header.")
        if dpop.symmetric == "must" and (issuer is None or resource is None):
            raise ValueError("A symmetric key is for one issuer and one resource.")
        if issuer is not None and resource is not None and dpop.symmetric != "never":
            Audience.of(issuer, resource, resource_bases)

    def create_authorization_url(
        self,
        url: str,
        state: str | None = None,
        code_verifier: str | None = None,
        **kwargs: Any,
    ) -> tuple[str, str]:
        """Add ``dpop_jkt``, the resource and PKCE to the authorization request."""
        if code_verifier is None and "code_challenge" not in kwargs:
            code_verifier = self.code_verifier = generate_token(48)
        kwargs.setdefault("dpop_jkt", self.dpop.jkt)
        self._set_resource(kwargs)
        made: tuple[str, str] = super().create_authorization_url(
            url, state=state, code_verifier=code_verifier, **kwargs
        )
        return made

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

        :raises UnboundTokenError: the token is of another type. It is not kept.
        :raises KeyDeliveryError: the signer must have a symmetric key, and did not
            accept the one that came. A refresh token is kept, the access token is not.
        :raises SymmetricUnavailableError: likewise, and no key came.
        """
        if "code" in kwargs or "authorization_response" in kwargs:
            kwargs.setdefault("code_verifier", self.code_verifier)
        kwargs.update(body=body, method=method, headers=headers)
        token = self._request_token(super().fetch_token, url, auth, kwargs)
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
        return self._request_token(super().refresh_token, url, auth, kwargs)

    def token_from_fragment(
        self, authorization_response: str, state: str | None = None
    ) -> OAuth2Token:
        """Refuse a token from the authorization endpoint: no proof was sent there.

        :raises UnboundTokenError: always.
        """
        raise UnboundTokenError

    def ensure_active_token(self, token: OAuth2Token | None = None) -> bool:
        """Refresh a token that has expired, once for all threads.

        :returns: whether there is a token to use.
        """
        if not self.token.is_expired(leeway=self.leeway):
            return True
        with self._renewal:
            token = self.token
            return bool(token and super().ensure_active_token(token))

    def react(self, access_token: str, outcome: Outcome) -> None:
        """Schedule the refresh that the outcome of a request calls for."""
        if not outcome.refresh_due:
            return
        with self._renewal:
            # Requests that were under way at the same time say the same.
            if self._renewed == access_token:
                return
            self._renewed = access_token
        self._schedule(partial(self._renew, access_token))

    def _renew(self, access_token: str) -> None:
        with self._renewal:
            token = self.token
            if not token or token.get("access_token") != access_token:
                return
            try:
                # The base class knows which grants can be repeated, and tells
                # update_token.
                super().ensure_active_token(OAuth2Token({**token, "expires_at": 0}))
            except Exception as error:  # noqa: BLE001  nobody is there to catch it
                # The present token still works. The class alone is logged: the text
                # can be the server's.
                _log.warning(
                    "refresh after a stale key failed: %s", type(error).__name__
                )

    def _request_token(
        self,
        request: Callable[..., OAuth2Token],
        url: str | None,
        auth: Any,
        kwargs: dict[str, Any],
    ) -> OAuth2Token:
        resource = self._set_resource(kwargs)
        # A redirect would take the grant and the client's secret elsewhere.
        kwargs.setdefault("allow_redirects", False)
        # Requests whose token has expired wait for this one.
        kwargs.setdefault("timeout", self.default_timeout or TOKEN_TIMEOUT)
        auth = DPoPTokenAuth(
            self.dpop,
            auth or self.client_auth(self.token_endpoint_auth_method),
            audience=self._audience(resource),
        )
        token = request(url, auth=auth, **kwargs)
        try:
            self.dpop.require_symmetric_key(token)
        except DPoPError:
            # The access token is given up; the refresh token is new, and may be the
            # only good one. Expired, so that the next request starts with a refresh.
            kept = {**token, "expires_at": 0}
            del kept["access_token"]
            renewable = "refresh_token" in kept
            self.token_auth.token = OAuth2Token(kept) if renewable else None
            raise
        return token

    def _set_resource(self, kwargs: dict[str, Any]) -> Any:
        if self._resource is not None:
            kwargs.setdefault("resource", self._resource)
        return kwargs.get("resource")

    def _audience(self, resource: object) -> Audience | None:
        if self._issuer is None or not isinstance(resource, str):
            return None
        bases = self._resource_bases if resource == self._resource else ()
        try:
            return Audience.of(self._issuer, resource, bases)
        except ValueError:
            # Another resource for this one request, and no URL: no place is known
            # where a symmetric proof might be sent.
            return None
