"""The authorization server or its database is gone: what goes on, and what is said."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey

from demo_server.database import Database
from demo_server.settings import Settings
from tests import engines
from tests.conftest import Clock
from tests.demo.parties import CONFIDENTIAL, Parties
from tests.engines import wait_until


@pytest.fixture
def postgres() -> Iterator[engines.PostgresServer]:
    with engines.postgres_server() as server:
        yield server


@pytest.fixture
def parties(
    postgres: engines.PostgresServer, tmp_path: Path, clock: Clock, ec_key: ECKey
) -> Parties:
    settings = Settings(
        database=postgres.url, keys=tmp_path / "as", rs_keys=tmp_path / "rs"
    )
    return Parties(settings=settings, clock=clock, key=ec_key)


def test_a_code_survives_a_database_that_is_gone_for_a_while(
    parties: Parties,
    postgres: engines.PostgresServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    code = parties.code()
    postgres.kill()
    with caplog.at_level(logging.ERROR):
        answer = parties.redeem(code)
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.get_json()["error"] == "temporarily_unavailable"
    assert "OperationalError" in caplog.text
    assert code not in caplog.text
    postgres.start()

    def is_back() -> bool:
        return parties.as_client.get("/jwks").status_code == 200

    wait_until(is_back, what="service returns by itself")
    statuses = [parties.redeem(code).status_code for _ in range(3)]
    # A connection that broke is found out by the first request that gets it.
    assert statuses[-1] in {200, 400}
    assert statuses.count(200) == 1


def test_the_resource_server_goes_on_while_the_issuer_is_gone(
    parties: Parties, postgres: engines.PostgresServer
) -> None:
    form = {"grant_type": "client_credentials"}
    token = parties.token(form, headers=CONFIDENTIAL).get_json()["access_token"]
    assert parties.api("GET", "/api/accounts", token).status_code == 200
    postgres.kill()
    assert parties.token(form, headers=CONFIDENTIAL).status_code == 503
    assert parties.api("GET", "/api/accounts", token).status_code == 200


def test_no_wait_for_the_database_is_without_end(
    postgres: engines.PostgresServer,
) -> None:
    database = Database(postgres.url)
    with database.engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        options = driver.info.get_parameters()
    database.close()
    assert options["connect_timeout"] == "2"
    assert options["options"] == "-c statement_timeout=5000"
    assert options["tcp_user_timeout"] == "5000"
