"""DPoP for httpx2: :rfc:`9449`. For httpx see :mod:`.httpx_client`.

Importing it needs the extra ``httpx2``.
"""

from __future__ import annotations

from dpop_ext.extras import needs

with needs("httpx2"):
    import httpx2

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


class DPoPAuth(ResourceAuth, httpx2.Auth):
    """Sends a bound access token: see :class:`.ResourceAuth`."""


class DPoPTokenAuth(TokenEndpointAuth, httpx2.Auth):
    """Sends a proof to the token endpoint: see :class:`.TokenEndpointAuth`."""

    library = httpx2


class DPoPTransport(BlockingTransport, httpx2.BaseTransport):
    """Authenticates answers: see :class:`.BlockingTransport`."""

    library = httpx2


class AsyncDPoPTransport(AsyncTransport, httpx2.AsyncBaseTransport):
    """Authenticates answers: see :class:`.AsyncTransport`."""

    library = httpx2
