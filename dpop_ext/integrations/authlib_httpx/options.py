"""What both clients of httpx tell the library and Authlib: :rfc:`9449#section-5`."""

from __future__ import annotations

from typing import Any

from authlib.integrations.httpx_client import OAuth2Client

from dpop_ext.integrations.authlib_httpx.auth import OAuth2Auth
from dpop_ext.integrations.httpx_auth.direct import direct_mounts
from dpop_ext.integrations.httpx_auth.limited import LIMITED


class HttpxOptions:
    """Mixed into a client of Authlib, before the session."""

    token_auth_class = OAuth2Auth
    # What Authlib hands on of the arguments of revoke_token.
    SESSION_REQUEST_PARAMS = (*OAuth2Client.SESSION_REQUEST_PARAMS, "extensions")

    def token_request_options(self) -> dict[str, Any]:
        """Follow no redirect: it would take the grant and the secret elsewhere."""
        return {"follow_redirects": False}

    def endpoint_options(self) -> dict[str, Any]:
        """Read no more of the answer than of one to a token request."""
        return self.token_request_options() | {"extensions": {LIMITED: True}}


def client_options(given: dict[str, Any]) -> dict[str, Any]:
    """Return *given* as Authlib's client gets it: with PKCE, and without a detour."""
    return given | {
        "code_challenge_method": given.get("code_challenge_method") or "S256",
        "mounts": direct_mounts(given.get("mounts"), proxy=given.get("proxy")),
    }
