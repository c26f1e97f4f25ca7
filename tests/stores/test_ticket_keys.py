"""Ticket keys change by the clock, on all servers at once, and are erased by it."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from dpop_ext.errors import StoreError
from dpop_ext.stores.derived_ticket_keys import DerivedTicketKeys
from dpop_ext.stores.logouts import MemoryLogoutStore, logout_name
from dpop_ext.stores.memory import MemoryKeyring
from dpop_ext.stores.ticket_key_table import MemoryTicketKeyTable
from dpop_ext.stores.ticket_keys import RotatingTicketKeys
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.secret_ring import AudienceSecret, SecretRing
from dpop_ext.symmetric.ticket_keys import (
    TicketKey,
    derive_ticket_key,
    random_ticket_key,
)
from tests.conftest import Clock
from tests.patience import PATIENCE

ISSUER = "https://as.example.com"
AUDIENCE = "https://api.example.com"
#: The start of an hour.
START = 497_222 * 3600


@pytest.fixture
def clock() -> Clock:
    return Clock(START)


class Table(MemoryTicketKeyTable):
    """Counts, and fails when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.is_down = False
        self.faster: list[TicketKey] = []

    def read(self, *, now: int) -> list[TicketKey]:
        self.reads += 1
        if self.is_down:
            raise OSError
        return super().read(now=now)

    def add(self, key: TicketKey, *, now: int) -> None:
        for other in self.faster:
            super().add(other, now=now)
        super().add(key, now=now)


def names(keys: RotatingTicketKeys) -> list[bytes]:
    return [key.key_id for key in keys.load()]


