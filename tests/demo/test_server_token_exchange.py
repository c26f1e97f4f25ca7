"""Token exchange at the demo: who may act for whom, and until when."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey

from demo_server import demo_data
from demo_server.resource_server.keyring import POLL_INTERVAL
from dpop_ext.authorization_server.token_exchange import GRANT_TYPE as TOKEN_EXCHANGE
from dpop_ext.core.jose import parse_compact_jws
from dpop_ext.symmetric.delivery import unwrap_key
from dpop_ext.symmetric.key_request import key_request_claim
from dpop_ext.symmetric.proof import make_symmetric_proof
from tests.conftest import Clock
from tests.demo.parties import (
    CALLBACK,
    CONFIDENTIAL,
    VERIFIER,
    Parties,
    basic,
)

DELEGATE = basic(demo_data.DELEGATE_ID, demo_data.DELEGATE_SECRET)
RESOURCE_SERVER = basic("tests-resource-server", "tests-resource-server-secret")


@pytest.fixture
def parties(tmp_path: Path, clock: Clock, ec_key: ECKey) -> Parties:
    """The apps, a little later: the first secrets are made by the system's clock."""
    clock.advance(int(time.time()) + 60 - clock())
    return Parties.start(tmp_path, clock, ec_key)


def user_token(parties: Parties) -> dict[str, Any]:
    """Get a token of alice, for the confidential client and its key."""
    form = {
        "grant_type": "authorization_code",
        "code": parties.code(client_id="demo-confidential"),
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
    }
    answer = parties.token(form, headers=CONFIDENTIAL)
    assert answer.status_code == 200, answer.text
    token: dict[str, Any] = answer.get_json()
    return token


def exchange(
    parties: Parties, token: str, key: ECKey, **arguments: Any
) -> tuple[int, dict[str, Any]]:
    form = {
        "grant_type": TOKEN_EXCHANGE,
        "subject_token": token,
        "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
    }
    options: dict[str, Any] = {"headers": DELEGATE, **arguments}
    answer = parties.token(form, key=key, **options)
    return answer.status_code, answer.get_json()


def is_active(parties: Parties, token: str) -> bool:
    answer = parties.as_client.post(
        "/introspect", data={"token": token}, headers=RESOURCE_SERVER
    )
    assert answer.status_code == 200, answer.text
    return bool(answer.get_json()["active"])


def revoke(parties: Parties, token: str) -> None:
    answer = parties.as_client.post(
        "/revoke", data={"token": token}, headers=CONFIDENTIAL
    )
    assert answer.status_code == 200, answer.text


@pytest.mark.requirement("J-6", "R2223")
def test_a_delegate_acts_for_the_user_with_a_key_of_its_own(
    parties: Parties, other_ec_key: ECKey
) -> None:
    token = user_token(parties)["access_token"]
    offer: dict[str, Any] = {"algorithms": ["HS256"], "key_algorithms": ["ECDH-ES"]}
    dsk = key_request_claim(encryption_key=other_ec_key, **offer)
    status, answer = exchange(parties, token, other_ec_key, claims={"dsk": dsk})
    assert status == 200, answer
    assert "refresh_token" not in answer
    claims = parse_compact_jws(answer["access_token"], max_length=16_384).payload
    assert claims["sub"] == demo_data.USERNAME
    assert claims["client_id"] == demo_data.DELEGATE_ID
    assert claims["act"]["sub"] == demo_data.DELEGATE_ID
    assert "may_act" not in claims
    delivered = unwrap_key(
        answer["cnf"]["jwe"],
        private_key=other_ec_key,
        encodings=["A256GCM"],
        issuer=parties.settings.issuer_url,
        audience=parties.settings.resource_url,
        access_token=answer["access_token"],
        now=parties.clock.now,
        **offer,
    )

    def ask(nonce: str | None) -> Any:
        proof = make_symmetric_proof(
            delivered.key,
            algorithm="HS256",
            method="GET",
            url=f"{parties.settings.resource_url}/api/accounts",
            now=parties.clock.now,
            access_token=answer["access_token"],
            nonce=nonce,
        )
        fields = {"Authorization": f"DPoP {answer['access_token']}", "DPoP": proof}
        return parties.rs_client.get("/api/accounts", headers=fields)

    served = ask(ask(None).headers["DPoP-Nonce"])
    assert served.get_json()["owner"] == demo_data.USERNAME
    assert served.get_json()["proof"] == "symmetric"


@pytest.mark.requirement("R2013")
def test_what_was_exchanged_ends_with_the_token(
    parties: Parties, other_ec_key: ECKey
) -> None:
    token = user_token(parties)["access_token"]
    _, answer = exchange(parties, token, other_ec_key)
    assert is_active(parties, answer["access_token"])
    revoke(parties, token)
    assert not is_active(parties, answer["access_token"])


@pytest.mark.requirement("R2012", "R2013")
def test_a_resource_server_that_asks_nobody_learns_of_it_too(
    parties: Parties, other_ec_key: ECKey
) -> None:
    token = user_token(parties)["access_token"]
    _, answer = exchange(parties, token, other_ec_key)
    tokens = {token: parties.key, answer["access_token"]: other_ec_key}
    for text, key in tokens.items():
        served = parties.api("GET", "/api/accounts", text, key=key)
        assert served.status_code == 200, served.text
    revoke(parties, token)
    parties.clock.advance(POLL_INTERVAL * 1.1)
    for text, key in tokens.items():
        served = parties.api("GET", "/api/accounts", text, key=key)
        assert served.status_code == 401, served.text


@pytest.mark.requirement("R2013")
def test_what_was_exchanged_ends_with_the_grant(
    parties: Parties, other_ec_key: ECKey
) -> None:
    granted = user_token(parties)
    _, answer = exchange(parties, granted["access_token"], other_ec_key)
    revoke(parties, granted["refresh_token"])
    assert not is_active(parties, answer["access_token"])


@pytest.mark.requirement("R2221")
def test_a_revoked_token_is_not_exchanged(
    parties: Parties, other_ec_key: ECKey
) -> None:
    token = user_token(parties)["access_token"]
    revoke(parties, token)
    status, answer = exchange(parties, token, other_ec_key)
    assert (status, answer["error"]) == (400, "invalid_request")


@pytest.mark.requirement("R2222")
def test_it_does_not_outlive_the_token(parties: Parties, other_ec_key: ECKey) -> None:
    token = user_token(parties)["access_token"]
    parties.clock.advance(200)
    _, answer = exchange(parties, token, other_ec_key)
    assert answer["expires_in"] == 100
    parties.clock.advance(100)
    assert exchange(parties, token, other_ec_key)[0] == 400


@pytest.mark.requirement("J-6")
def test_nobody_else_acts(parties: Parties, other_ec_key: ECKey) -> None:
    """Neither another client, nor the delegate with a token that names nobody."""
    token = user_token(parties)["access_token"]
    status, answer = exchange(parties, token, other_ec_key, headers=RESOURCE_SERVER)
    assert (status, answer["error"]) == (400, "unauthorized_client")
    public = parties.redeem(parties.code()).get_json()["access_token"]
    status, answer = exchange(parties, public, other_ec_key)
    assert (status, answer["error"]) == (400, "invalid_request")
