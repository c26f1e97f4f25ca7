"""What has expired is deleted, and what could still be used or misused is not."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from demo_server.authorization_server.server import REFRESH_TOKEN_LIFETIME
from demo_server.authorization_server.sweep import INTERVAL, MARGIN, Sweep
from demo_server.database import Database
from demo_server.models import AuthorizationCode, Base, Consent, Token
from tests.conftest import Clock
from tests.demo.parties import CONFIDENTIAL, Parties

FORM = {"grant_type": "client_credentials"}


@pytest.fixture
def database(parties: Parties) -> Database:
    return Database(parties.settings.database)


def count(database: Database, *models: type[Base]) -> tuple[int, ...]:
    with Session(database.engine) as session:
        return tuple(
            session.scalar(select(func.count()).select_from(model)) or 0
            for model in models
        )


def test_the_family_of_a_consent_goes_when_its_last_token_has_expired(
    parties: Parties, database: Database, clock: Clock
) -> None:
    sweep, start = Sweep(database.engine), clock.now
    code = parties.code()
    first = parties.redeem(code).get_json()
    clock.advance(400)
    assert parties.refresh(first["refresh_token"]).status_code == 200
    models = (Token, AuthorizationCode, Consent)
    assert count(database, *models) == (2, 1, 1)
    assert sweep.run(clock.now) == 0

    # The first refresh token was exchanged; who knows it is still found out.
    last = clock.now + REFRESH_TOKEN_LIFETIME + MARGIN
    assert sweep.run(start + REFRESH_TOKEN_LIFETIME + MARGIN + 1) == 1
    assert sweep.run(last) == 0
    assert count(database, *models) == (1, 1, 1)
    assert sweep.run(last + 1) == 3
    assert count(database, *models) == (0, 0, 0)


def test_a_code_that_nobody_redeemed_goes_with_its_consent(
    parties: Parties, database: Database, clock: Clock
) -> None:
    sweep = Sweep(database.engine)
    parties.code()
    assert sweep.run(clock.now + 60 + MARGIN) == 0
    assert sweep.run(clock.now + 61 + MARGIN) == 2
    assert count(database, AuthorizationCode, Consent) == (0, 0)


def test_tokens_of_a_client_for_itself_go_when_a_later_one_is_issued(
    parties: Parties, database: Database, clock: Clock
) -> None:
    for _ in range(3):
        assert parties.token(FORM, headers=CONFIDENTIAL).status_code == 200
    assert count(database, Token) == (3,)
    clock.advance(max(INTERVAL, 301 + MARGIN))
    assert parties.token(FORM, headers=CONFIDENTIAL).status_code == 200
    assert count(database, Token) == (1,)


def test_a_sweep_that_fails_fails_no_request(
    parties: Parties,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(self: Sweep, now: int) -> int:
        raise OperationalError("x", {}, Exception())

    monkeypatch.setattr(Sweep, "run", fail)
    assert parties.token(FORM, headers=CONFIDENTIAL).status_code == 200
    assert "expired rows were not deleted" in caplog.text