@pytest.mark.requirement("R2121")
def test_the_servers_of_a_table_change_at_the_same_moment(clock: Clock) -> None:
    table = Table()
    nodes = [RotatingTicketKeys(table, clock=clock) for _ in range(3)]
    seen = []
    for _ in range(4 * 3600 // 100):
        key, *others = (node.load().current(now=clock.now) for node in nodes)
        assert key is not None
        assert others == [key, key]
        assert key.issue_from <= clock.now < key.issue_until
        seen.append(key.key_id)
        # Every server has the key of the next hour by now.
        assert all(
            node.load().current(now=clock.now + 3600) is not None for node in nodes
        )
        clock.advance(100)

    assert len(set(seen)) == 4


def test_a_server_that_only_reads_now_and_then_knows_the_key_of_the_hour(
    clock: Clock,
) -> None:
    table = Table()
    busy, idle = (RotatingTicketKeys(table, clock=clock) for _ in range(2))
    idle.load()
    for hour in (1, 2, 3):
        clock.advance(3600)
        made = busy.load().current(now=clock.now)
        assert made is not None
        assert idle.load().find(made.key_id, now=clock.now) == made, hour


@pytest.mark.requirement("R1805", "T11")
def test_a_key_is_erased_when_its_last_ticket_has_ended(clock: Clock) -> None:
    table = Table()
    keys = RotatingTicketKeys(table, lifetime=600, clock=clock)
    first = names(keys)[0]
    clock.advance(3600 + 604)
    assert first in names(keys)
    clock.advance(1)

    assert first not in names(keys)
    assert first not in [key.key_id for key in table._keys.values()]


def test_the_table_is_read_when_something_can_have_changed(clock: Clock) -> None:
    table = Table()
    keys = RotatingTicketKeys(table, clock=clock)
    for _ in range(60):
        keys.load()
        clock.advance(1)
    # Once to see that there is nothing, and once more after adding to it.
    assert table.reads == 2
    keys.load()
    assert table.reads == 3
    clock.advance(-30)
    keys.load()
    assert table.reads == 4


@pytest.mark.requirement("R2121")
def test_whoever_is_first_makes_the_key(clock: Clock) -> None:
    table = Table()
    theirs = [random_ticket_key(START // 3600 + hour, lifetime=300) for hour in (0, 1)]
    table.faster = theirs
    keys = RotatingTicketKeys(table, clock=clock)

    assert list(keys.load()) == theirs


def test_a_table_that_is_down_costs_tickets_only_when_the_next_hour_ends(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    table = Table()
    keys = RotatingTicketKeys(table, clock=clock)
    first, second = names(keys)
    table.is_down = True
    clock.advance(3600)
    assert keys.load().current(now=clock.now) is not None
    assert names(keys) == [first, second]
    reads = table.reads
    clock.advance(4)
    keys.load()
    assert table.reads == reads
    clock.advance(301)
    # Not that it would be kept for longer.
    assert names(keys) == [second]
    clock.advance(3600 - 305)
    assert keys.load().current(now=clock.now) is None
    table.is_down = False
    clock.advance(5)
    assert keys.load().current(now=clock.now) is not None
    assert "OSError" in caplog.text


def test_without_a_table_from_the_start_there_are_no_keys(clock: Clock) -> None:
    table = Table()
    table.is_down = True
    keys = RotatingTicketKeys(table, clock=clock)
    with pytest.raises(StoreError):
        keys.load()
    with pytest.raises(StoreError):
        keys.load()
    # Not asked again by every request.
    assert table.reads == 1
    table.is_down = False
    clock.advance(4)
    with pytest.raises(StoreError):
        keys.load()
    clock.advance(1)

    assert len(names(keys)) == 2


@pytest.mark.requirement("R2123", "T11")
def test_a_table_with_two_keys_of_one_name_is_refused(clock: Clock) -> None:
    table = Table()
    key = random_ticket_key(START // 3600, lifetime=300)
    other = random_ticket_key(START // 3600 + 1, lifetime=300)
    table.faster = [key, replace(other, key_id=key.key_id)]

    with pytest.raises(StoreError):
        RotatingTicketKeys(table, clock=clock).load()


def test_the_same_key_stays_the_same_object(clock: Clock) -> None:
    class Copying(Table):
        def read(self, *, now: int) -> list[TicketKey]:
            return [replace(key) for key in super().read(now=now)]

    keys = RotatingTicketKeys(Copying(), clock=clock)
    before = list(keys.load())
    clock.advance(60)
    after = list(keys.load())

    assert all(one is other for one, other in zip(before, after, strict=True))


def test_one_request_looks_while_the_others_go_on(clock: Clock) -> None:
    entered, leave = threading.Event(), threading.Event()

    class Slow(Table):
        def read(self, *, now: int) -> list[TicketKey]:
            if self.reads >= 2:
                entered.set()
                assert leave.wait(PATIENCE)
            return super().read(now=now)

    table = Slow()
    keys = RotatingTicketKeys(table, clock=clock)
    before = keys.load()
    clock.advance(60)
    thread = threading.Thread(target=keys.load)
    thread.start()
    assert entered.wait(PATIENCE)

    assert keys.load() is before
    leave.set()
    thread.join(PATIENCE)
    assert table.reads == 3


def test_forty_requests_at_the_start_agree(clock: Clock) -> None:
    keys = RotatingTicketKeys(clock=clock)
    barrier = threading.Barrier(40, timeout=PATIENCE)
    seen: list[list[bytes]] = []

    def ask() -> None:
        barrier.wait()
        seen.append(names(keys))

    threads = [threading.Thread(target=ask) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)

    assert len(seen) == 40
    assert all(each == seen[0] for each in seen)


@pytest.mark.parametrize(
    "options", [{"lifetime": 0}, {"lifetime": 3601}, {"poll": 0}, {"poll": 1801}]
)
def test_limits(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="seconds"):
        RotatingTicketKeys(**options)  # type: ignore[arg-type]


# --- derived from the secrets of a keyring


def entry(version: int, state: Any = "active", **changes: Any) -> AudienceSecret:
    ended = state in ("retired", "revoked")
    value = bytes((version * 37 + i * 11) % 256 for i in range(32))
    values: dict[str, Any] = {
        "version": version,
        "state": state,
        "not_before": 0,
        "expires_at": START + 10**6,
        "secret": None if ended else SecretBytes(value),
    }
    return AudienceSecret(**(values | changes))


def ring(*entries: AudienceSecret, **options: Any) -> SecretRing:
    return SecretRing(entries, issuer=ISSUER, audience=AUDIENCE, **options)


@pytest.mark.requirement("R2122")
def test_servers_with_the_same_keyring_have_the_same_keys(clock: Clock) -> None:
    nodes = [
        DerivedTicketKeys(MemoryKeyring(ring(entry(7))), clock=clock) for _ in range(2)
    ]
    ours, theirs = (node.load() for node in nodes)

    assert list(ours) == list(theirs)
    current = ours.current(now=clock.now)
    assert current is not None
    secret = entry(7).secret
    assert secret is not None
    key_id, value = derive_ticket_key(secret.reveal(), START // 3600)
    assert (current.key_id, current.secret.reveal()) == (key_id, value)
    assert nodes[0].load() is ours
    clock.advance(3600)
    assert nodes[0].load().current(now=clock.now) != current
    assert nodes[0].load().find(key_id, now=clock.now) == current


@pytest.mark.requirement("R2122")
def test_a_derived_key_is_good_while_its_version_is(clock: Clock) -> None:
    keyring = MemoryKeyring(ring(entry(7, "verify_only"), entry(8)))
    keys = DerivedTicketKeys(keyring, clock=clock)
    seven, eight = (
        derive_ticket_key(
            bytes((v * 37 + i * 11) % 256 for i in range(32)), START // 3600
        )[0]
        for v in (7, 8)
    )
    current = keys.load().current(now=clock.now)
    assert current is not None
    assert current.key_id == eight
    assert keys.load().find(seven, now=clock.now) is not None

    keyring.replace(ring(entry(7, "revoked"), entry(8)))
    assert keys.load().find(seven, now=clock.now) is None
    keyring.replace(ring(entry(7), entry(8, "pending")))
    current = keys.load().current(now=clock.now)
    assert current is not None
    assert current.key_id == seven
    assert keys.load().find(eight, now=clock.now) is not None
    keyring.replace(ring(entry(7, expires_at=START + 100)))
    clock.advance(99)
    assert keys.load().find(seven, now=clock.now) is not None
    clock.advance(1)
    assert keys.load().find(seven, now=clock.now) is None


def test_a_keyring_that_is_too_old_or_missing_has_no_keys(clock: Clock) -> None:
    keyring = MemoryKeyring(ring(entry(7), good_until=START + 10))
    keys = DerivedTicketKeys(keyring, clock=clock)
    assert list(keys.load())
    clock.advance(10)
    with pytest.raises(StoreError):
        keys.load()

    class Missing:
        def load(self) -> SecretRing:
            raise StoreError

    with pytest.raises(StoreError):
        DerivedTicketKeys(Missing(), clock=clock).load()
    with pytest.raises(ValueError, match="seconds"):
        DerivedTicketKeys(keyring, lifetime=3601)


@pytest.mark.requirement("R2123")
def test_derived_keys_of_one_name_are_refused(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = DerivedTicketKeys(
        MemoryKeyring(ring(entry(7), entry(8, "pending"))), clock=clock
    )
    monkeypatch.setattr(
        "dpop_ext.symmetric.ticket_keys.derive_ticket_key",
        lambda secret, _: (bytes(4), secret),
    )

    with pytest.raises(StoreError, match="same name"):
        keys.load()


# --- log-outs


@pytest.mark.requirement("R2132", "R2133")
def test_a_logout_is_remembered_for_its_time() -> None:
    store = MemoryLogoutStore()
    assert store.find(ISSUER, "a", now=1) is None
    store.put(ISSUER, "a", not_before=100, expires_at=3700, now=100)

    assert store.find(ISSUER, "a", now=3699) == 100
    assert store.find(ISSUER, "a", now=3700) is None
    assert store.find(ISSUER, "b", now=101) is None
    assert store.find("https://other", "a", now=101) is None
    store.put(ISSUER, "a", not_before=90, expires_at=3690, now=101)
    assert store.find(ISSUER, "a", now=3699) == 100
    store.put(ISSUER, "a", not_before=200, expires_at=3800, now=200)
    assert store.find(ISSUER, "a", now=3799) == 200


def test_a_full_store_of_logouts_forgets_none_that_counts() -> None:
    store = MemoryLogoutStore(2)
    store.put(ISSUER, "a", not_before=1, expires_at=10, now=1)
    store.put(ISSUER, "b", not_before=1, expires_at=20, now=1)
    with pytest.raises(StoreError):
        store.put(ISSUER, "c", not_before=1, expires_at=20, now=9)
    store.put(ISSUER, "a", not_before=5, expires_at=10, now=9)
    assert store.find(ISSUER, "a", now=9) == 5
    store.put(ISSUER, "c", not_before=1, expires_at=20, now=10)

    assert len(store) == 2
    assert store.find(ISSUER, "b", now=10) == 1
    with pytest.raises(ValueError, match="max_entries"):
        MemoryLogoutStore(0)


def test_the_name_of_a_logout_has_boundaries() -> None:
    assert logout_name("ab", "c") != logout_name("a", "bc")
    assert len(logout_name("a", "b")) == 32
