"""Attacks on the authorization server: more than was allowed, or somebody else's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from joserfc.jwk import ECKey
from werkzeug.test import TestResponse

from tests.attacks.conftest import OTHER_RESOURCE
from tests.attacks.moves import claims_of
from tests.demo.parties import (
    CALLBACK,
    CONFIDENTIAL,
    RESOURCE_SERVER,
    basic,
    code_form,
    query_of,
)
from tests.fuzz.servers import Servers

TWO = basic("two-audiences", "two-audiences-secret")
MUST = basic("must-use-dpop", "must-use-dpop-secret")


def together(count: int, send: Callable[[], TestResponse]) -> Counter[Any]:
    """Send as many requests at once; count the answers."""
    barrier = Barrier(count)

    def wait_and_send(_: int) -> tuple[int, str | None]:
        barrier.wait()
        answer = send()
        return answer.status_code, answer.get_json().get("error")

    with ThreadPoolExecutor(count) as pool:
        return Counter(pool.map(wait_and_send, range(count)))


def confidential_code(
    servers: Servers, client_id: str, **changes: Any
) -> dict[str, str]:
    code = servers.code(client_id=client_id, dpop_jkt=None, **changes)
    form = code_form(code)
    del form["client_id"]
    return form


@pytest.mark.requirement("T-8")
def test_of_parallel_redemptions_of_a_code_one_succeeds(servers: Servers) -> None:
    code = servers.code()
    answers = together(32, lambda: servers.redeem(code))
    assert answers == {(200, None): 1, (400, "invalid_grant"): 31}


def test_of_parallel_exchanges_of_a_refresh_token_one_succeeds(
    servers: Servers,
) -> None:
    token = servers.redeem(servers.code()).get_json()["refresh_token"]
    answers = together(32, lambda: servers.refresh(token))
    assert answers == {(200, None): 1, (400, "invalid_grant"): 31}


@pytest.mark.requirement("X-15")
def test_of_parallel_uses_of_a_proof_one_succeeds(servers: Servers) -> None:
    proof = servers.good_proof("POST", f"{servers.settings.issuer_url}/token")
    fields = {**CONFIDENTIAL, "DPoP": proof.decode()}
    form = {"grant_type": "client_credentials"}
    answers = together(
        32,
        lambda: servers.as_app.test_client().post("/token", data=form, headers=fields),
    )
    assert answers == {(200, None): 1, (400, "invalid_dpop_proof"): 31}


def test_parallel_token_requests_all_succeed(servers: Servers) -> None:
    form = {"grant_type": "client_credentials"}
    answers = together(16, lambda: servers.token(form, headers=CONFIDENTIAL))
    assert answers == {(200, None): 16}


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


def test_a_code_is_good_for_its_own_client_only(servers: Servers) -> None:
    stolen = {**code_form(servers.code(dpop_jkt=None)), "client_id": ""}
    form = {name: value for name, value in stolen.items() if value}
    for headers in CONFIDENTIAL, TWO:
        answer = servers.token(form, headers=headers)
        assert answer.get_json()["error"] == "invalid_grant"
        # Nor does it help to be called like the victim.
        answer = servers.token({**form, "client_id": "demo-public"}, headers=headers)
        assert answer.get_json()["error"] == "invalid_grant"
    assert servers.token({**form, "client_id": "demo-public"}).status_code == 200


def test_a_refresh_token_is_good_for_its_own_client_only(servers: Servers) -> None:
    form = confidential_code(servers, "demo-confidential")
    answer = servers.token(form, headers=CONFIDENTIAL).get_json()
    stolen = {"grant_type": "refresh_token", "refresh_token": answer["refresh_token"]}
    for headers, client_id in (TWO, None), (None, "demo-public"):
        extra = {"client_id": client_id} if client_id else {}
        refused = servers.token({**stolen, **extra}, headers=headers)
        assert refused.get_json()["error"] == "invalid_grant"
    assert servers.token(stolen, headers=CONFIDENTIAL).status_code == 200


@pytest.mark.requirement("G-2", "X-26")
@pytest.mark.parametrize(
    ("form", "headers"),
    [
        ({"client_id": "demo-confidential"}, None),
        ({"client_id": "demo-confidential", "client_secret": ""}, None),
        (
            {
                "client_id": "demo-confidential",
                "client_secret": "demo-confidential-secret",
            },
            None,
        ),
        ({}, basic("demo-confidential", "")),
        ({}, basic("demo-confidential", "demo-confidential-secret ")),
        ({}, basic("DEMO-CONFIDENTIAL", "demo-confidential-secret")),
        ({}, basic("demo-public", "")),
        ({"client_id": "demo-public", "client_secret": "x"}, None),
        ({"client_id": "demo-public"}, None),
        ({"client_id": ["demo-public", "demo-confidential"]}, None),
    ],
)
def test_a_proof_is_no_client_authentication(
    servers: Servers, form: dict[str, Any], headers: dict[str, str] | None
) -> None:
    answer = servers.token(
        {"grant_type": "client_credentials", **form}, headers=headers
    )
    assert answer.status_code in (400, 401)
    assert answer.get_json()["error"] in ("invalid_client", "invalid_request")


def test_introspection_is_for_the_resource_server_of_the_audience(
    servers: Servers,
) -> None:
    token = servers.redeem(servers.code()).get_json()["access_token"]
    other = basic("other-resource-server", "other-resource-server-secret")
    for caller, active in (RESOURCE_SERVER, True), (other, False), (TWO, False):
        answer = servers.as_client.post(
            "/introspect", data={"token": token}, headers=caller
        )
        assert answer.get_json()["active"] is active
        assert active or answer.get_json() == {"active": False}
    public = {"token": token, "client_id": "demo-public"}
    assert servers.as_client.post("/introspect", data=public).status_code == 401


def test_nobody_ends_the_grant_of_another_client(servers: Servers) -> None:
    tokens = servers.redeem(servers.code()).get_json()
    for name in "access_token", "refresh_token":
        for caller in CONFIDENTIAL, TWO, RESOURCE_SERVER:
            answer = servers.as_client.post(
                "/revoke", data={"token": tokens[name]}, headers=caller
            )
            assert answer.status_code == 400
    assert servers.refresh(tokens["refresh_token"]).status_code == 200


@pytest.mark.requirement("M-3", "X-5", "T-8")
def test_a_client_that_must_use_dpop_never_gets_a_bearer_token(
    servers: Servers,
) -> None:
    code = confidential_code(servers, "must-use-dpop")
    bound = servers.token(code, headers=MUST).get_json()
    assert bound["token_type"] == "DPoP"
    refresh = {"grant_type": "refresh_token", "refresh_token": bound["refresh_token"]}
    for form in (
        {"grant_type": "client_credentials"},
        confidential_code(servers, "must-use-dpop"),
        refresh,
    ):
        for fields in MUST, {**MUST, "DPoP": ""}, {**MUST, "X-DPoP": "x"}:
            answer = servers.as_client.post("/token", data=form, headers=fields)
            assert answer.status_code == 400
            assert answer.get_json()["error"] == "invalid_dpop_proof"
    for response_type in "token", "code token", "id_token token":
        url = servers.authorize_url(
            client_id="must-use-dpop", response_type=response_type
        )
        location = servers.as_client.get(url).location
        assert query_of(location)["error"] == "unsupported_response_type"


@pytest.mark.requirement("T-8", "T-9")
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


def test_parameters_of_one_place_do_not_count_in_another(servers: Servers) -> None:
    code = servers.code()
    form = code_form(code)
    moved = form.pop("code_verifier")
    answer = servers.as_client.post(
        "/token",
        data=form,
        query_string={"code_verifier": moved},
        headers={
            "DPoP": servers.good_proof(
                "POST", f"{servers.settings.issuer_url}/token"
            ).decode()
        },
    )
    assert answer.get_json()["error"] == "invalid_request"
    url = servers.authorize_url(redirect_uri=None)
    page = servers.as_client.get(url, data={"redirect_uri": CALLBACK})
    assert page.status_code == 400
    assert servers.redeem(code).status_code == 200
