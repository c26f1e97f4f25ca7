"""The demo servers on PostgreSQL, which is stricter than SQLite."""

from __future__ import annotations

from pathlib import Path

import pytest
from joserfc.jwk import ECKey

from demo_server.settings import Settings
from tests.conftest import Clock
from tests.demo.parties import Parties, basic, hidden_fields

NUL = "al\0ice"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # With the key of what is in the database.
    return tmp_path_factory.mktemp("keys")


@pytest.fixture
def parties(
    postgres_database: str, directory: Path, clock: Clock, ec_key: ECKey
) -> Parties:
    settings = Settings(
        database=postgres_database, keys=directory / "as", rs_keys=directory / "rs"
    )
    return Parties(settings=settings, clock=clock, key=ec_key)


def test_a_token_is_issued_and_used(parties: Parties) -> None:
    token = parties.redeem(parties.code()).get_json()
    answer = parties.api("GET", "/api/accounts", token["access_token"])
    assert answer.get_json()["owner"] == "alice"
    refreshed = parties.refresh(token["refresh_token"])
    assert refreshed.get_json()["token_type"] == "DPoP"


def test_a_client_with_a_nul_in_its_name_is_not_known(parties: Parties) -> None:
    form = {"grant_type": "client_credentials"}
    answer = parties.as_client.post("/token", data=form, headers=basic(NUL, "secret"))
    assert answer.status_code == 401
    assert answer.get_json()["error"] == "invalid_client"
    answer = parties.as_client.get(parties.authorize_url(client_id=NUL))
    assert answer.status_code == 400


def test_a_person_with_a_nul_in_the_name_is_not_known(parties: Parties) -> None:
    browser = parties.as_app.test_client()
    form = hidden_fields(browser.get("/login").text)
    fields = {"username": NUL, "password": "wonderland"}
    answer = browser.post("/login", data={**form, **fields})
    assert answer.status_code == 401
    assert "Name or password are not right." in answer.text
