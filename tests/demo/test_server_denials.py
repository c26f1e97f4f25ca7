"""Revoked tokens at a resource server that verifies tokens by itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event

from demo_server.resource_server.keyring import POLL_INTERVAL
from tests.demo.parties import Parties
from tests.patience import PATIENCE

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


@contextmanager
def held_up(beginning: str, meanwhile: Callable[[], None]) -> Iterator[list[str]]:
    """Do something when a certain statement is about to be sent for the first time."""
    seen: list[str] = []

    def look(_: Any, __: Any, statement: str, *___: Any) -> None:
        if statement.startswith(beginning) and not seen:
            seen.append(statement)
            # Another request, and so another thread: this one has a session.
            with ThreadPoolExecutor(1) as other:
                other.submit(meanwhile).result()

    event.listen(Engine, "before_cursor_execute", look)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", look)


@pytest.mark.requirement("R2012")
def test_a_refresh_that_is_saved_while_its_grant_is_revoked_does_not_escape(
    parties: Parties,
) -> None:
    first = parties.redeem(parties.code()).get_json()
    with held_up(
        "INSERT INTO tokens", lambda: revoke(parties, first["refresh_token"])
    ) as seen:
        second = parties.refresh(first["refresh_token"])
    assert (len(seen), second.status_code) == (1, 200)
    parties.clock.advance(POLL)
    token = second.get_json()["access_token"]
    assert ask(parties, token) == (401, "invalid_token")


@pytest.mark.requirement("R2012")
def test_refreshes_and_revocations_at_the_same_moment_leave_no_good_token(
    parties: Parties,
) -> None:
    families = [parties.redeem(parties.code()).get_json() for _ in range(8)]
    tokens = [family["access_token"] for family in families]
    barrier = threading.Barrier(2, timeout=PATIENCE)

    def refresh(family: dict[str, str]) -> None:
        barrier.wait()
        answer = parties.refresh(family["refresh_token"])
        if answer.status_code == 200:
            tokens.append(answer.get_json()["access_token"])

    for family in families:
        with ThreadPoolExecutor(1) as threads:
            refreshing = threads.submit(refresh, family)
            barrier.wait()
            revoke(parties, family["refresh_token"])
            refreshing.result()
    parties.clock.advance(POLL)
    assert {ask(parties, token) for token in tokens} == {(401, "invalid_token")}
