"""The derivation secrets of a server, and a client that asks for symmetric keys."""

from __future__ import annotations

import secrets
from typing import Any

from dpop_ext.symmetric.delivery import KEY_ALGORITHMS, unwrap_key
from dpop_ext.symmetric.key_jwe import ENCODINGS
from dpop_ext.symmetric.key_request import key_request_claim
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.secret_ring import AudienceSecret, SecretRing
from tests.authorization_server.simulator import AUDIENCE, ISSUER


class Secrets:
    """The derivation secrets of two audiences."""

    def __init__(self, clock: Any) -> None:
        self.clock = clock
        self.rings = {
            audience: SecretRing([self.secret()], issuer=ISSUER, audience=audience)
            for audience in (AUDIENCE, "https://b.example")
        }

    def secret(self, **changes: Any) -> AudienceSecret:
        values: dict[str, Any] = {
            "version": 7,
            "state": "active",
            "not_before": 0,
            "expires_at": self.clock.now + 86400,
            "secret": SecretBytes(secrets.token_bytes(32)),
        }
        return AudienceSecret(**(values | changes))

    def load(self, audience: str) -> SecretRing | None:
        return self.rings.get(audience)


def ask(key: Any = None, *algorithms: str, **more: Any) -> dict[str, Any]:
    """The claims of a proof that asks for a key."""
    claim = key_request_claim(
        algorithms=algorithms or ("HS256",), encryption_key=key, **more
    )
    return {"claims": {"dsk": claim}}


def unwrap(response: Any, key: Any, clock: Any, **changes: Any) -> Any:
    body = response.get_json()
    assert response.status_code == 200, body
    assert body["token_type"] == "DPoP"
    assert response.headers["Cache-Control"] == "no-store"
    assert set(body["cnf"]) == {"jkt", "jwe"}
    values = {
        "private_key": key,
        "algorithms": ("HS256", "HS512"),
        "key_algorithms": KEY_ALGORITHMS,
        "encodings": ENCODINGS,
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "access_token": body["access_token"],
        "now": clock.now,
    }
    return unwrap_key(body["cnf"]["jwe"], **(values | changes))
