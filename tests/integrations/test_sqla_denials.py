"""Tokens that were revoked, from the authorization server to the resource servers."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import Engine, MetaData, update

from dpop_ext.errors import StoreError
from dpop_ext.integrations.sqla_denials import MAX_EXCHANGES, SQLDenials
from dpop_ext.integrations.sqla_secrets import SQLAudienceSecrets
from dpop_ext.stores.denial_tables import define_denial_tables
from dpop_ext.symmetric.deny_list import MAX_DENIALS
from dpop_ext.symmetric.keyring_claims import (
    content_digest,
    fit_in_keyring,
    keyring_claims,
)
from dpop_ext.symmetric.rotation_plan import RotationPlan
from dpop_ext.symmetric.secret_bytes import SecretBytes
from tests.conftest import Clock
from tests.patience import PATIENCE

ISSUER = "https://as.example"
AUDIENCE = "https://api.example"
OTHER = "https://other.example"
TABLES = define_denial_tables(MetaData())


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: Any, tmp_path: Path) -> Iterator[Engine]:
    url = f"sqlite:///{tmp_path}/as.sqlite3"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_database")
    engine = sqlalchemy.create_engine(url)
    metadata = MetaData()
    metadata.reflect(engine)
    metadata.drop_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def denials(engine: Engine, clock: Clock) -> SQLDenials:
    denials = SQLDenials(engine, issuer=ISSUER, clock=clock)
    denials.create_schema()
    return denials


@pytest.fixture
def secrets(engine: Engine, denials: SQLDenials, clock: Clock) -> SQLAudienceSecrets:
    key = SecretBytes(bytes(range(100, 132)))
    secrets = SQLAudienceSecrets(
        engine, key, issuer=ISSUER, denials=denials, clock=clock
    )
    secrets.create_schema()
    for audience in AUDIENCE, OTHER:
        secrets.register(audience, RotationPlan(), at_once=True)
    return secrets


def denied(denials: SQLDenials, audience: str = AUDIENCE) -> list[Any]:
    return [denial.token_id or denial.r for denial in denials.read(audience)[0]]


def test_a_database_that_would_not_hold_off_exchanges_is_refused() -> None:
    # A driver that is never called.
    driver = SimpleNamespace(paramstyle="format")
    mysql = sqlalchemy.create_engine("mysql+pymysql://h/d", module=driver)
    with pytest.raises(ValueError, match="SQLite and PostgreSQL"):
        SQLDenials(mysql, issuer=ISSUER)
    with pytest.raises(ValueError, match="SQLite and PostgreSQL"):
        SQLAudienceSecrets(mysql, SecretBytes(bytes(32)), issuer=ISSUER)


@pytest.mark.requirement("R2012")
def test_a_denied_token_is_in_the_keyring_of_its_audience(
    secrets: SQLAudienceSecrets, denials: SQLDenials, clock: Clock
) -> None:
    r = os.urandom(32)
    before = secrets.load_numbered(AUDIENCE)
    denials.deny(AUDIENCE, token_id="t1", expires_at=clock.now + 300)
    denials.deny(AUDIENCE, r=r, expires_at=clock.now + 300)
    after = secrets.load_numbered(AUDIENCE)
    assert before is not None
    assert after is not None
    assert [(d.token_id, d.r) for d in after[0].denied] == [("t1", None), (None, r)]
    assert after[2] > before[2]
    assert list(after[0]) == list(before[0])
    other = secrets.load_numbered(OTHER)
    assert other is not None
    assert not list(other[0].denied)


def test_equal_numbers_are_equal_keyrings(
    secrets: SQLAudienceSecrets, denials: SQLDenials, clock: Clock
) -> None:
    """Whatever changes at the same time: a poll in between must not be refused."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def change(number: int) -> None:
        try:
            for step in range(12):
                name = f"t-{number}-{step}"
                denials.deny(AUDIENCE, token_id=name, expires_at=clock.now + 300)
                versions = secrets.peek(AUDIENCE)
                if number == 0 and step % 3 == 0:
                    secrets.revoke(AUDIENCE, versions[-1].version)
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    published: dict[int, set[str]] = {}

    def poll() -> None:
        try:
            while not stop.is_set():
                numbered = secrets.load_numbered(AUDIENCE)
                assert numbered is not None
                ring, epoch, number = numbered
                claims = keyring_claims(ring, epoch=epoch, sequence=number, poll=300)
                published.setdefault(number, set()).add(content_digest(claims))
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    changing = [threading.Thread(target=change, args=(n,)) for n in range(3)]
    polling = threading.Thread(target=poll)
    for thread in (polling, *changing):
        thread.start()
    for thread in changing:
        thread.join()
    stop.set()
    polling.join()
    assert failures == []
    assert all(len(contents) == 1 for contents in published.values())
    assert len(denied(denials)) == 36


