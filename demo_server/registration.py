"""How the authorization server learns of its resource server: from the operator."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from demo_server import demo_data
from demo_server.models import Client

_USES = {"sig", "enc"}


class RegistrationError(Exception):
    """The resource server cannot be registered with these keys."""


def register_resource_server(
    engine: Engine,
    jwks: Mapping[str, Any],
    *,
    resource: str,
    encapsulates: bool = False,
) -> None:
    """Register the resource server as the client that may ask about its tokens.

    Its earlier keys, if there are any, are good no more.

    :param jwks: its public keys: one to verify with (``"use": "sig"``), and one to
        encrypt for (``"use": "enc"``).
    :param resource: its identifier: the one audience whose secrets and tokens it may
        ask for.
    :param encapsulates: it has no secrets, and decrypts the keys in its tokens instead.
    :raises RegistrationError: these are other keys, or private ones.
    """
    check_jwks(jwks)
    with Session(engine) as session, session.begin():
        client = session.get(Client, demo_data.RESOURCE_SERVER_ID)
        if client is None:
            client = Client(client_id=demo_data.RESOURCE_SERVER_ID, secret_hash=None)
            session.add(client)
        client.enabled = True
        client.client_metadata = {
            "client_id": demo_data.RESOURCE_SERVER_ID,
            "client_name": "Demo resource server",
            "token_endpoint_auth_method": "private_key_jwt",
            "jwks": dict(jwks),
            "grant_types": [],
            "response_types": [],
            "resource_server_audiences": [resource],
            **({"dpop_symmetric_encapsulation_alg": "ECDH-ES"} if encapsulates else {}),
        }


def parse_jwks(text: str) -> dict[str, Any]:
    """Read a JWK Set.

    :raises RegistrationError: it is none.
    """
    try:
        jwks = json.loads(text)
    except ValueError as error:
        raise RegistrationError("not JSON") from error
    if not isinstance(jwks, dict):
        raise RegistrationError("not a JWK Set")
    return jwks


def check_jwks(jwks: Mapping[str, Any]) -> None:
    """Refuse keys with which the resource server could not do its work.

    :raises RegistrationError: they are not one public key of each kind.
    """
    try:
        keys = KeySet.import_key_set(dict(jwks)).keys  # type: ignore[arg-type]
    except (JoseError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise RegistrationError("not a JWK Set") from error
    if any(key.key_type == "oct" or key.is_private for key in keys):
        raise RegistrationError("a private key: it must stay where it was made")
    if len(keys) != len(_USES) or {key.get("use") for key in keys} != _USES:
        raise RegistrationError(
            'one key with "use": "sig" and one with "enc" is needed'
        )
