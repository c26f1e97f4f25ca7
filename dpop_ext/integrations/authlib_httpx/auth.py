"""The token of a client, and the proofs of its requests: :rfc:`9449#section-7.1`."""

from __future__ import annotations

from functools import partial
from typing import Any

from authlib.integrations.base_client import UnsupportedTokenTypeError
from authlib.integrations.httpx_client import OAuth2Auth as AuthlibAuth

from dpop_ext.client.token_response import is_bound, require_bound
from dpop_ext.integrations.authlib_httpx.library import library
from dpop_ext.integrations.httpx_auth.arguments import ResourceAuth
from dpop_ext.integrations.httpx_auth.signed_request import Sending
from dpop_ext.integrations.httpx_auth.waiting import WaitingAuth


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
