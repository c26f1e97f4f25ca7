"""Attacks of one client on another, and as another."""

from __future__ import annotations

from typing import Any

import pytest

from tests.attacks.moves import MUST, TWO, confidential_code
from tests.demo.parties import (
    CALLBACK,
    CONFIDENTIAL,
    RESOURCE_SERVER,
    basic,
    code_form,
    query_of,
)
from tests.fuzz.servers import Servers


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
