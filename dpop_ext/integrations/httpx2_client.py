"""DPoP for httpx2: :rfc:`9449`. For httpx see :mod:`.httpx_client`.

Importing it needs the extra ``httpx2``.
"""

from __future__ import annotations

import httpx2

from dpop_ext.integrations.httpx_auth.arguments import ResourceAuth, TokenEndpointAuth

__all__ = ["DPoPAuth", "DPoPTokenAuth"]


class DPoPAuth(ResourceAuth, httpx2.Auth):
    """Sends a bound access token: see :class:`.ResourceAuth`."""


class DPoPTokenAuth(TokenEndpointAuth, httpx2.Auth):
    """Sends a proof to the token endpoint: see :class:`.TokenEndpointAuth`."""

    library = httpx2
