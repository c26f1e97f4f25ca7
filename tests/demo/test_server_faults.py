"""The authorization server or its database is gone: what goes on, and what is said."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey
from sqlalchemy import Engine, event
from werkzeug.test import TestResponse

from demo_server.database import Database
from demo_server.settings import Settings
from dpop_ext.core.proof_making import make_proof
from tests import engines
from tests.conftest import Clock
from tests.demo.parties import CONFIDENTIAL, Parties, code_form
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


@pytest.fixture
def impatient(
    postgres: engines.PostgresServer,
    tmp_path: Path,
    clock: Clock,
    ec_key: ECKey,
    monkeypatch: pytest.MonkeyPatch,
) -> Parties:
    """Return servers that give a database up after a moment."""
    for module in ("database", "shared_stores"):
        monkeypatch.setattr(f"demo_server.{module}.BUSY_TIMEOUT", 1000)
    settings = Settings(
        database=postgres.url, keys=tmp_path / "as", rs_keys=tmp_path / "rs"
    )
    return Parties(settings=settings, clock=clock, key=ec_key)


@contextmanager
def frozen_at(postgres: engines.PostgresServer, beginning: str) -> Iterator[list[str]]:
    """Freeze the server when it is to be sent a certain statement; thaw it at last."""
    seen: list[str] = []

    def look(_: Any, __: Any, statement: str, *___: Any) -> None:
        if statement.startswith(beginning) and not seen:
            seen.append(statement)
            postgres.freeze()

    event.listen(Engine, "before_cursor_execute", look)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", look)
        postgres.thaw()


@pytest.mark.requirement("X-15")
@pytest.mark.parametrize(
    ("beginning", "is_spent"),
    [
        ("INSERT INTO dpop_used_proof", None),
        ("UPDATE authorization_codes", None),
        ("INSERT INTO tokens", True),
    ],
)
def test_a_token_request_whose_database_freezes_is_answered_and_spends_once(
    impatient: Parties,
    postgres: engines.PostgresServer,
    beginning: str,
    is_spent: bool | None,
) -> None:
    parties = impatient
    url = f"{parties.settings.issuer_url}/token"
    # Proofs have the nonce that this brings.
    assert parties.redeem(parties.code()).status_code == 200
    form = code_form(parties.code())
    proof = make_proof(
        parties.key,
        algorithm="ES256",
        method="POST",
        url=url,
        now=parties.clock.now,
        nonce=parties.nonces[parties.settings.issuer_url],
    )

    def send() -> TestResponse:
        client = parties.as_app.test_client()
        return client.post("/token", data=form, headers={"DPoP": proof})

    with frozen_at(postgres, beginning) as seen:
        begun = time.monotonic()
        answer = send()
        taken = time.monotonic() - begun
    assert len(seen) == 1
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.get_json()["error"] == "temporarily_unavailable"
    assert taken < 10
    # Whether the server carried out what it had been sent, nobody knows: the proof and
    # the code are good once, or not any more.
    with ThreadPoolExecutor(4) as threads:
        again = list(threads.map(lambda _: send().status_code, range(4)))
    later = [parties.redeem(form["code"]).status_code for _ in range(2)]
    assert again.count(200) + later.count(200) <= 1
    assert {*again, *later} <= {200, 400}
    if is_spent:
        assert 200 not in again + later
    # Other requests are served.
    assert parties.redeem(parties.code()).status_code == 200


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
