"""Revoked tokens at a resource server that verifies tokens by itself."""

from __future__ import annotations

import pytest

from demo_server.resource_server.keyring import POLL_INTERVAL
from tests.demo.parties import Parties

#: A poll, and its jitter.
POLL = POLL_INTERVAL * 1.1


def revoke(parties: Parties, token: str) -> None:
    form = {"client_id": "demo-public", "token": token}
    assert parties.as_client.post("/revoke", data=form).status_code == 200


def ask(parties: Parties, token: str) -> tuple[int, str | None]:
    answer = parties.api("GET", "/api/accounts", token)
    return answer.status_code, answer.get_json().get("error")


@pytest.mark.requirement("R2012", "R2021")
def test_a_revoked_access_token_is_refused_after_a_poll(parties: Parties) -> None:
    answers = [parties.redeem(parties.code()).get_json() for _ in range(2)]
    revoked, other = (answer["access_token"] for answer in answers)
    assert ask(parties, revoked) == (200, None)
    revoke(parties, revoked)
    revoke(parties, revoked)
    parties.clock.advance(POLL)
    assert ask(parties, revoked) == (401, "invalid_token")
    assert ask(parties, other) == (200, None)
    refreshed = parties.refresh(answers[0]["refresh_token"]).get_json()
    assert ask(parties, refreshed["access_token"]) == (200, None)


@pytest.mark.requirement("R2012")
def test_a_revoked_grant_ends_every_access_token_of_it(parties: Parties) -> None:
    first = parties.redeem(parties.code()).get_json()
    second = parties.refresh(first["refresh_token"]).get_json()
    tokens = [first["access_token"], second["access_token"]]
    revoke(parties, second["refresh_token"])
    parties.clock.advance(POLL)
    for token in tokens:
        assert ask(parties, token) == (401, "invalid_token")


@pytest.mark.requirement("R2012")
def test_a_code_used_twice_ends_them_too(parties: Parties) -> None:
    code = parties.code()
    token = parties.redeem(code).get_json()["access_token"]
    assert parties.redeem(code).status_code == 400
    parties.clock.advance(POLL)
    assert ask(parties, token) == (401, "invalid_token")
