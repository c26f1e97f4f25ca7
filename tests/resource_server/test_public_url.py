"""What the operator of a resource server is told: a setting that lacks or is wrong."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import pytest

from dpop_ext.errors import AccessTokenError
from dpop_ext.log_events import mismatch_warned
from dpop_ext.resource_server.refusal_log import warn_about_host
from tests.resource_server.cases import signed_proof
from tests.resource_server.world import ADAPTERS, AUDIENCE, Request, World, send

adapters = pytest.mark.parametrize("adapter", ADAPTERS)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.message for record in caplog.records if record.levelname == "WARNING"
    ]


@pytest.mark.requirement("N-18")
@adapters
def test_without_a_public_url_the_setting_is_named_once(
    world: World, adapter: str, caplog: pytest.LogCaptureFixture
) -> None:
    warn_about_host.cache_clear()
    world = dataclasses.replace(world, public_url=None)
    app = world.app(adapter)
    for _ in range(2):
        token = world.token()
        headers = [("Authorization", f"DPoP {token}"), ("DPoP", world.proof(token))]
        assert send(app, Request(headers=headers).environ()).status == 200
    (warning,) = warnings(caplog)
    assert "set public_url" in warning


@adapters
def test_with_a_public_url_or_on_loopback_there_is_nothing_to_say(
    world: World, adapter: str, caplog: pytest.LogCaptureFixture
) -> None:
    warn_about_host.cache_clear()
    token = world.token()
    headers = [("Authorization", f"DPoP {token}"), ("DPoP", world.proof(token))]
    assert send(world.app(adapter), Request(headers=headers).environ()).status == 200
    world = dataclasses.replace(world, public_url=None)
    proof = world.proof(token, url="http://127.0.0.1:8000/accounts")
    headers = [("Authorization", f"DPoP {token}"), ("DPoP", proof)]
    local = Request(headers=headers, host="127.0.0.1:8000", scheme="http")
    assert send(world.app(adapter), local.environ()).status == 200
    assert warnings(caplog) == []


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"aud": "https://other.example"}, "aud"),
        ({"iss": "https://as.example.com/"}, "iss"),
        ({"exp": 1}, "exp"),
        ({"jti": None}, "jti"),
        ({"header": {"typ": "JWT"}}, "typ"),
        ({"header": {"kid": "unknown"}}, "kid"),
    ],
)
@adapters
def test_the_log_names_the_claim_for_which_a_token_is_refused(
    world: World,
    adapter: str,
    changes: dict[str, Any],
    cause: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "dpop_ext")
    token = world.token(**changes)
    headers = [("Authorization", f"DPoP {token}"), ("DPoP", world.proof(token))]
    response = send(world.app(adapter), Request(headers=headers).environ())
    assert response.json["error_description"] == AccessTokenError.description
    (record,) = (r for r in caplog.records if vars(r).get("event"))
    assert vars(record)["fields"]["cause"] == cause


@adapters
def test_a_proof_for_another_method_is_not_explained_by_the_public_url(
    world: World, adapter: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor does it use up the one warning that is about it."""
    caplog.set_level(logging.DEBUG, "dpop_ext")
    mismatch_warned.clear()
    token = world.token()
    for claims in ({"htm": "PUT"}, {"htu": f"{AUDIENCE}/v1"}):
        proof = signed_proof(world, token, **claims)
        headers = [("Authorization", f"DPoP {token}"), ("DPoP", proof)]
        assert (
            send(world.app(adapter), Request(headers=headers).environ()).status == 401
        )
    first, second = (
        r for r in caplog.records if vars(r).get("event") == "target_mismatch"
    )
    assert (first.levelname, second.levelname) == ("DEBUG", "WARNING")
    assert first.getMessage() == "the proof is for 'PUT', the request for 'GET'"
    assert "public_url" in second.getMessage()


@pytest.mark.requirement("U-3")
@adapters
def test_a_proof_for_another_url_is_explained_to_who_looks_for_it(
    world: World, adapter: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "dpop_ext")
    mismatch_warned.clear()
    token = world.token()
    proof = signed_proof(world, token, htu=f"{AUDIENCE}/v1\n/accounts?secret")
    headers = [("Authorization", f"DPoP {token}"), ("DPoP", proof)]
    app = world.app(adapter)
    for _ in range(3):
        response = send(app, Request(headers=headers).environ())
        assert response.status == 401
        assert b"v1" not in response.body
    lines = [r for r in caplog.records if vars(r).get("event") == "target_mismatch"]
    assert [line.levelname for line in lines] == ["WARNING", "DEBUG", "DEBUG"]
    for line in lines:
        assert vars(line)["fields"] == {
            "expected": repr(f"{AUDIENCE}/accounts"),
            "found": repr(f"{AUDIENCE}/v1\n/accounts"),
        }
        assert "public_url" in line.getMessage()
        assert line.getMessage().isprintable()
