"""Clients that authenticate by a signed assertion (RFC 7523 section 3)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey

from dpop_ext.core.client_assertion import ASSERTION_TYPE
from dpop_ext.core.jws_signature import sign_compact
from tests.conftest import Clock
from tests.demo.parties import Parties

AS = "http://127.0.0.1:9000"

Assert = Callable[..., str]


@pytest.fixture
def signer(tmp_path: Path, clock: Clock, ec_key: ECKey, other_ec_key: ECKey) -> Any:
    """The parties, with a client that signs with *other_ec_key*."""
    jwk = {**other_ec_key.as_dict(private=False), "kid": "k1"}
    entry = {
        "client_id": "signer",
        "jwks": {"keys": [jwk]},
        "grant_types": ["client_credentials"],
    }
    path = tmp_path / "clients.json"
    path.write_text(json.dumps([entry]))
    return Parties.start(tmp_path, clock, ec_key, clients=path)


@pytest.fixture
def assertion(clock: Clock, other_ec_key: ECKey) -> Assert:
    def make(
        header: dict[str, Any] | None = None, key: ECKey | None = None, **changes: Any
    ) -> str:
        claims = {
            "iss": "signer",
            "sub": "signer",
            "aud": AS,
            "exp": clock.now + 60,
            "iat": clock.now,
            "jti": "j1",
            **changes,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        fields = {"alg": "ES256", "kid": "k1", **(header or {})}
        fields = {name: value for name, value in fields.items() if value is not None}
        return sign_compact(fields, claims, key or other_ec_key)

    return make


def form(assertion: str, **changes: str) -> dict[str, str]:
    return {
        "grant_type": "client_credentials",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": assertion,
        **changes,
    }


@pytest.mark.requirement("G-5")
@pytest.mark.parametrize("audience", [AS, f"{AS}/token", [AS]])
def test_an_assertion_authenticates_beside_a_proof(
    signer: Parties, assertion: Assert, audience: object
) -> None:
    answer = signer.token(form(assertion(aud=audience)))
    assert answer.status_code == 200
    assert answer.get_json()["token_type"] == "DPoP"


def test_an_assertion_is_good_once(signer: Parties, assertion: Assert) -> None:
    text = assertion()
    assert signer.token(form(text)).status_code == 200
    again = signer.token(form(text))
    assert again.status_code == 401
    assert again.get_json()["error"] == "invalid_client"
    assert signer.token(form(assertion(jti="j2"))).status_code == 200


def test_a_nonce_challenge_leaves_the_assertion_good(
    signer: Parties, assertion: Assert
) -> None:
    signer.nonces["http://127.0.0.1:9000"] = "stale"
    assert signer.token(form(assertion())).status_code == 200


def test_an_assertion_by_another_key_authenticates_nobody(
    signer: Parties, assertion: Assert, ec_key: ECKey
) -> None:
    assert signer.token(form(assertion(key=ec_key))).status_code == 401
