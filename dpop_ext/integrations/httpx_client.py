"""DPoP for httpx: :rfc:`9449`. For httpx2 see :mod:`.httpx2_client`.

Importing it needs the extra ``httpx``.
"""

from __future__ import annotations

from dpop_ext.extras import needs

with needs("httpx"):
    import httpx

from dpop_ext.integrations.httpx_auth.arguments import ResourceAuth, TokenEndpointAuth
from dpop_ext.integrations.httpx_auth.protected_exchange import (
    response_authentication,
)
from dpop_ext.integrations.httpx_auth.transport import (
    AsyncTransport,
    BlockingTransport,
)

__all__ = [
    "AsyncDPoPTransport",
    "DPoPAuth",
    "DPoPTokenAuth",
    "DPoPTransport",
    "response_authentication",
]


class DPoPAuth(ResourceAuth, httpx.Auth):
    """Sends a bound access token: see :class:`.ResourceAuth`."""


class DPoPTokenAuth(TokenEndpointAuth, httpx.Auth):
    """Sends a proof to the token endpoint: see :class:`.TokenEndpointAuth`."""

    library = httpx


class DPoPTransport(BlockingTransport, httpx.BaseTransport):
    """Authenticates answers: see :class:`.BlockingTransport`."""

    library = httpx


class AsyncDPoPTransport(AsyncTransport, httpx.AsyncBaseTransport):
    """Authenticates answers: see :class:`.AsyncTransport`."""

    library = httpx
