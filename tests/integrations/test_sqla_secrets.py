"""The derivation secrets of an authorization server, in a database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import sqlalchemy
from sqlalchemy import Connection, Engine, MetaData, select, update
from sqlalchemy.exc import DBAPIError

from dpop_ext.errors import StaleKeyError, StoreError, SymmetricUnavailableError
from dpop_ext.integrations import sqla_secret_database, sqla_secret_rows
from dpop_ext.integrations.sqla_secret_database import find_issuers
from dpop_ext.integrations.sqla_secrets import SQLAudienceSecrets
from dpop_ext.stores.secret_tables import MAX_VERSIONS, define_secret_tables
from dpop_ext.stores.sql_engine import MissingTableError
from dpop_ext.symmetric.derivation import audience_secret
from dpop_ext.symmetric.rotation import RotationError
from dpop_ext.symmetric.rotation_plan import RotationPlan
from dpop_ext.symmetric.sealed_row import open_root
from dpop_ext.symmetric.secret_bytes import SecretBytes
from tests.conftest import Clock
from tests.patience import PATIENCE

ISSUER = "https://as.example"
AUDIENCE = "https://api.example"
OTHER = "https://other.example"
KEY = SecretBytes(bytes(range(100, 132)))
PLAN = RotationPlan()
TABLES = define_secret_tables(MetaData())


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: Any, tmp_path: Path) -> Iterator[Engine]:
    url = f"sqlite:///{tmp_path}/as.sqlite3"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_database")
    engine = sqlalchemy.create_engine(url)
    TABLES.versions.metadata.drop_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def node(engine: Engine, clock: Clock) -> Callable[..., SQLAudienceSecrets]:
    """Another authorization server on the same database."""

    def start(**options: Any) -> SQLAudienceSecrets:
        values: dict[str, Any] = {"key": KEY, "issuer": ISSUER, "clock": clock}
        return SQLAudienceSecrets(engine, **(values | options))

    return start


@pytest.fixture
def secrets(node: Callable[..., SQLAudienceSecrets]) -> SQLAudienceSecrets:
    secrets = node()
    secrets.create_schema()
    secrets.register(AUDIENCE, PLAN, at_once=True)
    return secrets


def seen(secrets: SQLAudienceSecrets, audience: str = AUDIENCE) -> list[Any]:
    ring = secrets.load(audience)
    assert ring is not None
    return [(entry.version, entry.state) for entry in ring]


def rows(engine: Engine, table: Any = TABLES.versions) -> list[Any]:
    query = select(table).order_by(*table.primary_key)
    with engine.connect() as connection:
        return list(connection.execute(query))


def test_an_audience_begins_with_a_version_that_is_pending(
    secrets: SQLAudienceSecrets, clock: Clock
) -> None:
    assert secrets.load(OTHER) is None
    assert secrets.load_numbered(OTHER) is None
    secrets.register(OTHER, PLAN)
    secrets.register(OTHER, PLAN)
    assert seen(secrets, OTHER) == [(1, "pending")]
    clock.advance(PLAN.pending_period - 1)
    ring = secrets.load(OTHER)
    assert ring is not None
    with pytest.raises(SymmetricUnavailableError):
        ring.active(now=clock.now)
    clock.advance(1)
    assert seen(secrets, OTHER) == [(1, "active")]
    assert secrets.audiences() == [AUDIENCE, OTHER]


def test_or_with_an_active_one_for_a_server_that_starts_later(
    secrets: SQLAudienceSecrets,
) -> None:
    assert seen(secrets) == [(1, "active")]
    secrets.register(AUDIENCE, PLAN, at_once=True)
    assert seen(secrets) == [(1, "active")]


@pytest.mark.requirement("R1703", "R2081", "R2085")
def test_a_whole_life_from_pending_to_retired(
    secrets: SQLAudienceSecrets, clock: Clock, engine: Engine
) -> None:
    started = clock.now
    for at, expected in (
        (PLAN.active_period - PLAN.pending_period - 1, [(1, "active")]),
        (
            PLAN.active_period - PLAN.pending_period,
            [(1, "active"), (2, "pending")],
        ),
        (PLAN.active_period - 1, [(1, "active"), (2, "pending")]),
        (PLAN.active_period, [(1, "verify_only"), (2, "active")]),
        (
            PLAN.active_period + PLAN.verify_period - 1,
            [(1, "verify_only"), (2, "active")],
        ),
        (
            PLAN.active_period + PLAN.verify_period,
            [(1, "retired"), (2, "active")],
        ),
    ):
        clock.advance(started + at - clock.now)
        assert seen(secrets) == expected, at
    assert [len(row.sealed) for row in rows(engine)] == [28, 60]


def test_the_number_goes_up_with_every_change_of_what_is_published(
    secrets: SQLAudienceSecrets, clock: Clock
) -> None:
    published: dict[int, list[Any]] = {}
    numbers = []
    for _ in range(3 * PLAN.active_period // 300):
        numbered = secrets.load_numbered(AUDIENCE)
        assert numbered is not None
        ring, epoch, sequence = numbered
        assert epoch == 1
        content = list(ring)
        assert published.setdefault(sequence, content) == content
        numbers.append(sequence)
        clock.advance(300)
    assert numbers == sorted(numbers)
    assert len(published) >= 6


def test_the_number_goes_up_over_a_backup_that_was_restored(
    secrets: SQLAudienceSecrets, clock: Clock, engine: Engine, node: Any
) -> None:
    backup = rows(engine)
    clock.advance(1000)
    secrets.rotate(AUDIENCE)
    lost = secrets.load_numbered(AUDIENCE)
    with engine.begin() as connection:
        connection.execute(TABLES.versions.delete())
        connection.execute(TABLES.versions.insert(), [dict(r._mapping) for r in backup])
    restarted = node()
    clock.advance(1)
    restarted.rotate(AUDIENCE)
    found = restarted.load_numbered(AUDIENCE)
    assert lost is not None
    assert found is not None
    assert found[1:] > lost[1:]


def test_nothing_is_lost_when_nobody_looked_for_a_week(
    secrets: SQLAudienceSecrets, clock: Clock
) -> None:
    clock.advance(7 * 86_400)
    assert seen(secrets) == [(1, "retired"), (2, "pending")]
    clock.advance(PLAN.pending_period)
    assert seen(secrets) == [(1, "retired"), (2, "active")]


def test_an_operator_rotates(secrets: SQLAudienceSecrets, clock: Clock) -> None:
    made = secrets.rotate(AUDIENCE)
    assert (made.version, made.state) == (2, "pending")
    with pytest.raises(RotationError, match="pending already"):
        secrets.rotate(AUDIENCE)
    clock.advance(PLAN.pending_period)
    assert seen(secrets) == [(1, "verify_only"), (2, "active")]


@pytest.mark.requirement("R2083")
def test_a_rotation_that_would_be_too_many_is_refused(
    secrets: SQLAudienceSecrets, clock: Clock
) -> None:
    for _ in range(2):
        secrets.rotate(AUDIENCE)
        clock.advance(PLAN.pending_period)
    with pytest.raises(RotationError, match="3 versions are live"):
        secrets.rotate(AUDIENCE)
    clock.advance(PLAN.verify_period)
    secrets.retire(AUDIENCE, 1)
    secrets.rotate(AUDIENCE)
    assert [state for _, state in seen(secrets)] == [
        "retired",
        "verify_only",
        "active",
        "pending",
    ]


def test_a_version_that_tokens_need_is_not_retired(
    secrets: SQLAudienceSecrets, clock: Clock
) -> None:
    secrets.rotate(AUDIENCE)
    clock.advance(PLAN.pending_period + PLAN.verify_period - 1)
    with pytest.raises(RotationError, match="another 1 seconds"):
        secrets.retire(AUDIENCE, 1)
    assert seen(secrets) == [(1, "verify_only"), (2, "active")]


@pytest.mark.requirement("R2011")
def test_a_revoked_version_is_erased_and_replaced(
    secrets: SQLAudienceSecrets, clock: Clock, engine: Engine
) -> None:
    made = secrets.revoke(AUDIENCE, 1)
    assert made is not None
    assert made.not_before == clock.now + PLAN.pending_period
    ring = secrets.load(AUDIENCE)
    assert ring is not None
    with pytest.raises(StaleKeyError):
        ring.find(1, now=clock.now)
    with pytest.raises(SymmetricUnavailableError):
        ring.active(now=clock.now)
    assert [len(row.sealed) for row in rows(engine)] == [28, 60]
    with pytest.raises(RotationError, match="revoked already"):
        secrets.revoke(AUDIENCE, 1)
    clock.advance(PLAN.pending_period)
    assert seen(secrets) == [(1, "revoked"), (2, "active")]


def test_revoking_a_pending_version_leaves_the_active_one(
    secrets: SQLAudienceSecrets, clock: Clock
) -> None:
    secrets.rotate(AUDIENCE)
    assert secrets.revoke(AUDIENCE, 2) is None
    clock.advance(PLAN.pending_period + 1)
    assert seen(secrets) == [(1, "active"), (2, "revoked")]


def test_a_revoked_version_is_replaced_by_the_one_that_is_pending(
    secrets: SQLAudienceSecrets,
) -> None:
    secrets.rotate(AUDIENCE)
    assert secrets.revoke(AUDIENCE, 1) is None
    assert seen(secrets) == [(1, "revoked"), (2, "pending")]


@pytest.mark.requirement("R1703", "R2085")
def test_with_a_long_pending_period_another_version_takes_over_at_once(
    secrets: SQLAudienceSecrets, clock: Clock
) -> None:
    plan = RotationPlan(pending_period=PLAN.active_period)
    secrets.register(OTHER, plan)
    clock.advance(plan.least_pending)
    assert seen(secrets, OTHER) == [(1, "active"), (2, "pending")]
    (_, standby) = secrets.peek(OTHER)
    clock.advance(plan.least_pending - 10)
    secrets.revoke(OTHER, 1)
    assert seen(secrets, OTHER) == [(1, "revoked"), (2, "pending")]
    # Its number, which is what is known of when it was published, is a second ahead.
    clock.advance(11)
    ring = secrets.load(OTHER)
    assert ring is not None
    active = ring.active(now=clock.now)
    assert (active.version, active.secret) == (2, standby.secret)
    assert active.expires_at == standby.expires_at
    assert seen(secrets, OTHER) == [(1, "revoked"), (2, "active"), (3, "pending")]


@pytest.mark.requirement("T3", "R2071")
def test_secrets_are_derived_from_a_root_with_a_random_name(
    secrets: SQLAudienceSecrets, engine: Engine
) -> None:
    secrets.register(OTHER, PLAN)
    (stored,) = rows(engine, TABLES.roots)
    assert len(stored.root_id) == 16
    root = open_root(
        stored.sealed, issuer=ISSUER, root_id=bytes(stored.root_id), key=KEY
    )
    for audience in AUDIENCE, OTHER:
        (entry,) = secrets.peek(audience)
        assert entry.secret is not None
        derived = audience_secret(
            root.reveal(),
            issuer=ISSUER,
            audience=audience,
            version=1,
            root_id=bytes(stored.root_id),
        )
        assert entry.secret == SecretBytes(derived)
    with pytest.raises(StoreError):
        open_root(
            stored.sealed,
            issuer=ISSUER,
            root_id=bytes(stored.root_id),
            key=SecretBytes(b"another key of thirty-two bytes!"),
        )


@pytest.mark.requirement("R2072")
def test_a_root_is_erased_when_the_last_secret_from_it_has_ended(
    secrets: SQLAudienceSecrets, engine: Engine
) -> None:
    secrets.register(OTHER, PLAN)
    (first,) = rows(engine, TABLES.roots)
    secrets.revoke(AUDIENCE, 1)
    assert first in rows(engine, TABLES.roots)
    # What replaces a revoked secret has nothing to do with it.
    assert len(rows(engine, TABLES.roots)) == 2
    secrets.revoke(OTHER, 1)
    remaining = rows(engine, TABLES.roots)
    assert first not in remaining
    assert {row.root_id for row in rows(engine)} == {
        None,
        *(row.root_id for row in remaining),
    }


def test_roots_do_not_accumulate(
    secrets: SQLAudienceSecrets, clock: Clock, engine: Engine
) -> None:
    secrets.register(OTHER, PLAN)
    for _ in range(20):
        clock.advance(PLAN.active_period // 2)
        secrets.load(AUDIENCE)
        secrets.load(OTHER)
    assert 1 <= len(rows(engine, TABLES.roots)) <= 4


@pytest.mark.parametrize("audiences", [[AUDIENCE], [AUDIENCE, OTHER]])
def test_servers_that_rotate_at_the_same_time_make_one_version(
    secrets: SQLAudienceSecrets, node: Any, clock: Clock, audiences: list[str]
) -> None:
    for audience in audiences:
        secrets.register(audience, PLAN, at_once=True)
    clock.advance(PLAN.active_period - PLAN.pending_period)
    nodes = [node() for _ in range(6)]
    barrier = threading.Barrier(len(nodes))
    found: list[Any] = []

    def look(each: SQLAudienceSecrets) -> None:
        barrier.wait(timeout=PATIENCE)
        found.extend(seen(each, audience) for audience in audiences)

    threads = [threading.Thread(target=look, args=(each,)) for each in nodes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = [(1, "active"), (2, "pending")]
    assert found == [expected] * len(nodes) * len(audiences)


def test_operators_who_rotate_at_the_same_time_make_one_version(
    secrets: SQLAudienceSecrets, node: Any
) -> None:
    barrier = threading.Barrier(4)
    results: list[str] = []

    def rotate(each: SQLAudienceSecrets) -> None:
        barrier.wait(timeout=PATIENCE)
        try:
            results.append(each.rotate(AUDIENCE).state)
        except RotationError:
            results.append("refused")

    threads = [threading.Thread(target=rotate, args=(node(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["pending", "refused", "refused", "refused"]
    assert seen(secrets) == [(1, "active"), (2, "pending")]


def test_servers_with_different_clocks_publish_the_same(
    secrets: SQLAudienceSecrets, node: Any, clock: Clock
) -> None:
    clock.advance(PLAN.active_period - PLAN.pending_period)
    secrets.load(AUDIENCE)
    ahead = node(clock=lambda: clock() + PLAN.pending_period)
    behind = secrets
    assert seen(ahead) == [(1, "verify_only"), (2, "active")]
    assert seen(behind) == [(1, "active"), (2, "pending")]
    one, two = ahead.load_numbered(AUDIENCE), behind.load_numbered(AUDIENCE)
    assert one is not None
    assert two is not None
    assert one[2] == two[2]
    assert list(one[0]) == list(two[0])
    assert seen(ahead) == [(1, "verify_only"), (2, "active")]


@pytest.mark.requirement("R2052")
@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("state", "verify_only"),
        ("not_before", 0),
        ("expires_at", 2_000_000_000),
        ("sequence", 5),
        ("sealed", b"short"),
    ],
)
def test_a_changed_row_is_not_believed(
    secrets: SQLAudienceSecrets, engine: Engine, column: str, value: object
) -> None:
    with engine.begin() as connection:
        connection.execute(update(TABLES.versions).values({column: value}))
    for use in secrets.load, secrets.load_numbered, secrets.rotate, secrets.peek:
        with pytest.raises(StoreError):
            use(AUDIENCE)


def test_a_row_of_another_audience_is_not_believed(
    secrets: SQLAudienceSecrets, engine: Engine
) -> None:
    secrets.register(OTHER, PLAN)
    mine = TABLES.versions.c.audience == AUDIENCE
    theirs = next(row.sealed for row in rows(engine) if row.audience == OTHER)
    with engine.begin() as connection:
        connection.execute(update(TABLES.versions).where(mine).values(sealed=theirs))
    with pytest.raises(StoreError):
        secrets.load(AUDIENCE)


def test_a_query_that_takes_its_time_holds_up_no_other(
    secrets: SQLAudienceSecrets, engine: Engine
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    results: list[Any] = []

    @sqlalchemy.event.listens_for(engine, "after_cursor_execute")
    def wait(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        # After the rows have come, and before anybody has looked at them.
        if threading.current_thread() is slow and TABLES.versions.name in statement:
            begun.set()
            go_on.wait(2 * PATIENCE)

    slow = threading.Thread(target=lambda: results.append(seen(secrets)))
    slow.start()
    assert begun.wait(PATIENCE)
    fast = threading.Thread(target=lambda: results.append(seen(secrets)))
    fast.start()
    fast.join(PATIENCE)
    held_up = fast.is_alive()
    go_on.set()
    slow.join(PATIENCE)
    fast.join(PATIENCE)

    assert not held_up
    assert results == [seen(secrets)] * 2


@pytest.mark.requirement("T19")
def test_an_old_row_put_back_is_not_believed(
    secrets: SQLAudienceSecrets, engine: Engine
) -> None:
    (old,) = rows(engine)
    secrets.revoke(AUDIENCE, 1)
    with engine.begin() as connection:
        mine = TABLES.versions.c.version == 1
        values = dict(old._mapping)
        connection.execute(update(TABLES.versions).where(mine).values(values))
    with pytest.raises(StoreError, match="older than it has been"):
        secrets.load(AUDIENCE)


def test_another_key_opens_nothing(secrets: SQLAudienceSecrets, node: Any) -> None:
    with pytest.raises(StoreError):
        node(key=SecretBytes(b"another key of thirty-two bytes!")).load(AUDIENCE)


def test_a_plan_that_is_damaged_is_not_followed(
    secrets: SQLAudienceSecrets, engine: Engine
) -> None:
    with engine.begin() as connection:
        connection.execute(update(TABLES.audiences).values(active_period=10**8))
    with pytest.raises(StoreError, match="plan"):
        secrets.load(AUDIENCE)


def test_another_plan_is_for_the_versions_to_come(
    secrets: SQLAudienceSecrets, clock: Clock
) -> None:
    plan = RotationPlan(active_period=7200, token_lifetime=1200)
    secrets.register(AUDIENCE, plan)
    assert secrets.plan(AUDIENCE) == plan
    (entry,) = secrets.peek(AUDIENCE)
    assert entry.expires_at == clock.now + PLAN.active_period + PLAN.verify_period
    made = secrets.rotate(AUDIENCE)
    assert made.expires_at - made.not_before == 7200 + plan.verify_period


def test_without_tables_or_for_an_unknown_audience_there_is_a_store_error(
    node: Callable[..., SQLAudienceSecrets],
) -> None:
    empty = node()
    with pytest.raises(StoreError) as caught:
        empty.load(AUDIENCE)
    # The name of its cause is what the log has.
    assert type(caught.value.__cause__) is MissingTableError
    with pytest.raises(StoreError):
        empty.audiences()
    empty.create_schema()
    assert empty.plan(AUDIENCE) is None
    with pytest.raises(StoreError):
        empty.rotate(AUDIENCE)


def test_the_schema_is_created_once_by_many(node: Any) -> None:
    failures: list[BaseException] = []

    def create() -> None:
        try:
            node().create_schema()
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=create) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_only_the_newest_versions_are_looked_at(
    secrets: SQLAudienceSecrets, clock: Clock, engine: Engine
) -> None:
    for version in range(1, MAX_VERSIONS + 3):
        secrets.revoke(AUDIENCE, version)
    assert len(rows(engine)) == MAX_VERSIONS + 3
    ring = secrets.load(AUDIENCE)
    assert ring is not None
    assert len(list(ring)) == MAX_VERSIONS
    with pytest.raises(StaleKeyError):
        ring.find(1, now=clock.now)


def test_issuers_are_found(secrets: SQLAudienceSecrets, engine: Engine) -> None:
    assert find_issuers(engine) == [ISSUER]


def test_a_change_that_never_succeeds_is_a_store_error(
    secrets: SQLAudienceSecrets, monkeypatch: pytest.MonkeyPatch
) -> None:
    def conflict(*_: Any, **__: Any) -> Any:
        raise sqla_secret_rows.ChangedMeanwhileError

    monkeypatch.setattr(sqla_secret_database, "PAUSE", 0)
    monkeypatch.setattr(sqla_secret_rows.SecretRows, "add", conflict)
    with pytest.raises(StoreError, match="being changed"):
        secrets.rotate(AUDIENCE)


@pytest.mark.parametrize("name", ["sqlstate", "pgcode"])
def test_a_transaction_that_lost_is_tried_again_with_any_driver(
    engine: Engine, name: str
) -> None:
    lost = [SimpleNamespace(**{name: "40P01"}), SimpleNamespace(**{name: "40001"})]

    def step(_: Connection) -> str:
        if lost:
            raise DBAPIError("", None, cast("BaseException", lost.pop()))
        return "done"

    assert sqla_secret_database.run(engine, step) == "done"


def test_secrets_are_not_in_the_database(
    secrets: SQLAudienceSecrets, engine: Engine
) -> None:
    (entry,) = secrets.peek(AUDIENCE)
    assert entry.secret is not None
    for row in [*rows(engine), *rows(engine, TABLES.roots)]:
        assert entry.secret.reveal() not in bytes(row.sealed)


@pytest.mark.requirement("R2085")
def test_the_end_of_a_version_stays_where_it_was_published(
    secrets: SQLAudienceSecrets, clock: Clock
) -> None:
    (entry,) = secrets.peek(AUDIENCE)
    ends = {entry.expires_at}
    for _ in range(40):
        clock.advance(PLAN.active_period / 40)
        first = next(iter(secrets.peek(AUDIENCE)))
        ends.add(first.expires_at)
    assert len(ends) == 1
