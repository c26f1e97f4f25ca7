"""Endpoints that ask for no proof, and clients that send one everywhere."""

from __future__ import annotations

from typing import Any

import pytest
from authlib.oauth2.rfc8628 import DEVICE_CODE_GRANT_TYPE, DeviceAuthorizationEndpoint
from flask import Response

from dpop_ext.core.nonce import NonceIssuer
from tests.authorization_server.simulator import (
    ISSUER,
    METHODS,
    DeviceCredential,
    Prover,
    Simulator,
    User,
    basic,
)
from tests.authorization_server.test_client_registration import (
    MEMBERS,
    add_registration,
)
from tests.authorization_server.test_every_grant import error_of

CLIENT_CREDENTIALS = {"grant_type": "client_credentials"}
NONCES = NonceIssuer([bytes(range(32))])
SECRET = ("Authorization", basic("confidential", "secret"))


@pytest.fixture
def sim(make_sim: Any) -> Any:
    sim = make_sim(nonces=NONCES)
    add_device_authorization(sim)
    add_registration(sim)
    return sim


def add_device_authorization(sim: Simulator) -> None:
    class DeviceAuthorization(DeviceAuthorizationEndpoint):
        CLIENT_AUTH_METHODS = METHODS

        def get_verification_uri(self) -> str:
            return f"{ISSUER}/device"

        def save_device_credential(
            self, client_id: str, scope: str, data: dict[str, Any]
        ) -> None:
            credential = DeviceCredential(data["device_code"], client_id)
            sim.device_credentials[credential.device_code] = credential

    sim.server.register_endpoint(DeviceAuthorization)

    @sim.app.post("/device_authorization")
    def device_authorization() -> Response:
        response: Response = sim.server.create_endpoint_response("device_authorization")
        return response


def ask(sim: Simulator, endpoint: str, *fields: tuple[str, str]) -> Any:
    """Send a good request to *endpoint*, with further header fields."""
    url = f"{ISSUER}/{endpoint}"
    headers = [SECRET, *fields]
    if endpoint == "register":
        return sim.http.post(url, json=MEMBERS, headers=headers)
    form: dict[str, Any] = {}
    if endpoint in ("revoke", "introspect"):
        form["token"] = sim.add_token(dpop_jkt="A" * 43).access_token
    return sim.http.post(url, data=form, headers=headers)


@pytest.mark.requirement("J-5", "B-5")
@pytest.mark.parametrize(
    "endpoint", ["revoke", "introspect", "device_authorization", "register"]
)
def test_a_stray_proof_is_ignored(sim: Any, prove: Any, endpoint: str) -> None:
    """Good or bad: it is no reason to refuse, and it is not used up."""
    plain = ask(sim, endpoint)
    assert plain.status_code in (200, 201)
    good = fresh(sim, prove)
    for value in (good, good, prove(), "garbage", "", "a,b", '"\\', "x" * 9000):
        response = ask(sim, endpoint, ("DPoP", value))
        assert response.status_code == plain.status_code
        assert response.get_json().keys() == plain.get_json().keys()
        assert "DPoP-Nonce" not in response.headers
    twice = ask(sim, endpoint, ("DPoP", good), ("DPoP", good))
    assert twice.status_code == plain.status_code
    assert sim.token(CLIENT_CREDENTIALS, good).status_code == 200


@pytest.mark.requirement("J-5")
def test_bound_tokens_are_revoked_without_a_proof(sim: Any, prove: Any) -> None:
    for name in ("access_token", "refresh_token"):
        token = sim.add_token(dpop_jkt=prove.jkt, refresh_dpop_jkt=prove.jkt)
        form = {"token": getattr(token, name), "token_type_hint": name}
        response = sim.http.post(f"{ISSUER}/revoke", data=form, headers=[SECRET])
        assert response.status_code == 200
        assert token.revoked
        assert sim.introspect(token.access_token) == {"active": False}


# --- the device flow (RFC 8628)


@pytest.fixture
def device(sim: Any, prove: Any) -> dict[str, str]:
    """The form of a poll, for a code from the endpoint."""
    code = ask(sim, "device_authorization").get_json()["device_code"]
    return {"grant_type": DEVICE_CODE_GRANT_TYPE, "device_code": code}


def decide(sim: Simulator, monkeypatch: Any, answer: Any) -> None:
    """Let the user decide: nothing yet, yes or no."""
    grant = next(
        grant
        for grant, _ in sim.server._token_grants
        if grant.GRANT_TYPE == DEVICE_CODE_GRANT_TYPE
    )
    monkeypatch.setattr(grant, "query_user_grant", lambda *_: answer)


def fresh(sim: Simulator, prove: Prover) -> str:
    return prove(nonce=NONCES.issue(purpose="as", now=sim.clock.now))


@pytest.mark.requirement("T-1", "T-5", "Q-18")
def test_a_device_polls_with_a_proof_each_time(
    sim: Any, prove: Any, device: dict[str, str], monkeypatch: Any
) -> None:
    decide(sim, monkeypatch, None)
    for _ in range(2):
        pending = sim.token(device, fresh(sim, prove))
        assert error_of(pending) == (400, "authorization_pending")
    assert error_of(sim.token(device, prove())) == (400, "use_dpop_nonce")
    decide(sim, monkeypatch, (User(), True))
    assert error_of(sim.token(device, prove())) == (400, "use_dpop_nonce")
    response = sim.token(device, fresh(sim, prove))
    assert response.get_json()["token_type"] == "DPoP"
    assert sim.claims(response)["cnf"] == {"jkt": prove.jkt}
    again = sim.token(device, fresh(sim, prove))
    assert error_of(again)[1] in ("invalid_grant", "invalid_request")


@pytest.mark.requirement("T-2", "M-3")
def test_a_faulty_proof_is_told_before_what_the_user_did(
    sim: Any, prove: Any, device: dict[str, str], monkeypatch: Any
) -> None:
    sim.clients["confidential"].client_metadata["dpop_bound_access_tokens"] = True
    for answer in (None, (User(), True), (User(), False)):
        decide(sim, monkeypatch, answer)
        refused = sim.token(device, "garbage")
        assert error_of(refused) == (400, "invalid_dpop_proof")
        assert device["device_code"] in sim.device_credentials
    refused = sim.token(device, fresh(sim, prove))
    assert error_of(refused) == (400, "access_denied")
    decide(sim, monkeypatch, (User(), True))
    assert error_of(sim.token(device)) == (400, "invalid_dpop_proof")
    assert sim.token(device, fresh(sim, prove)).status_code == 200


@pytest.mark.requirement("T-7", "T-8")
def test_the_refresh_token_of_a_public_device_is_bound(
    sim: Any, prove: Any, prove_other: Any
) -> None:
    form = {"client_id": "public"}
    url = f"{ISSUER}/device_authorization"
    code = sim.http.post(url, data=form).get_json()["device_code"]
    poll = {"grant_type": DEVICE_CODE_GRANT_TYPE, "device_code": code}
    body = sim.token(poll, fresh(sim, prove), client="public").get_json()
    refresh = {"grant_type": "refresh_token", "refresh_token": body["refresh_token"]}
    stolen = sim.token(refresh, fresh(sim, prove_other), client="public")
    assert error_of(stolen) == (400, "invalid_grant")
    own = sim.token(refresh, fresh(sim, prove), client="public")
    assert own.status_code == 200
