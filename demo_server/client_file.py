"""Further clients from a JSON file of RFC 7591 metadata."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from authlib.oauth2 import rfc7591
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from demo_server import demo_data, fapi_client
from dpop_ext.authorization_server import ClientMetadataClaims
from dpop_ext.authorization_server.token_exchange import GRANT_TYPE as TOKEN_EXCHANGE
from dpop_ext.core.target import is_loopback
from dpop_ext.symmetric.derivation import MAX_IDENTIFIER

GRANT_TYPES = (
    *("authorization_code", "refresh_token", "client_credentials"),
    TOKEN_EXCHANGE,
)

#: The ways to authenticate, and the member that each of them needs.
AUTH_METHODS = {
    "client_secret_basic": "client_secret",
    "client_secret_post": "client_secret",
    "private_key_jwt": "jwks",
    "none": None,
}

_LISTS = (
    "redirect_uris",
    "grant_types",
    "response_types",
    "audiences",
    "resource_server_audiences",
)


class ClientFileError(Exception):
    """The file of clients cannot be used."""


def load(
    path: Path, *, resource: str, methods: Collection[str] = tuple(AUTH_METHODS)
) -> list[dict[str, Any]]:
    """Return the clients in *path*, complete and checked.

    :param resource: the audience of clients that name none.
    :param methods: by which a client that gets tokens may authenticate.
    :raises ClientFileError: the file cannot be read, or an entry is faulty; the message
        names the member, and never a secret.
    """
    try:
        entries = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ClientFileError(f"{path}: cannot be read as JSON") from error
    if not isinstance(entries, list):
        raise ClientFileError(f"{path}: must be a list of clients")
    clients = []
    for number, entry in enumerate(entries, 1):
        try:
            clients.append(_complete(entry, resource, methods))
        except (AttributeError, JoseError, LookupError, TypeError, ValueError) as error:
            raise ClientFileError(f"{path}: client {number}: {error}") from error
    names = [client["client_id"] for client in clients]
    names += [client["client_id"] for client in demo_data.clients(resource)]
    names += [fapi_client.CLIENT_ID, demo_data.BROWSER_ID]
    if len(set(names)) != len(names):
        raise ClientFileError(f"{path}: a client_id is there twice, or is built in")
    return clients


def _complete(entry: Any, resource: str, methods: Collection[str]) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise ValueError("must be an object")  # noqa: TRY004
    client = {
        "token_endpoint_auth_method": (
            "private_key_jwt"
            if "jwks" in entry and "client_secret" not in entry
            else "client_secret_basic"
        ),
        "grant_types": ["authorization_code"],
        "response_types": ["code"],
        "redirect_uris": [],
        "scope": " ".join(demo_data.SCOPES),
        "audiences": [resource],
        "resource_server_audiences": [],
        **entry,
    }
    for claims in rfc7591.ClientMetadataClaims, ClientMetadataClaims:
        claims(client, {}).validate()
    _check(client)
    if client["grant_types"] and client["token_endpoint_auth_method"] not in methods:
        raise ValueError("token_endpoint_auth_method is not one of the profile")
    return client


def _check(client: dict[str, Any]) -> None:
    _check_types(client)
    client_id = client.get("client_id", "")
    if not 0 < len(client_id) <= 255 or not client_id.isascii():
        raise ValueError("client_id must be 1 to 255 ASCII characters")
    method = client["token_endpoint_auth_method"]
    if method not in AUTH_METHODS:
        raise ValueError("token_endpoint_auth_method is not supported")
    needed = AUTH_METHODS[method]
    if needed is not None and needed not in client:
        raise ValueError(f"{method} needs {needed}")
    if method == "none" and "client_credentials" in client["grant_types"]:
        raise ValueError("client_credentials needs a client that authenticates")
    for name, known in (
        ("grant_types", set(GRANT_TYPES)),
        ("response_types", {"code"}),
    ):
        if not set(client[name]) <= known:
            raise ValueError(f"{name} has a value that is not supported")
    if not set(client["scope"].split()) <= set(demo_data.SCOPES):
        raise ValueError("scope has a value that is not known")
    if "jwks" in client and _has_private_key(client["jwks"]):
        raise ValueError("jwks must contain public keys only")


def _check_types(client: dict[str, Any]) -> None:
    for name in "client_id", "scope", "client_secret", "client_name":
        if name in client and not (isinstance(client[name], str) and client[name]):
            raise ValueError(f"{name} must be a string")
    for name in _LISTS:
        values = client[name]
        if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
            raise ValueError(f"{name} must be a list of strings")
    if any(not 0 < len(audience) <= MAX_IDENTIFIER for audience in client["audiences"]):
        raise ValueError(f"an audience is empty or over {MAX_IDENTIFIER} characters")
    for uri in client["redirect_uris"]:
        _check_redirect_uri(uri)


def _has_private_key(jwks: dict[str, Any]) -> bool:
    keys = KeySet.import_key_set(jwks)  # type: ignore[arg-type]
    return any(key.is_private or key.key_type == "oct" for key in keys.keys)


def _check_redirect_uri(uri: str) -> None:
    parts = urlsplit(uri)
    private_use = "." in parts.scheme  # RFC 8252, section 7.1
    web = parts.scheme == "https" and parts.hostname
    loopback = parts.scheme == "http" and is_loopback(parts.hostname or "")
    if not (private_use or web or loopback):
        raise ValueError("a redirect URI is neither https nor loopback nor private-use")
    if parts.fragment or "@" in parts.netloc or not uri.isascii() or " " in uri:
        raise ValueError("a redirect URI has a part that it must not have")
