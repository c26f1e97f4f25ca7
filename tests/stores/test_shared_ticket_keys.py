"""Ticket keys and log-outs in what several servers share, on real engines."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis, RedisCluster

from dpop_ext.errors import StoreError
from dpop_ext.stores.logouts_redis import RedisLogoutStore
from dpop_ext.stores.logouts_sql import SQLLogoutStore
from dpop_ext.stores.ticket_keys import RotatingTicketKeys
from dpop_ext.stores.ticket_keys_redis import RedisTicketKeyTable
from dpop_ext.stores.ticket_keys_sql import SQLTicketKeyTable
from dpop_ext.symmetric.sealed_ticket_key import (
    open_ticket_key,
    seal_ticket_key,
    ticket_row_key,
)
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.ticket_keys import random_ticket_key
from tests.conftest import Clock
from tests.patience import PATIENCE
from tests.stores import opened

ISSUER = "https://as.example.com"
AUDIENCE = "https://api.example.com"
ROW_KEY = SecretBytes(bytes(range(200, 232)))
#: The start of an hour.
START = 497_222 * 3600
PERIOD = START // 3600
ENGINES = ["sqlite", "postgresql", "redis", "redis_cluster"]

#: Opens a table or a store of log-outs, again and again in the same place.
Open = Callable[..., Any]


@pytest.fixture
def clock() -> Clock:
    return Clock(START)


@pytest.fixture(params=ENGINES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Any]]:
    with opened.closing_stores():
        if request.param == "sqlite":
            yield "sql", f"sqlite:///{tmp_path}/x.db"
        elif request.param == "postgresql":
            yield "sql", request.getfixturevalue("postgres").url
        elif request.param == "redis":
            url = request.getfixturevalue("redis").url
            client = Redis.from_url(url, socket_timeout=PATIENCE)
            opened.close_at_last(client.close)
            yield "redis", client
        else:
            nodes = request.getfixturevalue("redis_cluster")
            cluster = RedisCluster(
                host="127.0.0.1", port=nodes[0].port, socket_timeout=PATIENCE
            )
            opened.close_at_last(cluster.close)
            yield "redis", cluster


@pytest.fixture
def open_table(place: tuple[str, Any]) -> Open:
    name = "t" + secrets.token_hex(8)
    kind, where = place

    def open_again(audience: str = AUDIENCE, row_key: SecretBytes = ROW_KEY) -> Any:
        if kind == "redis":
            return RedisTicketKeyTable(
                where, audience=audience, row_key=row_key, prefix=name.encode()
            )
        table = SQLTicketKeyTable.from_url(
            where, audience=audience, row_key=row_key, table=name, timeout=PATIENCE
        )
        opened.close_at_last(table.close)
        table.create_schema()
        return table

    return open_again


@pytest.fixture
def open_logouts(place: tuple[str, Any]) -> Open:
    name = "l" + secrets.token_hex(8)
    kind, where = place

    def open_again() -> Any:
        if kind == "redis":
            return RedisLogoutStore(where, prefix=name.encode())
        store = SQLLogoutStore.from_url(where, table=name, timeout=PATIENCE)
        opened.close_at_last(store.close)
        store.create_schema()
        return store

    return open_again


@pytest.mark.requirement("R2121")
def test_the_key_of_an_hour_is_the_first_one(open_table: Open) -> None:
    first, second = open_table(), open_table()
    mine, theirs = (random_ticket_key(PERIOD, lifetime=300) for _ in range(2))
    assert first.read(now=START) == []
    first.add(mine, now=START)
    second.add(theirs, now=START)

    for table in (first, second, open_table()):
        assert table.read(now=START) == [mine]


@pytest.mark.requirement("R1805", "T11")
def test_a_key_that_has_ended_is_erased(
    open_table: Open, place: tuple[str, Any]
) -> None:
    table = open_table()
    keys = [random_ticket_key(PERIOD + hour, lifetime=300) for hour in (0, 1)]
    for key in reversed(keys):
        table.add(key, now=START)
    end = START + 3600 + 305
    assert table.read(now=START) == keys

    assert table.read(now=end - 1) == keys
    assert table.read(now=end) == [keys[1]]
    table.erase(now=end)
    if place[0] == "sql":
        assert table.read(now=START) == [keys[1]]
    else:  # Redis goes by its own clock
        for period, life in ((PERIOD, 3905), (PERIOD + 1, 7505)):
            rest = place[1].execute_command("TTL", table._name(period))
            assert life - 60 < rest <= life


@pytest.mark.requirement("R2121", "R1805")
def test_servers_of_one_store_agree_for_a_day(open_table: Open, clock: Clock) -> None:
    nodes = [RotatingTicketKeys(open_table(), clock=clock) for _ in range(2)]
    seen = set()
    for _ in range(24 * 4):
        one, other = (node.load().current(now=clock.now) for node in nodes)
        assert one is not None
        assert one == other
        assert one.issue_from <= clock.now < one.issue_until
        seen.add(one.key_id)
        live = [key.expires_at for key in nodes[0].load()]
        assert min(live) > clock.now
        assert 2 <= len(live) <= 3
        clock.advance(900)

    assert len(seen) == 24


@pytest.mark.requirement("R2121")
def test_twenty_servers_that_start_at_once_agree(
    open_table: Open, clock: Clock
) -> None:
    nodes = [RotatingTicketKeys(open_table(), clock=clock) for _ in range(20)]
    barrier = threading.Barrier(20, timeout=PATIENCE)
    failures: list[BaseException] = []

    def start(node: RotatingTicketKeys) -> None:
        barrier.wait()
        try:
            node.load()
        except StoreError as error:  # SQLite may not have waited for so many
            failures.append(error)

    threads = [threading.Thread(target=start, args=[node]) for node in nodes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    clock.advance(6)

    found = [list(node.load()) for node in nodes]
    assert all(keys == found[0] for keys in found)
    assert len(found[0]) == 2


def test_each_resource_server_has_keys_of_its_own(
    open_table: Open, clock: Clock
) -> None:
    ours = RotatingTicketKeys(open_table(), clock=clock).load()
    theirs = RotatingTicketKeys(open_table("https://other"), clock=clock).load()

    assert not {key.key_id for key in ours} & {key.key_id for key in theirs}


def test_with_another_row_key_nothing_can_be_read(
    open_table: Open, clock: Clock
) -> None:
    RotatingTicketKeys(open_table(), clock=clock).load()
    other = open_table(row_key=SecretBytes(bytes(range(100, 132))))

    with pytest.raises(StoreError, match="decrypted"):
        other.read(now=START)
    with pytest.raises(ValueError, match="32 bytes"):
        open_table(row_key=SecretBytes(bytes(31)))


def test_a_logout_is_seen_by_every_server(open_logouts: Open) -> None:
    first, second = open_logouts(), open_logouts()
    assert second.find(ISSUER, "a", now=START) is None
    first.put(ISSUER, "a", not_before=START, expires_at=START + 3600, now=START)

    assert second.find(ISSUER, "a", now=START) == START
    assert second.find(ISSUER, "b", now=START) is None
    assert second.find("https://other", "a", now=START) is None
    # The later one counts, in whatever order they come.
    second.put(ISSUER, "a", not_before=START + 9, expires_at=START + 3609, now=START)
    first.put(ISSUER, "a", not_before=START + 3, expires_at=START + 3603, now=START)
    assert first.find(ISSUER, "a", now=START + 10) == START + 9


def test_of_logouts_at_the_same_moment_the_latest_stays(open_logouts: Open) -> None:
    stores = [open_logouts() for _ in range(4)]
    barrier = threading.Barrier(len(stores), timeout=PATIENCE)
    rounds = range(25)

    def put(number: int) -> None:
        for turn in rounds:
            barrier.wait()
            seconds = START + (number + turn) % len(stores)
            stores[number].put(
                ISSUER,
                str(turn),
                not_before=seconds,
                expires_at=START + 3600,
                now=START,
            )

    threads = [threading.Thread(target=put, args=(n,)) for n in range(len(stores))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [stores[0].find(ISSUER, str(turn), now=START) for turn in rounds]
    assert found == [START + len(stores) - 1] * len(rounds)


@pytest.mark.requirement("R2133")
def test_a_logout_is_remembered_for_an_hour(
    open_logouts: Open, place: tuple[str, Any]
) -> None:
    store = open_logouts()
    store.put(ISSUER, "a", not_before=START, expires_at=START + 3600, now=START)

    assert store.find(ISSUER, "a", now=START + 3599) == START
    if place[0] == "sql":  # Redis goes by its own clock
        assert store.find(ISSUER, "a", now=START + 3600) is None
        store.put(ISSUER, "b", not_before=0, expires_at=10**10, now=START + 3600)
        assert store.find(ISSUER, "a", now=START) is None
    else:
        store.put(ISSUER, "b", not_before=START, expires_at=START, now=START)
        assert store.find(ISSUER, "b", now=START) is None


def test_a_store_that_is_down_says_so(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/missing.db"
    table = SQLTicketKeyTable.from_url(url, audience=AUDIENCE, row_key=ROW_KEY)
    logouts = SQLLogoutStore.from_url(url)
    nowhere = "redis://127.0.0.1:1"
    redis_table = RedisTicketKeyTable.from_url(
        nowhere, audience=AUDIENCE, row_key=ROW_KEY
    )
    redis_logouts = RedisLogoutStore.from_url(nowhere)

    with opened.closing_stores():
        for store in (table, logouts, redis_table, redis_logouts):
            opened.close_at_last(store.close)
        key = random_ticket_key(PERIOD, lifetime=300)
        for each in (table, redis_table):
            with pytest.raises(StoreError):
                each.read(now=1)
            with pytest.raises(StoreError):
                each.add(key, now=START)
        with pytest.raises(StoreError):
            table.erase(now=1)
        for store_ in (logouts, redis_logouts):
            with pytest.raises(StoreError):
                store_.find(ISSUER, "a", now=1)
            with pytest.raises(StoreError):
                store_.put(ISSUER, "a", not_before=1, expires_at=9, now=1)


def test_only_a_database_that_is_shared_is_taken() -> None:
    for url in ("sqlite://", "sqlite:///:memory:", "mysql://h/d"):
        with pytest.raises(ValueError, match="SQLite"):
            SQLTicketKeyTable.from_url(url, audience=AUDIENCE, row_key=ROW_KEY)
        with pytest.raises(ValueError, match="SQLite"):
            SQLLogoutStore.from_url(url)


# --- the rows


def test_a_row_is_for_one_hour_and_one_audience() -> None:
    key = random_ticket_key(PERIOD, lifetime=3600)
    row_key = ticket_row_key(ROW_KEY, audience=AUDIENCE)
    row = seal_ticket_key(key, audience=AUDIENCE, row_key=row_key)

    assert (
        open_ticket_key(row, period=PERIOD, audience=AUDIENCE, row_key=row_key) == key
    )
    assert key.secret.reveal() not in row
    for period, audience in ((PERIOD + 1, AUDIENCE), (PERIOD, "https://other")):
        with pytest.raises(StoreError):
            open_ticket_key(row, period=period, audience=audience, row_key=row_key)
    for place in range(len(row)):
        changed = row[:place] + bytes([row[place] ^ 1]) + row[place + 1 :]
        with pytest.raises(StoreError):
            open_ticket_key(changed, period=PERIOD, audience=AUDIENCE, row_key=row_key)


@pytest.mark.parametrize("row", [b"", b"123", bytes(60), None, "text", 5])
def test_a_row_that_somebody_else_wrote(row: Any) -> None:
    with pytest.raises(StoreError) as refused:
        open_ticket_key(
            row,
            period=PERIOD,
            audience=AUDIENCE,
            row_key=ticket_row_key(ROW_KEY, audience=AUDIENCE),
        )
    assert refused.value.__cause__ is None


def test_the_row_keys_of_two_audiences_differ() -> None:
    assert ticket_row_key(ROW_KEY, audience="a") != ticket_row_key(
        ROW_KEY, audience="b"
    )
    assert ticket_row_key(ROW_KEY, audience="a") != ROW_KEY
