"""Client authentication by HTTP Basic that survives any input (RFC 6749 2.3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from authlib.oauth2.rfc6749 import InvalidClientError
from authlib.oauth2.rfc6749.authenticate_client import (
    authenticate_client_secret_basic as authlib_client_secret_basic,
)

from demo_server.models import Client


def authenticate_client_secret_basic(
    query_client: Callable[[str], Client | None], request: Any
) -> Client | None:
    """Authlib's method; credentials that are no text authenticate nobody."""
    try:
        client: Client | None = authlib_client_secret_basic(query_client, request)
    except ValueError as error:
        raise InvalidClientError(
            "The client credentials are malformed.", status_code=401
        ) from error
    return client
