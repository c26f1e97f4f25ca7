"""The demo servers do the whole job: code, tokens, API, refresh, introspection."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey

from demo_server import demo_data
from dpop_ext.core.proof_making import make_proof
from tests.conftest import Clock
from tests.demo.parties import (
    CONFIDENTIAL,
    RESOURCE_SERVER,
    Parties,
    basic,
    code_form,
    query_of,
)


def claims_of(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    claims: dict[str, Any] = json.loads(urlsafe_b64decode(payload + "=="))
    return claims


def test_code_gives_a_bound_token_that_opens_the_api(parties: Parties) -> None:
    answer = parties.redeem(parties.code())
    assert answer.status_code == 200
    assert answer.json is not None
    assert answer.json["token_type"] == "DPoP"
    claims = claims_of(answer.json["access_token"])
    assert claims["aud"] == parties.settings.resource_url
    assert claims["sub"] == "alice"
    assert claims["cnf"] == {"jkt": parties.key.thumbprint()}
    api = parties.api("GET", "/api/accounts", answer.json["access_token"])
    assert api.status_code == 200
    assert api.json is not None
    assert api.json["owner"] == "alice"
    assert api.json["proof"] == "asymmetric"


def test_a_transfer_needs_its_scope(parties: Parties) -> None:
    token = parties.redeem(parties.code(scope="accounts")).get_json()["access_token"]
    order = {"amount": 10, "to": "bob"}
    refused = parties.api("POST", "/api/transfers", token, json=order)
    assert refused.status_code == 403
    token = parties.redeem(parties.code()).get_json()["access_token"]
    accepted = parties.api("POST", "/api/transfers", token, json=order)
    assert accepted.status_code == 201
    assert accepted.get_json()["amount"] == 10


@pytest.mark.parametrize(
    ("order", "status"),
    [
        (None, 400),
        ([], 400),
        ({}, 422),
        ({"amount": True, "to": "bob"}, 422),
        ({"amount": 0, "to": "bob"}, 422),
        ({"amount": 1_000_001, "to": "bob"}, 422),
        ({"amount": 1, "to": "<script>"}, 422),
    ],
)
def test_a_malformed_transfer_is_refused(
    parties: Parties, order: object, status: int
) -> None:
    token = parties.redeem(parties.code()).get_json()["access_token"]
    answer = parties.api("POST", "/api/transfers", token, json=order)
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/api/echo/"),
        ("GET", "/api/echo/a%2Fb?x=%20&y"),
        ("PURGE", "/api/echo//two//slashes/"),
        ("OPTIONS", "/api/echo/x"),
    ],
)
def test_echo_answers_with_the_raw_target_for_any_method(
    parties: Parties, method: str, target: str
) -> None:
    token = parties.redeem(parties.code()).get_json()["access_token"]
    answer = parties.api(method, target, token)
    assert answer.status_code == 200
    assert answer.json == {"method": method, "target": target, "proof": "asymmetric"}


def test_client_credentials_get_a_token_without_refresh(parties: Parties) -> None:
    form = {"grant_type": "client_credentials", "scope": "accounts"}
    answer = parties.token(form, headers=CONFIDENTIAL).get_json()
    assert answer["scope"] == "accounts"
    assert "refresh_token" not in answer
    assert claims_of(answer["access_token"])["sub"] == "demo-confidential"
    assert (
        parties.api("GET", "/api/accounts", answer["access_token"]).status_code == 200
    )


@pytest.mark.requirement("W-5")
def test_refresh_rotates_the_token_and_keeps_scope_and_audience(
    parties: Parties,
) -> None:
    first = parties.redeem(parties.code(scope="accounts transfers")).get_json()
    second = parties.refresh(first["refresh_token"]).get_json()
    assert second["refresh_token"] != first["refresh_token"]
    assert second["scope"] == "accounts transfers"
    assert claims_of(second["access_token"])["aud"] == parties.settings.resource_url


@pytest.mark.requirement("W-5")
@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"scope": "accounts transfers"}, "invalid_scope"),
        ({"scope": "profile"}, "invalid_scope"),
        ({"resource": "https://other.example"}, "invalid_target"),
    ],
)
def test_a_refresh_gets_no_more_than_was_allowed(
    parties: Parties, more: dict[str, str], error: str
) -> None:
    first = parties.redeem(parties.code(scope="accounts")).get_json()
    form = {
        "grant_type": "refresh_token",
        "refresh_token": first["refresh_token"],
        "client_id": "demo-public",
    }
    answer = parties.token(form | more)
    assert answer.status_code == 400
    assert answer.get_json()["error"] == error
    assert parties.token(form).get_json()["scope"] == "accounts"


def test_a_refresh_for_less_can_be_followed_by_one_for_all(parties: Parties) -> None:
    first = parties.redeem(parties.code(scope="accounts transfers")).get_json()
    form = {
        "grant_type": "refresh_token",
        "refresh_token": first["refresh_token"],
        "client_id": "demo-public",
        "scope": "accounts",
    }
    second = parties.token(form).get_json()
    assert second["scope"] == "accounts"
    third = parties.refresh(second["refresh_token"]).get_json()
    assert third["scope"] == "accounts transfers"


@pytest.mark.requirement("W-5")
@pytest.mark.requirement("W-5")
def test_a_refresh_token_used_twice_ends_the_family(parties: Parties) -> None:
    first = parties.redeem(parties.code()).get_json()
    second = parties.refresh(first["refresh_token"]).get_json()
    again = parties.refresh(first["refresh_token"])
    assert again.status_code == 400
    assert again.get_json()["error"] == "invalid_grant"
    assert parties.refresh(second["refresh_token"]).status_code == 400
    assert not _is_active(parties, second["access_token"])


def test_a_stolen_refresh_token_without_its_key_ends_nothing(
    parties: Parties, other_ec_key: ECKey
) -> None:
    first = parties.redeem(parties.code()).get_json()
    second = parties.refresh(first["refresh_token"]).get_json()
    theft = parties.refresh(first["refresh_token"], key=other_ec_key)
    assert theft.get_json()["error"] == "invalid_grant"
    assert parties.refresh(second["refresh_token"]).status_code == 200


def test_a_code_used_twice_revokes_what_it_gave(parties: Parties) -> None:
    code = parties.code()
    first = parties.redeem(code).get_json()
    assert _is_active(parties, first["access_token"])
    again = parties.redeem(code)
    assert again.get_json()["error"] == "invalid_grant"
    assert not _is_active(parties, first["access_token"])
    assert parties.refresh(first["refresh_token"]).status_code == 400


def test_a_code_seen_by_a_stranger_revokes_nothing(parties: Parties) -> None:
    code = parties.code(dpop_jkt=None)
    first = parties.redeem(code).get_json()
    form = {**code_form(code), "code_verifier": "w" * 43}
    assert parties.token(form).get_json()["error"] == "invalid_grant"
    assert _is_active(parties, first["access_token"])


def test_a_code_is_good_for_a_minute(parties: Parties, clock: Clock) -> None:
    code = parties.code()
    clock.advance(59)
    assert parties.redeem(code).status_code == 200
    late = parties.code()
    clock.advance(60)
    assert parties.redeem(late).get_json()["error"] == "invalid_grant"


@pytest.mark.requirement("U-12")
def test_a_nonce_challenge_leaves_the_code_good(parties: Parties) -> None:
    code = parties.code()
    parties.nonces.clear()
    form = code_form(code)
    challenge = parties.as_client.post("/token", data=form, headers={"DPoP": "x"})
    assert challenge.get_json()["error"] == "invalid_dpop_proof"
    assert parties.redeem(code).status_code == 200


@pytest.mark.requirement("X-2")
def test_a_code_with_the_wrong_key_is_used_up(
    parties: Parties, other_ec_key: ECKey
) -> None:
    code = parties.code()
    assert parties.redeem(code, key=other_ec_key).get_json()["error"] == "invalid_grant"
    assert parties.redeem(code).get_json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_verifier": "w" * 43}, "invalid_grant"),
        ({"code_verifier": None}, "invalid_request"),
        ({"redirect_uri": "http://127.0.0.1:7778/callback"}, "invalid_grant"),
        ({"resource": "https://other.example"}, "invalid_target"),
        ({"grant_type": "urn:example:\u00e9"}, "unsupported_grant_type"),
        ({"code": "no-such-code"}, "invalid_grant"),
        ({"client_id": "nobody"}, "invalid_client"),
        ({"client_id": "demo-confidential"}, "invalid_client"),
        ({"code": ["1", "2"]}, "invalid_request"),
    ],
)
def test_a_faulty_redemption_gets_its_error(
    parties: Parties, changes: dict[str, Any], error: str
) -> None:
    form = {**code_form(parties.code()), **changes}
    answer = parties.token({k: v for k, v in form.items() if v is not None})
    assert answer.get_json()["error"] == error
    assert answer.status_code in (400, 401)
    assert "other.example" not in answer.text


def test_parameters_in_the_query_of_the_token_endpoint_do_not_count(
    parties: Parties,
) -> None:
    code = parties.code()
    answer = parties.as_client.post("/token", query_string=code_form(code))
    assert answer.get_json()["error"] == "unsupported_grant_type"


@pytest.mark.parametrize(
    "authorization",
    ["Basic \xff\xfe", "Basic !!!", "Basic /////w==", "Basic", "Basic  "],
)
@pytest.mark.parametrize("path", ["/token", "/introspect", "/revoke"])
def test_hostile_credentials_authenticate_nobody(
    parties: Parties, authorization: str, path: str
) -> None:
    form = {"grant_type": "client_credentials", "token": "x"}
    answer = parties.as_client.post(
        path, data=form, headers={"Authorization": authorization}
    )
    assert answer.status_code == 401
    assert answer.get_json()["error"] == "invalid_client"


@pytest.mark.requirement("G-2")
def test_a_wrong_client_secret_is_refused(parties: Parties) -> None:
    form = {"grant_type": "client_credentials"}
    answer = parties.token(form, headers=basic("demo-confidential", "wrong"))
    assert answer.status_code == 401


def _is_active(parties: Parties, token: str) -> bool:
    answer = parties.as_client.post(
        "/introspect", data={"token": token}, headers=RESOURCE_SERVER
    )
    return bool(answer.get_json()["active"])


def test_introspection_explains_a_token_to_its_resource_server_only(
    parties: Parties,
) -> None:
    token = parties.redeem(parties.code()).get_json()["access_token"]
    form = {"token": token, "token_type_hint": "something_else"}
    answer = parties.as_client.post(
        "/introspect", data=form, headers=RESOURCE_SERVER
    ).get_json()
    assert answer["active"] is True
    assert answer["token_type"] == "DPoP"
    assert answer["aud"] == parties.settings.resource_url
    assert answer["cnf"] == {"jkt": parties.key.thumbprint()}
    other = parties.as_client.post("/introspect", data=form, headers=CONFIDENTIAL)
    assert other.get_json() == {"active": False}
    nobody = parties.as_client.post("/introspect", data=form)
    assert nobody.status_code == 401


def test_introspection_of_an_expired_or_made_up_token_is_inactive(
    parties: Parties, clock: Clock
) -> None:
    answer = parties.redeem(parties.code()).get_json()
    assert not _is_active(parties, "made.up.token")
    assert not _is_active(parties, answer["refresh_token"])
    clock.advance(parties.settings.access_token_lifetime)
    assert not _is_active(parties, answer["access_token"])


@pytest.mark.requirement("J-5")
def test_revoking_an_access_token_leaves_the_refresh_token(parties: Parties) -> None:
    answer = parties.redeem(parties.code()).get_json()
    form = {"client_id": "demo-public", "token": answer["access_token"]}
    revoked = parties.as_client.post("/revoke", data=form, headers={"DPoP": "stray"})
    assert revoked.status_code == 200
    assert not _is_active(parties, answer["access_token"])
    assert parties.refresh(answer["refresh_token"]).status_code == 200


def test_revoking_a_refresh_token_ends_the_family(parties: Parties) -> None:
    answer = parties.redeem(parties.code()).get_json()
    form = {"client_id": "demo-public", "token": answer["refresh_token"]}
    assert parties.as_client.post("/revoke", data=form).status_code == 200
    assert not _is_active(parties, answer["access_token"])
    assert parties.refresh(answer["refresh_token"]).status_code == 400


def test_a_client_cannot_revoke_the_token_of_another(parties: Parties) -> None:
    token = parties.redeem(parties.code()).get_json()["access_token"]
    answer = parties.as_client.post(
        "/revoke", data={"token": token}, headers=CONFIDENTIAL
    )
    assert answer.status_code == 400
    assert _is_active(parties, token)


@pytest.mark.requirement("U-21")
def test_userinfo_demands_a_proof(parties: Parties) -> None:
    token = parties.redeem(parties.code()).get_json()["access_token"]
    url = f"{parties.settings.issuer_url}/userinfo"
    fields = {"Authorization": f"Bearer {token}"}
    assert parties.as_client.get("/userinfo", headers=fields).status_code == 401
    answer = parties.send(parties.as_client, "GET", url, access_token=token)
    assert answer.get_json()["sub"] == "alice"
    assert answer.get_json()["name"] == demo_data.DISPLAY_NAME


@pytest.mark.requirement("Q-13", "U-14")
def test_a_nonce_challenge_is_401_at_userinfo_and_400_at_the_token_endpoint(
    parties: Parties,
) -> None:
    token = parties.redeem(parties.code()).get_json()["access_token"]
    for method, path, access_token in (
        ("GET", "/userinfo", token),
        ("POST", "/token", None),
    ):
        proof = make_proof(
            parties.key,
            algorithm="ES256",
            method=method,
            url=parties.settings.issuer_url + path,
            now=parties.clock.now,
            access_token=access_token,
        )
        fields = {"DPoP": proof}
        if access_token is not None:
            fields["Authorization"] = f"DPoP {access_token}"
        form = {"grant_type": "client_credentials"} if method == "POST" else None
        answer = parties.as_client.open(path, method=method, data=form, headers=fields)
        assert len(answer.headers.getlist("DPoP-Nonce")) == 1
        if access_token is not None:
            assert answer.status_code == 401
            assert 'error="use_dpop_nonce"' in answer.headers["WWW-Authenticate"]
        else:
            assert answer.status_code == 400
            assert answer.get_json()["error"] == "use_dpop_nonce"


@pytest.mark.requirement("X-3", "X-5")
def test_a_code_for_a_key_is_never_good_for_a_bearer_token(parties: Parties) -> None:
    code = parties.code()
    answer = parties.as_client.post("/token", data=code_form(code))
    assert answer.status_code == 400
    assert answer.get_json()["error"] == "invalid_dpop_proof"
    assert parties.redeem(code).status_code == 200


def test_userinfo_tells_the_name_only_with_its_scope(parties: Parties) -> None:
    token = parties.redeem(parties.code(scope="accounts")).get_json()["access_token"]
    url = f"{parties.settings.issuer_url}/userinfo"
    answer = parties.send(parties.as_client, "GET", url, access_token=token)
    assert answer.get_json() == {"sub": "alice"}


def test_userinfo_refuses_a_revoked_token_and_one_of_a_client(
    parties: Parties,
) -> None:
    url = f"{parties.settings.issuer_url}/userinfo"
    form = {"grant_type": "client_credentials"}
    token = parties.token(form, headers=CONFIDENTIAL).get_json()["access_token"]
    answer = parties.send(parties.as_client, "GET", url, access_token=token)
    assert answer.status_code == 401
    token = parties.redeem(parties.code()).get_json()["access_token"]
    form = {"client_id": "demo-public", "token": token}
    parties.as_client.post("/revoke", data=form)
    answer = parties.send(parties.as_client, "GET", url, access_token=token)
    assert answer.status_code == 401


def test_introspection_mode_refuses_a_revoked_token_at_once(
    tmp_path: Path, clock: Clock, ec_key: ECKey
) -> None:
    parties = Parties.start(
        tmp_path,
        clock,
        ec_key,
        introspection_endpoint="http://127.0.0.1:9000/introspect",
    )
    token = parties.redeem(parties.code()).get_json()["access_token"]
    assert parties.api("GET", "/api/accounts", token).status_code == 200
    form = {"client_id": "demo-public", "token": token}
    parties.as_client.post("/revoke", data=form)
    assert parties.api("GET", "/api/accounts", token).status_code == 401


def test_nonces_can_be_off(tmp_path: Path, clock: Clock, ec_key: ECKey) -> None:
    parties = Parties.start(tmp_path, clock, ec_key, nonce="off")
    token = parties.redeem(parties.code()).get_json()["access_token"]
    assert parties.api("GET", "/api/accounts", token).status_code == 200
    assert parties.nonces == {}


@pytest.mark.requirement("U-28")
def test_bearer_is_accepted_for_unbound_tokens_only_and_only_on_demand(
    tmp_path: Path, clock: Clock, ec_key: ECKey
) -> None:
    form = {"grant_type": "client_credentials"}
    for bearer, status in (False, 401), (True, 200):
        directory = tmp_path / str(bearer)
        directory.mkdir()
        parties = Parties.start(directory, clock, ec_key, bearer=bearer)
        metadata = parties.rs_client.get("/.well-known/oauth-protected-resource")
        required = metadata.get_json()["dpop_bound_access_tokens_required"]
        assert required is not bearer
        unbound = parties.as_client.post("/token", data=form, headers=CONFIDENTIAL)
        assert unbound.get_json()["token_type"] == "Bearer"
        bound = parties.token(form, headers=CONFIDENTIAL)
        for answer, expected in (unbound, status), (bound, 401):
            fields = {"Authorization": f"Bearer {answer.get_json()['access_token']}"}
            api = parties.rs_client.get("/api/accounts", headers=fields)
            assert api.status_code == expected


def test_metadata_names_endpoints_that_exist(parties: Parties) -> None:
    metadata = parties.as_client.get("/.well-known/oauth-authorization-server").json
    assert metadata is not None
    for name, value in metadata.items():
        if name.endswith("_endpoint") or name == "jwks_uri":
            path = value.removeprefix(metadata["issuer"])
            assert parties.as_client.get(path).status_code != 404
    resource = parties.rs_client.get("/.well-known/oauth-protected-resource").json
    assert resource is not None
    assert resource["authorization_servers"] == [metadata["issuer"]]
    assert resource["dpop_bound_access_tokens_required"] is True


def test_every_refusal_is_one_line_with_reason_client_and_endpoint(
    parties: Parties, caplog: pytest.LogCaptureFixture
) -> None:
    expected = {
        "/token": ("unsupported_grant_type", "'demo-public'", "token"),
        "/introspect": ("invalid_client", "-", "introspect"),
        "/revoke": ("invalid_request", "'demo-public'", "revoke"),
    }
    for path, (reason, client, endpoint) in expected.items():
        caplog.clear()
        with caplog.at_level("INFO"):
            parties.as_client.post(path, data={"client_id": "demo-public"})
        (line,) = [record.getMessage() for record in caplog.records]
        assert f"refused: {reason}, client {client}, " in line
        assert endpoint in line


def test_a_repeated_parameter_and_a_wrong_password_are_in_the_log_without_values(
    parties: Parties, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        parties.as_client.post("/token", data={"code": ["secret-1", "secret-1"]})
        browser = parties.as_app.test_client()
        parties.sign_in(browser, target="", password="secret-2")
    assert "repeated_parameter" in caplog.text
    assert "wrong_password" in caplog.text
    assert "secret" not in caplog.text
    assert "alice" not in caplog.text


def test_no_token_is_in_the_log(
    parties: Parties, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        code = parties.code()
        answer = parties.redeem(code).get_json()
        parties.redeem(code)
        parties.refresh(answer["refresh_token"])
        query = query_of(parties.authorize_url())
        parties.api("GET", "/api/accounts", answer["access_token"] + "x")
    assert "invalid_grant" in caplog.text
    for secret in code, answer["access_token"], answer["refresh_token"]:
        assert secret not in caplog.text
    assert query["code_challenge"] not in caplog.text
