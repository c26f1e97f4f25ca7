"""Wrong client secrets are not tried without end."""

from __future__ import annotations

from demo_server.authorization_server.client_authentication import (
    MAX_FAILURES,
    WINDOW,
)
from tests.conftest import Clock
from tests.demo.parties import CONFIDENTIAL, Parties, basic

FORM = {"grant_type": "client_credentials"}
WRONG = basic("demo-confidential", "wrong")


def statuses(parties: Parties, number: int, address: str = "127.0.0.1") -> set[int]:
    return {
        parties.as_client.post(
            "/token",
            data=FORM,
            headers=WRONG,
            environ_base={"REMOTE_ADDR": address},
        ).status_code
        for _ in range(number)
    }


def test_over_the_limit_no_secret_is_looked_at_for_a_while(
    parties: Parties, clock: Clock
) -> None:
    assert statuses(parties, MAX_FAILURES) == {401}
    answer = parties.token(FORM, headers=CONFIDENTIAL)
    assert answer.status_code == 429
    assert answer.get_json()["error"] == "temporarily_unavailable"
    assert int(answer.headers["Retry-After"]) > 0
    clock.advance(WINDOW)
    assert parties.token(FORM, headers=CONFIDENTIAL).status_code == 200


def test_neither_another_address_nor_another_client_is_over_it(
    parties: Parties,
) -> None:
    statuses(parties, MAX_FAILURES, address="192.0.2.1")
    assert statuses(parties, 1, address="192.0.2.1") == {429}
    assert parties.token(FORM, headers=CONFIDENTIAL).status_code == 200
    other = {"REMOTE_ADDR": "192.0.2.1"}
    headers = basic("nobody", "x")
    answer = parties.as_client.post(
        "/token", data=FORM, headers=headers, environ_base=other
    )
    assert answer.status_code == 401


def test_a_good_secret_counts_for_nothing(parties: Parties) -> None:
    for _ in range(3):
        statuses(parties, MAX_FAILURES // 3)
        assert parties.token(FORM, headers=CONFIDENTIAL).status_code == 200
