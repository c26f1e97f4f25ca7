"""More than the user allowed, or to another place."""

from __future__ import annotations

import pytest
from joserfc.jwk import ECKey

from tests.attacks.conftest import OTHER_RESOURCE
from tests.attacks.moves import TWO, claims_of, confidential_code
from tests.demo.parties import (
    CONFIDENTIAL,
    code_form,
    query_of,
)
from tests.fuzz.servers import Servers


def test_a_token_is_for_the_resource_that_the_user_saw(servers: Servers) -> None:
    resource = servers.settings.resource_url
    form = confidential_code(servers, "two-audiences", resource=resource)
    for wish in [OTHER_RESOURCE], [resource, OTHER_RESOURCE], ["https://x.example"]:
        answer = servers.token({**form, "resource": wish}, headers=TWO)
        assert answer.get_json()["error"] == "invalid_target"
    answer = servers.token(form, headers=TWO).get_json()
    assert claims_of(answer["access_token"])["aud"] == resource
    refresh = {"grant_type": "refresh_token", "refresh_token": answer["refresh_token"]}
    other = {**refresh, "resource": OTHER_RESOURCE}
    error = servers.token(other, headers=TWO).get_json()["error"]
    assert error == "invalid_target"
    answer = servers.token({**refresh, "resource": resource}, headers=TWO).get_json()
    assert claims_of(answer["access_token"])["aud"] == resource


def test_a_client_of_two_resources_has_to_choose(servers: Servers) -> None:
    url = servers.authorize_url(client_id="two-audiences")
    location = servers.as_client.get(url).location
    assert query_of(location)["error"] == "invalid_target"
    form = {"grant_type": "client_credentials"}
    error = servers.token(form, headers=TWO).get_json()["error"]
    assert error == "invalid_target"


def test_no_request_gets_more_scope_than_was_allowed(servers: Servers) -> None:
    tokens = servers.redeem(servers.code(scope="accounts")).get_json()
    assert tokens["scope"] == "accounts"
    form = {
        "grant_type": "refresh_token",
        "refresh_token": tokens["refresh_token"],
        "client_id": "demo-public",
    }
    for scope in "transfers", "accounts transfers", "profile", "admin", "accounts\t*":
        answer = servers.token({**form, "scope": scope})
        assert answer.get_json()["error"] == "invalid_scope"
    form = {**code_form(servers.code(scope="accounts")), "scope": "transfers"}
    assert servers.token(form).get_json()["scope"] == "accounts"


@pytest.mark.parametrize(
    "change",
    [
        {"code_challenge_method": "plain"},
        {"code_challenge_method": None},
        {"code_challenge_method": ""},
        {"code_challenge_method": "s256"},
        {"code_challenge": None},
        {"code_challenge": ""},
        {"code_challenge": None, "code_challenge_method": None},
        {"code_challenge": "x" * 42},
        {"code_challenge": "x" * 44},
    ],
)
@pytest.mark.parametrize("client_id", ["demo-public", "demo-confidential"])
def test_no_code_without_a_challenge(
    servers: Servers, change: dict[str, str | None], client_id: str
) -> None:
    url = servers.authorize_url(client_id=client_id, **change)
    location = servers.as_client.get(url).location
    assert query_of(location)["error"] == "invalid_request"


@pytest.mark.parametrize("verifier", [None, "", "w" * 43, "v" * 44, "v" * 42])
@pytest.mark.parametrize("confidential", [False, True])
def test_no_token_without_the_verifier(
    servers: Servers, verifier: str | None, confidential: bool
) -> None:
    form = code_form(servers.code())
    headers = None
    if confidential:
        form = confidential_code(servers, "demo-confidential")
        headers = CONFIDENTIAL
    form.pop("code_verifier")
    if verifier is not None:
        form["code_verifier"] = verifier
    answer = servers.token(form, headers=headers)
    assert answer.get_json()["error"] in ("invalid_request", "invalid_grant")


@pytest.mark.parametrize(
    "uri",
    [
        "http://localhost:7777/callback",
        "http://127.0.0.1.evil.example/callback",
        "http://127.0.0.1@evil.example/callback",
        "http://127.0.0.1:7777@evil.example/callback",
        "http://127.0.0.1:@evil.example/callback",
        "http://127.0.0.1:99999/callback",
        "http://127.0.0.1:-1/callback",
        "http://127.0.0.1:7777\\@evil.example/callback",
        "http://127.0.0.1:7777/callback/../evil",
        "http://127.0.0.1:7777/callback?x=1",
        "http://127.0.0.1:7777/callback#x",
        "http://127.0.0.1:7777/CALLBACK",
        "http://127.0.0.1:7777//callback",
        "https://127.0.0.1:7777/callback",
        "http://127.0.0.2:7777/callback",
        "http://2130706433:7777/callback",
        "http://0x7f.1:7777/callback",
        "http://[::ffff:127.0.0.1]:7777/callback",
        "http://[::1%25lo]:7777/callback",
        "http://127.0.0.1:7777/callback\n",
        "http://127.0.0.1:\uff17\uff17\uff17\uff17/callback",
        "//127.0.0.1:7777/callback",
        "javascript:alert(1)//127.0.0.1/callback",
        "",
    ],
)
def test_codes_go_to_registered_places_only(servers: Servers, uri: str) -> None:
    answer = servers.as_client.get(servers.authorize_url(redirect_uri=uri))
    assert answer.status_code == 400
    assert "Location" not in answer.headers


@pytest.mark.requirement("T-8", "T-9", "U-15")
def test_a_bound_refresh_token_stays_with_its_key(
    servers: Servers, other_ec_key: ECKey
) -> None:
    token = servers.redeem(servers.code()).get_json()["refresh_token"]
    for _ in range(3):
        theft = servers.refresh(token, key=other_ec_key)
        assert theft.get_json()["error"] == "invalid_grant"
        form = {
            "grant_type": "refresh_token",
            "refresh_token": token,
            "client_id": "demo-public",
        }
        bare = servers.as_client.post("/token", data=form)
        assert bare.get_json()["error"] == "invalid_dpop_proof"
        token = servers.refresh(token).get_json()["refresh_token"]
