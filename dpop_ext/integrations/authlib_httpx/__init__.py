"""Authlib's clients of httpx with bound tokens: :rfc:`9449`, sections 5, 7 and 10.

Authlib takes httpx2 where it is installed, and httpx otherwise. Importing this needs
the extra ``httpx2`` or ``httpx``.
"""

from __future__ import annotations

from dpop_ext import extras

with extras.needs("httpx2"):
    from dpop_ext.integrations.authlib_httpx.asyncio_client import AsyncOAuth2Client
    from dpop_ext.integrations.authlib_httpx.auth import OAuth2Auth
    from dpop_ext.integrations.authlib_httpx.blocking_client import OAuth2Client
    from dpop_ext.integrations.authlib_httpx.library import (
        AsyncDiscovery,
        AsyncDPoPTransport,
        Discovery,
        DPoPTransport,
    )
    from dpop_ext.integrations.httpx_auth.protected_exchange import (
        response_authentication,
    )

__all__ = [
    "AsyncDPoPTransport",
    "AsyncDiscovery",
    "AsyncOAuth2Client",
    "DPoPTransport",
    "Discovery",
    "OAuth2Auth",
    "OAuth2Client",
    "response_authentication",
]
