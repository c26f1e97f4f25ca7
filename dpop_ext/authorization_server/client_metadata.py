"""What a client is registered with: :rfc:`7591#section-2`."""

from __future__ import annotations

from typing import Any


def metadata_of(client: Any) -> dict[str, Any]:
    """Return the registered metadata of a client, as Authlib's model keeps it."""
    metadata: dict[str, Any] = getattr(client, "client_metadata", None) or {}
    return metadata


def jwks_of(client: Any) -> dict[str, Any]:
    """Return its ``jwks``, or an empty one; nothing is ever fetched."""
    jwks: dict[str, Any] = metadata_of(client).get("jwks") or {}
    return jwks


def encryption_keys_of(client: Any) -> list[dict[str, Any]]:
    """Return the keys with ``use`` ``enc`` in its ``jwks``, the newest last."""
    keys: list[dict[str, Any]] = jwks_of(client).get("keys", [])
    return [key for key in keys if key.get("use") == "enc"]
