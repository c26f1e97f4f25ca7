"""DPoP for requests and for Authlib's requests client: :rfc:`9449`.

Importing it needs the extra ``requests``.
"""

from __future__ import annotations

from dpop_ext import extras

with extras.needs("requests"):
    from dpop_ext.integrations.requests_client.auth import (
        DPoPAuth,
        DPoPTokenAuth,
        OAuth2Auth,
    )
    from dpop_ext.integrations.requests_client.discovery import Discovery
    from dpop_ext.integrations.requests_client.reply import response_authentication
    from dpop_ext.integrations.requests_client.session import OAuth2Session

__all__ = [
    "DPoPAuth",
    "DPoPTokenAuth",
    "Discovery",
    "OAuth2Auth",
    "OAuth2Session",
    "response_authentication",
]
