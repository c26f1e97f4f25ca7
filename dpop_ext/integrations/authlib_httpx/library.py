"""What the clients need of the library that Authlib has taken: httpx2, or httpx."""

from __future__ import annotations

from typing import Any

from authlib.integrations.httpx_client._compat import httpx2 as library

from dpop_ext.client.token_response import require_bound
from dpop_ext.integrations.httpx_auth.arguments import TokenEndpointAuth
from dpop_ext.integrations.httpx_auth.discovery import (
    AsyncioDiscovery,
    BlockingDiscovery,
)
from dpop_ext.integrations.httpx_auth.rehearsal import RehearsalAuth
from dpop_ext.integrations.httpx_auth.transport import (
    AsyncTransport,
    BlockingTransport,
)

__all__ = [
    "AsyncDPoPTransport",
    "AsyncDiscovery",
    "DPoPTransport",
    "Discovery",
    "NonceAuth",
    "TokenAuth",
    "library",
]


class TokenAuth(TokenEndpointAuth, library.Auth):
    """Sends a proof to the token endpoint: see :class:`.TokenEndpointAuth`."""

    library = library


class NonceAuth(RehearsalAuth, library.Auth):
    """Fetches a nonce: see :class:`.RehearsalAuth`."""

    @classmethod
    def of(cls, client: Any) -> NonceAuth:
        """Make one of a client's token.

        :raises UnboundTokenError: it has none that is bound.
        """
        require_bound(client.token or {})
        return cls(client.dpop, client.token["access_token"])


class DPoPTransport(BlockingTransport, library.BaseTransport):
    """Authenticates answers: see :class:`.BlockingTransport`."""

    library = library


class AsyncDPoPTransport(AsyncTransport, library.AsyncBaseTransport):
    """Authenticates answers: see :class:`.AsyncTransport`."""

    library = library


class Discovery(BlockingDiscovery):
    """Finds servers by their metadata: see :class:`.BlockingDiscovery`."""

    library = library


class AsyncDiscovery(AsyncioDiscovery):
    """Finds servers by their metadata: see :class:`.AsyncioDiscovery`."""

    library = library
