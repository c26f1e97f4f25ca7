"""The part of an authorization server that answers a token request with a key."""

from __future__ import annotations

import json
from typing import Any

from joserfc.jwk import OKPKey

from dpop_ext.client.exchange import Reply
from dpop_ext.core.akp import AnyKey
from dpop_ext.symmetric import hpke
from dpop_ext.symmetric.delivery import wrap_key
from dpop_ext.symmetric.secret_bytes import SecretBytes
from tests.client.driving import ISSUER, RESOURCE
from tests.client.reading import read

SYMMETRIC_KEY = SecretBytes(bytes(range(32)))


def recipient_of(dsk: dict[str, Any]) -> AnyKey:
    """Return the key in a claim that asks for a symmetric key."""
    if dsk["jwk"]["kty"] == "AKP":
        return hpke.import_public(dsk["jwk"])
    return OKPKey.import_key(dsk["jwk"])


def token_response(
    proof: str,
    *,
    access_token: str,
    now: int,
    version: int = 7,
    lifetime: int = 600,
    issuer: str = ISSUER,
    audience: str = RESOURCE,
    **members: Any,
) -> dict[str, Any]:
    """Answer the token request that carried *proof*, with a key if it asks for one."""
    response: dict[str, Any] = {
        "access_token": access_token,
        "token_type": "DPoP",
        "expires_in": 3600,
        **members,
    }
    claim = read(proof).claims.get("dsk")
    if claim is not None:
        encrypted = wrap_key(
            SYMMETRIC_KEY,
            recipient=recipient_of(claim),
            algorithm=claim["kalgs"][0],
            encoding="A256GCM",
            mac_algorithm="HS256",
            issuer=issuer,
            audience=audience,
            version=version,
            expires_at=now + lifetime,
            access_token=access_token,
        )
        response["cnf"] = {"jwe": encrypted}
    return response


def token_reply(proof: str, **arguments: Any) -> Reply:
    """Answer as :func:`token_response`, for a flow that a test drives."""
    body = json.dumps(token_response(proof, **arguments)).encode()
    return Reply(status=200, body=body)
