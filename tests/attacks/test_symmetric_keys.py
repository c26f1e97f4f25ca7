"""Threats to symmetric keys, as requests (DPoP Symmetric Profile, threat model)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey

from demo_server.resource_server.keyring import POLL_INTERVAL
from dpop_ext.core.base64url import b64url_encode
from dpop_ext.resource_server.keyring_source import JITTER
from tests.attacks.conftest import OTHER_RESOURCE
from tests.attacks.moves import (
    AS_CONFIDENTIAL,
    ask,
    claims_of,
    derivation_secrets,
    derive,
    forge,
    key_of,
    other_resource_server,
    prove,
    prove_symmetrically,
)
from tests.demo.parties import CONFIDENTIAL, code_form
from tests.fuzz.running import running
from tests.fuzz.servers import Servers


@pytest.mark.requirement("T1", "T4", "R1501")
def test_the_key_of_one_resource_server_is_no_key_at_another(servers: Servers) -> None:
    token, key = key_of(servers)
    app = other_resource_server(servers, OTHER_RESOURCE)
    url = f"{OTHER_RESOURCE}/api/accounts"
    for_other = forge(token, servers.signing_key, aud=OTHER_RESOURCE)
    good = derive(servers, for_other, audience=OTHER_RESOURCE)
    for text, secret, error in (
        (token, key, "invalid_token"),
        (for_other, key, "invalid_dpop_proof"),
        (for_other, good, None),
    ):
        proof = prove_symmetrically(servers, secret, text, url=url)
        answer = ask(servers, text, proof, app=app)
        assert answer.error == error
        assert answer.status == (401 if error else 200)


@pytest.mark.requirement("T1")
def test_a_thief_of_the_secret_still_needs_a_token_of_the_issuer(
    servers: Servers, other_ec_key: ECKey
) -> None:
    token, _ = key_of(servers)
    claims = claims_of(token)
    forged = forge(token, other_ec_key, sub="alice", scope="transfers")
    proof = prove_symmetrically(servers, derive(servers, forged), forged)
    assert ask(servers, forged, proof).error == "invalid_token"
    # With it he is the client, at this one resource server, until the secret is gone.
    proof = prove_symmetrically(servers, derive(servers, token), token)
    answer = ask(servers, token, proof)
    assert answer.status == 200
    assert json.loads(answer.body)["owner"] == claims["sub"]


@pytest.mark.requirement("T2", "R1506", "R1510")
def test_to_revoke_a_stolen_secret_costs_no_token(servers: Servers) -> None:
    token, key = key_of(servers)
    assert ask(servers, token, prove_symmetrically(servers, key, token)).status == 200
    secrets = derivation_secrets(servers)
    secrets.revoke(servers.settings.resource_url, 1)
    servers.clock.advance(POLL_INTERVAL * (1 + JITTER))
    answer = ask(servers, token, prove_symmetrically(servers, key, token))
    assert (answer.status, answer.error) == (401, "invalid_token")
    assert 'sym_error="stale_key"' in answer.first("WWW-Authenticate")
    assert ask(servers, token, prove(servers, token)).status == 200


@pytest.mark.requirement("T4")
@pytest.mark.parametrize("claim", ["client_id", "jkt", "r", "v", "iss", "alg"])
def test_a_key_is_for_one_token(
    servers: Servers, other_ec_key: ECKey, claim: str
) -> None:
    token, key = key_of(servers)
    cnf = claims_of(token)["cnf"]
    dsk = cnf["dsk"]
    # The secret of version 1 is live beside that of version 2.
    derivation_secrets(servers).rotate(servers.settings.resource_url)
    servers.clock.advance(POLL_INTERVAL * (1 + JITTER))
    changes: dict[str, dict[str, Any]] = {
        "client_id": {"client_id": "demo-public"},
        "jkt": {"cnf": {**cnf, "jkt": other_ec_key.thumbprint()}},
        "r": {"cnf": {**cnf, "dsk": {**dsk, "r": b64url_encode(bytes(32))}}},
        "v": {"cnf": {**cnf, "dsk": {**dsk, "v": dsk["v"] + 1}}},
        "alg": {"cnf": {**cnf, "dsk": {**dsk, "alg": "HS512"}}},
        "iss": {"iss": "http://127.0.0.1:9009"},
    }
    other = forge(token, servers.signing_key, **changes[claim])
    answer = ask(servers, other, prove_symmetrically(servers, key, other))
    expected = "invalid_token" if claim == "iss" else "invalid_dpop_proof"
    assert (answer.status, answer.error) == (401, expected)


@pytest.mark.requirement("T6")
def test_a_thief_of_the_key_alone_gets_no_token(servers: Servers) -> None:
    token, key = key_of(servers)
    tokens = servers.redeem(servers.code()).get_json()
    code = servers.code()
    url = f"{servers.settings.issuer_url}/token"
    refresh = {
        "grant_type": "refresh_token",
        "refresh_token": tokens["refresh_token"],
        "client_id": "demo-public",
    }
    for form in code_form(code), refresh, {"grant_type": "client_credentials"}:
        pairs = [(name, value.encode()) for name, value in form.items()]
        proof = prove_symmetrically(servers, key, token, method="POST", url=url)
        answer = servers.ask_token(pairs, proof=proof, fields=AS_CONFIDENTIAL)
        assert (answer.status, answer.error) == (400, "invalid_dpop_proof")
    assert servers.redeem(code).status_code == 200
    assert servers.refresh(tokens["refresh_token"]).status_code == 200


@pytest.mark.requirement("T1", "T6")
def test_a_resource_that_takes_no_macs_takes_none(servers: Servers) -> None:
    token, key = key_of(servers)
    url = f"{servers.settings.issuer_url}/userinfo"
    proof = prove_symmetrically(servers, key, token, url=url)
    answer = ask(servers, token, proof, app=servers.as_app, path="/userinfo")
    assert (answer.status, answer.error) == (401, "invalid_dpop_proof")
    assert "sym_algs" not in answer.first("WWW-Authenticate")


@pytest.mark.requirement("T7")
@pytest.mark.parametrize("change", ["swapped", "stripped"])
def test_nobody_on_the_way_can_change_what_a_client_asks_for(
    servers: Servers, other_ec_key: ECKey, change: str
) -> None:
    code = servers.code()
    header, claims = servers.members("POST", f"{servers.settings.issuer_url}/token")
    jwk = servers.key.as_dict(private=False)
    dsk = json.dumps({"algs": ["HS256"], "jwk": jwk, "must": True}).encode()
    sent = servers.proof(header, claims | {"dsk": dsk})
    theirs = dict(claims)
    if change == "swapped":
        jwk = other_ec_key.as_dict(private=False)
        theirs["dsk"] = json.dumps({"algs": ["HS256"], "jwk": jwk}).encode()
    changed = servers.proof(header, theirs)
    parts = [sent.split(b".")[0], changed.split(b".")[1], sent.split(b".")[2]]
    pairs = [(name, value.encode()) for name, value in code_form(code).items()]
    answer = servers.ask_token(pairs, proof=b".".join(parts))
    assert (answer.status, answer.error) == (400, "invalid_dpop_proof")
    assert servers.redeem(code).status_code == 200


@pytest.mark.requirement("T7")
def test_a_client_that_must_have_a_key_gets_one_or_an_error(servers: Servers) -> None:
    code = servers.code()
    jwk = ECKey.generate_key("P-256").as_dict(private=False)
    for offer in (
        {"algs": ["HS384"], "jwk": jwk},
        {"algs": ["HS256"], "jwk": jwk, "kalgs": ["RSA1_5"]},
        {"algs": ["HS256"], "jwk": jwk, "encs": ["A128CBC-HS256"]},
    ):
        claims = {"dsk": {**offer, "must": True}}
        answer = servers.redeem(code, claims=claims)
        assert answer.status_code == 400
        assert answer.get_json()["error"] == "dpop_sym_unavailable"
    claims = {"dsk": {"algs": ["HS256"], "jwk": jwk, "must": True}}
    answer = servers.redeem(code, claims=claims)
    assert "jwe" in answer.get_json()["cnf"]


@pytest.mark.requirement("T15", "R1510")
def test_a_good_mac_does_not_revive_a_revoked_token(
    tmp_path: Path, ec_key: ECKey
) -> None:
    endpoint = "http://127.0.0.1:9000/introspect"
    with running(tmp_path, ec_key, nonce="off", introspection_endpoint=endpoint) as s:
        token, key = key_of(s)
        assert ask(s, token, prove_symmetrically(s, key, token)).status == 200
        form = {"token": token}
        s.as_client.post("/revoke", data=form, headers=CONFIDENTIAL)
        answer = ask(s, token, prove_symmetrically(s, key, token))
        assert (answer.status, answer.error) == (401, "invalid_token")


@pytest.mark.requirement("T17", "R1507", "R1508")
@pytest.mark.parametrize("ahead", [1, 2, 3, 1000])
def test_a_made_up_version_makes_nobody_ask_anybody(
    servers: Servers, other_ec_key: ECKey, ahead: int
) -> None:
    token, key = key_of(servers)
    servers.fetched.clear()
    cnf = claims_of(token)["cnf"]
    dsk = {**cnf["dsk"], "v": cnf["dsk"]["v"] + ahead}
    for number in range(20):
        forged = forge(token, other_ec_key, jti=str(number), cnf={**cnf, "dsk": dsk})
        answer = ask(servers, forged, prove_symmetrically(servers, key, forged))
        assert answer.error == "invalid_token"
        assert "sym_error" not in answer.first("WWW-Authenticate")
    assert servers.fetched == []