@pytest.mark.requirement("R2013")
def test_what_was_exchanged_from_a_token_is_denied_with_it(
    denials: SQLDenials, clock: Clock
) -> None:
    ends = clock.now + 300
    for subject, token, audience in (
        ("t1", "t2", OTHER),
        ("t2", "t3", AUDIENCE),
        ("t2", "t4", OTHER),
        ("t9", "t8", AUDIENCE),
    ):
        denials.record_exchange(
            subject_id=subject, token_id=token, audience=audience, expires_at=ends
        )
    denials.deny(AUDIENCE, token_id="t1", expires_at=ends)
    assert sorted(denied(denials)) == ["t1", "t3"]
    assert sorted(denied(denials, OTHER)) == ["t2", "t4"]


@pytest.mark.requirement("R2013")
def test_what_is_exchanged_while_its_subject_is_revoked_is_denied_too(
    denials: SQLDenials, clock: Clock
) -> None:
    """The exchange looked at the subject token before it was revoked."""
    ends = clock.now + 300
    denials.deny(AUDIENCE, token_id="subject", expires_at=ends)
    for subject, made in (("subject", "late"), ("good", "other")):
        denials.record_exchange(
            subject_id=subject, token_id=made, audience=OTHER, expires_at=ends
        )
    assert denied(denials, OTHER) == ["late"]


def test_a_chain_of_exchanges_has_an_end(denials: SQLDenials, clock: Clock) -> None:
    for number in range(MAX_EXCHANGES + 2):
        denials.record_exchange(
            subject_id=f"t{number}",
            token_id=f"t{number + 1}",
            audience=AUDIENCE,
            expires_at=clock.now + 300,
        )
    denials.deny(AUDIENCE, token_id="t0", expires_at=clock.now + 300)
    assert len(denied(denials)) == 1 + MAX_EXCHANGES


def test_what_has_ended_is_forgotten_with_the_next_change(
    denials: SQLDenials, clock: Clock
) -> None:
    denials.record_exchange(
        subject_id="t1", token_id="t2", audience=AUDIENCE, expires_at=clock.now + 10
    )
    denials.deny(AUDIENCE, token_id="t0", expires_at=clock.now + 10)
    number = denials.read(AUDIENCE)[1]
    clock.advance(10)
    assert denials.read(AUDIENCE)[1] == number
    denials.record_exchange(
        subject_id="t5", token_id="t6", audience=AUDIENCE, expires_at=clock.now + 10
    )
    denials.deny(AUDIENCE, token_id="t1", expires_at=clock.now + 10)
    assert denied(denials) == ["t1"]
    assert denials.read(AUDIENCE)[1] > number


def test_a_denial_that_is_repeated_changes_nothing(
    denials: SQLDenials, clock: Clock
) -> None:
    r = os.urandom(32)
    for _ in range(2):
        denials.deny(AUDIENCE, token_id="t1", expires_at=clock.now + 10)
        denials.deny(AUDIENCE, r=r, expires_at=clock.now + 10)
    assert denied(denials) == ["t1", r]


