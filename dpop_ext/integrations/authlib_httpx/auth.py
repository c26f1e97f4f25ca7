"""The token of a client, and the proofs of its requests: :rfc:`9449#section-7.1`."""

from __future__ import annotations

from functools import partial
from typing import Any

from authlib.integrations.httpx_client import OAuth2Auth as AuthlibAuth

from dpop_ext.integrations.authlib_httpx.library import library
from dpop_ext.integrations.bound_token_auth import BoundTokenAuth
from dpop_ext.integrations.httpx_auth.arguments import ResourceAuth
from dpop_ext.integrations.httpx_auth.signed_request import Sending
from dpop_ext.integrations.httpx_auth.waiting import WaitingAuth


class OAuth2Auth(BoundTokenAuth, WaitingAuth, AuthlibAuth):
    """Signs the requests of a client with its token."""

    @property
    def requires_request_body(self) -> bool:  # type: ignore[override]
        """Whether a hook of Authlib is there, which is shown the body."""
        return bool(self.hooks)

    def auth_flow(self, request: Any) -> Sending:
        """Sign *request*.

        :raises UnsupportedTokenTypeError: the token is not of the type ``DPoP``.
        """
        token = self.bound_token()
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