def test_a_token_that_has_ended_needs_no_denial(
    denials: SQLDenials, clock: Clock
) -> None:
    denials.deny(AUDIENCE, token_id="t1", expires_at=clock.now)
    assert denied(denials) == []


def test_there_is_room_for_so_many(denials: SQLDenials, clock: Clock) -> None:
    table = TABLES.denials
    with denials._engine.begin() as connection:
        for number in range(MAX_DENIALS - 1):
            connection.execute(
                table.insert().values(
                    issuer=ISSUER,
                    audience=AUDIENCE,
                    sequence=number,
                    token_id=f"t{number}",
                    expires_at=clock.now + 300,
                )
            )
    denials.deny(AUDIENCE, token_id="last", expires_at=clock.now + 300)
    with pytest.raises(StoreError, match="revoke the version"):
        denials.deny(AUDIENCE, token_id="more", expires_at=clock.now + 300)
    assert len(denied(denials)) == MAX_DENIALS
    clock.advance(300)
    denials.deny(AUDIENCE, token_id="later", expires_at=clock.now + 300)
    assert denied(denials) == ["later"]


def test_no_more_are_denied_than_a_keyring_has_room_for(
    denials: SQLDenials, clock: Clock
) -> None:
    """A resource server would refuse the whole keyring, and so accept them all."""
    names = [f"{number:0256}" for number in range(150)]
    accepted = []
    for name in names:
        with contextlib.suppress(StoreError):
            denials.deny(AUDIENCE, token_id=name, expires_at=clock.now + 300)
            accepted.append(name)
    assert len(accepted) > 100
    assert denied(denials) == accepted != names
    assert fit_in_keyring(denials.read(AUDIENCE)[0])


@pytest.mark.parametrize("name", [{}, {"token_id": "t", "r": bytes(32)}, {"r": b"r"}])
def test_a_denial_names_one_token(
    denials: SQLDenials, clock: Clock, name: dict[str, Any]
) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        denials.deny(AUDIENCE, expires_at=clock.now + 300, **name)


def test_a_malformed_row_is_a_store_error(
    denials: SQLDenials, engine: Engine, clock: Clock
) -> None:
    denials.deny(AUDIENCE, token_id="t1", expires_at=clock.now + 300)
    with engine.begin() as connection:
        connection.execute(update(TABLES.denials).values(token_id=None))
    with pytest.raises(StoreError):
        denials.read(AUDIENCE)


def test_without_tables_there_is_a_store_error(engine: Engine, clock: Clock) -> None:
    denials = SQLDenials(engine, issuer=ISSUER, clock=clock)
    with pytest.raises(StoreError):
        denials.read(AUDIENCE)
    with pytest.raises(StoreError):
        denials.deny(AUDIENCE, token_id="t1", expires_at=clock.now + 300)


def test_an_exchange_at_the_moment_of_a_denial_does_not_escape_it(
    engine: Engine, denials: SQLDenials, clock: Clock
) -> None:
    looked, go_on = threading.Event(), threading.Event()
    end = clock.now + 300

    @sqlalchemy.event.listens_for(engine, "after_cursor_execute")
    def wait(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        # The exchange has been recorded, has seen no denial, and is not committed.
        if (
            threading.current_thread() is exchange
            and statement.startswith("SELECT")
            and TABLES.denials.name in statement
        ):
            looked.set()
            go_on.wait(PATIENCE)

    exchange = threading.Thread(
        target=lambda: denials.record_exchange(
            subject_id="s", token_id="t", audience=OTHER, expires_at=end
        )
    )
    denial = threading.Thread(
        target=lambda: denials.deny(AUDIENCE, token_id="s", expires_at=end)
    )
    exchange.start()
    assert looked.wait(PATIENCE)
    denial.start()
    # Without the exchange it must not come to its end.
    denial.join(0.5)
    go_on.set()
    for thread in (exchange, denial):
        thread.join(PATIENCE)

    assert denied(denials) == ["s"]
    assert denied(denials, OTHER) == ["t"]
