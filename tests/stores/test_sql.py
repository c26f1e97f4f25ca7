"""The store in a database: what it deletes, and an error for whatever goes wrong."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import secrets
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from dpop_ext.errors import StoreError
from dpop_ext.stores.sql import SQLReplayStore
from dpop_ext.stores.sql_engine import MissingTableError, connect
from dpop_ext.stores.sql_statements import SLICES, define_tables
from tests.engines import PostgresServer
from tests.patience import PATIENCE
from tests.stores import opened

#: In the past, so that the clock of the database does not limit what is swept.
NOW = 1_790_000_000


@pytest.fixture(autouse=True)
def close_stores() -> Iterator[None]:
    with opened.closing_stores():
        yield


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "proofs.sqlite3"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, file: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{file}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.url


@pytest.fixture
def table() -> str:
    return f"t{secrets.token_hex(8)}"


def open_store(
    url: str, table: str, *, timeout: float = PATIENCE, **options: Any
) -> SQLReplayStore:
    store = SQLReplayStore.from_url(url, table=table, timeout=timeout, **options)
    opened.close_at_last(store.close)
    store.create_schema()
    return store


def add(store: SQLReplayStore, key: bytes | None = None, now: int = NOW) -> bool:
    key = key or secrets.token_bytes(16)
    return store.add(key, expires_at=now + 66, now=now)


def entries(url: str, table: str) -> int:
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        count = connection.scalar(
            sa.select(sa.func.count()).select_from(sa.table(table))
        )
    engine.dispose()
    assert count is not None
    return int(count)


class TestSweeping:
    @pytest.mark.requirement("T10")
    def test_under_a_steady_load_the_table_stays_what_is_alive_and_a_little(
        self, url: str, table: str
    ) -> None:
        # A batch for each entry: a round through all slices takes 256 entries.
        store = open_store(url, table, sweep_every=1)
        per_second = 4
        alive = per_second * 67
        for number in range(alive * 8):
            assert add(store, now=NOW + number // per_second)

        assert entries(url, table) <= alive + per_second * 12 + 2 * SLICES

    def test_a_sweep_deletes_all_that_has_expired_and_nothing_else(
        self, url: str, table: str
    ) -> None:
        store = open_store(url, table, sweep_every=0, clock_tolerance=10)
        keys = [secrets.token_bytes(16) for _ in range(300)]
        keys += [bytes([first]) * 16 for first in range(256)]
        for number, key in enumerate(keys):
            assert add(store, key, now=NOW + number % 2)

        assert store.sweep(now=NOW + 66 + 10) == 0
        assert store.sweep(now=NOW + 67 + 10) == len(keys) // 2
        assert entries(url, table) == len(keys) // 2
        assert store.sweep(now=NOW + 68 + 10) == len(keys) // 2
        assert entries(url, table) == 0

    @pytest.mark.requirement("X-15")
    def test_a_server_whose_clock_is_ahead_deletes_nothing_of_the_others(
        self, url: str, table: str
    ) -> None:
        now = int(time.time())
        store, ahead = (open_store(url, table) for _ in range(2))
        key = secrets.token_bytes(16)
        assert add(store, key, now=now)

        assert ahead.sweep(now=now + 3600) == 0

        assert not add(store, key, now=now)
        assert add(store, now=now)

    @pytest.mark.requirement("X-15")
    def test_a_clock_behind_what_was_swept_is_an_error_until_it_has_caught_up(
        self, url: str, table: str
    ) -> None:
        store, other = (open_store(url, table, clock_tolerance=10) for _ in range(2))
        key = secrets.token_bytes(16)
        assert add(store, key)
        store.sweep(now=NOW + 100)
        # What was once announced stays so.
        other.sweep(now=NOW + 50)

        for node in (store, other):
            assert add(node, now=NOW + 90)
            with pytest.raises(StoreError, match="clock"):
                add(node, now=NOW + 89)
            with pytest.raises(StoreError, match="clock"):
                add(node, key, now=NOW)
        assert add(store, now=NOW + 90)

    def test_that_the_clock_is_behind_is_no_failure_of_the_database(
        self, url: str, table: str
    ) -> None:
        store = open_store(url, table)
        store.sweep(now=NOW + 1000)
        for _ in range(20):
            with pytest.raises(StoreError, match="clock"):
                add(store, now=NOW)

        assert add(store, now=NOW + 1000)

    def test_an_expired_entry_that_was_not_swept_is_replaced(
        self, url: str, table: str
    ) -> None:
        store = open_store(url, table, sweep_every=0)
        key = secrets.token_bytes(16)
        assert add(store, key)
        assert add(store, key, now=NOW + 67)

        assert not add(store, key, now=NOW + 67 + 66)
        assert entries(url, table) == 1

    def test_a_sweep_that_fails_does_not_fail_the_request(
        self, file: Path, table: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        store = open_store(f"sqlite:///{file}", table, sweep_every=1)
        with contextlib.closing(sqlite3.connect(file)) as other:
            other.execute(
                f"CREATE TRIGGER no BEFORE UPDATE ON {table}_swept "
                "BEGIN SELECT RAISE(ABORT, 'no'); END"
            )
        with caplog.at_level(logging.WARNING, "dpop_ext.stores"):
            assert add(store)

        assert "IntegrityError" in caplog.text
        with pytest.raises(StoreError):
            store.sweep(now=NOW)

    @pytest.mark.requirement("X-15")
    def test_rows_replaced_while_they_are_swept_are_not_lost(
        self, url: str, table: str
    ) -> None:
        store, sweeper = (open_store(url, table) for _ in range(2))
        keys = [secrets.token_bytes(16) for _ in range(40)]
        now = NOW
        for _ in range(5):
            for key in keys:
                assert add(store, key, now=now)
            now += 66 + 12
            swept = threading.Thread(target=sweeper.sweep, kwargs={"now": now})
            swept.start()
            for key in keys:
                assert add(store, key, now=now)
            swept.join()
            for key in keys:
                assert not add(store, key, now=now)
            now += 66 + 12


class TestTrouble:
    """Each is an error, never an answer."""

    @pytest.mark.requirement("X-15")
    def test_no_schema(self, url: str, table: str) -> None:
        store = SQLReplayStore.from_url(url, table=table, timeout=PATIENCE)
        opened.close_at_last(store.close)

        with pytest.raises(StoreError) as caught:
            add(store)
        with pytest.raises(StoreError) as swept:
            store.sweep(now=NOW)
        # The name of its cause is what the log has.
        for error in (caught.value, swept.value):
            assert type(error.__cause__) is MissingTableError

    @pytest.mark.requirement("X-15")
    def test_a_table_of_sweeps_that_somebody_emptied(
        self, url: str, table: str
    ) -> None:
        store = open_store(url, table)
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            connection.execute(sa.text(f"DELETE FROM {table}_swept"))
        engine.dispose()

        with pytest.raises(StoreError):
            add(store)
        store.create_schema()
        assert add(store)

    @pytest.mark.requirement("X-15")
    def test_a_full_disk(self, file: Path, table: str) -> None:
        store = open_store(f"sqlite:///{file}", table)
        engine = sa.create_engine(f"sqlite:///{file}")

        @sa.event.listens_for(engine, "connect")
        def limit(connection: Any, _: object) -> None:
            connection.execute("PRAGMA max_page_count = 8")
            connection.execute("PRAGMA synchronous = OFF")

        small = SQLReplayStore(engine, table=table)
        with pytest.raises(StoreError) as raised:
            all(add(small) for _ in range(5000))

        assert "full" in str(raised.value.__cause__)
        assert add(store)
        engine.dispose()

    @pytest.mark.requirement("X-15")
    def test_a_database_that_may_only_be_read(self, file: Path, table: str) -> None:
        open_store(f"sqlite:///{file}", table)
        engine = sa.create_engine(f"sqlite:///file:{file}?mode=ro&uri=true")
        store = SQLReplayStore(engine, table=table)

        with pytest.raises(StoreError):
            add(store)
        engine.dispose()

    @pytest.mark.requirement("X-15")
    def test_a_lock_that_is_not_released(
        self, postgres: PostgresServer, table: str
    ) -> None:
        store = open_store(postgres.url, table, timeout=1)
        engine = sa.create_engine(postgres.url)
        started = time.monotonic()
        with engine.begin() as connection:
            connection.execute(sa.text(f"LOCK TABLE {table}"))
            with pytest.raises(StoreError):
                add(store)

        assert 0.75 < time.monotonic() - started < 5
        assert add(store)
        engine.dispose()

    def test_the_key_is_not_in_the_error(self, url: str, table: str) -> None:
        store = SQLReplayStore.from_url(url, table=table, timeout=PATIENCE)
        opened.close_at_last(store.close)
        with pytest.raises(StoreError) as raised:
            add(store, b"0123456789abcdef")

        assert "0123456789abcdef" not in f"{raised.value} {raised.value.__cause__}"

    @pytest.mark.requirement("X-15")
    def test_what_a_killed_process_used_stays_used(self, url: str, table: str) -> None:
        store = open_store(url, table)
        process = multiprocessing.get_context("spawn").Process(
            target=use_and_die, args=(url, table)
        )
        process.start()
        process.join()

        assert process.exitcode == -signal.SIGKILL
        assert not add(store, b"k" * 16)


def use_and_die(url: str, table: str) -> None:
    """Use a key and end at once, in a process of its own."""
    if add(open_store(url, table), b"k" * 16):
        os.kill(os.getpid(), signal.SIGKILL)


class TestSchema:
    def test_many_may_create_it_at_once(self, url: str, table: str) -> None:
        barrier = threading.Barrier(8)
        stores = [
            SQLReplayStore.from_url(url, table=table, timeout=PATIENCE)
            for _ in range(8)
        ]
        added = []

        def start(store: SQLReplayStore) -> None:
            barrier.wait(PATIENCE)
            store.create_schema()
            added.append(add(store))

        threads = [threading.Thread(target=start, args=(store,)) for store in stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for store in stores:
            store.close()

        assert added == [True] * 8

    def test_creating_it_again_forgets_nothing(self, url: str, table: str) -> None:
        store = open_store(url, table)
        key = secrets.token_bytes(16)
        assert add(store, key)
        store.sweep(now=NOW + 60)

        store.create_schema()

        assert not add(store, key, now=NOW + 60)
        with pytest.raises(StoreError):
            add(store, now=NOW)

    def test_an_error_in_it_is_told(self, tmp_path: Path) -> None:
        with (
            contextlib.closing(
                SQLReplayStore.from_url(f"sqlite:///{tmp_path}/no/such/folder")
            ) as store,
            pytest.raises(StoreError),
        ):
            store.create_schema()

    def test_migrations_find_the_tables_that_the_store_uses(
        self, url: str, table: str
    ) -> None:
        metadata = sa.MetaData()
        proofs, swept = define_tables(metadata, name=table)
        engine = sa.create_engine(url)
        metadata.create_all(engine)
        with engine.begin() as connection:
            connection.execute(swept.insert().values(id=1, until=-1))
        store = SQLReplayStore(engine, table=table)

        assert proofs.name == table
        assert add(store)
        assert sa.inspect(engine).has_table(f"{table}_swept")
        engine.dispose()


class TestEngine:
    def test_the_engine_of_the_application_keeps_its_transactions(
        self, url: str, table: str
    ) -> None:
        engine = sa.create_engine(url, pool_size=1, max_overflow=0)
        store = SQLReplayStore(engine, table=table)
        store.create_schema()
        key = secrets.token_bytes(16)
        assert add(store, key)
        with engine.connect() as connection:
            connection.execute(sa.text(f"DELETE FROM {table}"))
            connection.rollback()

        assert not add(store, key)
        engine.dispose()

    @pytest.mark.parametrize(
        "url",
        [
            "sqlite://",
            "sqlite:///:memory:",
            "sqlite:///file:x?mode=memory&cache=shared&uri=true",
            "sqlite:///file::memory:?cache=shared&uri=true",
        ],
    )
    def test_a_memory_that_is_not_shared_is_refused(self, url: str) -> None:
        with pytest.raises(ValueError, match="memory"):
            SQLReplayStore.from_url(url)
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        with pytest.raises(ValueError, match="memory"):
            SQLReplayStore(engine)
        engine.dispose()

    def test_another_database_is_refused(self) -> None:
        with pytest.raises(ValueError, match="SQLite and PostgreSQL"):
            SQLReplayStore.from_url("oracle://localhost/x")

    @pytest.mark.parametrize("driver", ["postgresql+asyncpg", "sqlite+aiosqlite"])
    def test_a_driver_for_asyncio_is_refused(self, driver: str) -> None:
        # Each call would fail, and requests get 503 from then on.
        with pytest.raises(ValueError, match="asyncio"):
            SQLReplayStore.from_url(f"{driver}://localhost/x")

    def test_a_driver_without_known_time_limits_needs_an_engine_of_its_own(
        self,
    ) -> None:
        with pytest.raises(ValueError, match="time-outs"):
            SQLReplayStore.from_url("postgresql+pg8000://localhost/x")

    @pytest.mark.parametrize("option", ["clock_tolerance", "sweep_every"])
    def test_a_negative_number_is_refused(self, option: str, file: Path) -> None:
        with pytest.raises(ValueError, match="negative"):
            open_store(f"sqlite:///{file}", "t", **{option: -1})

    def test_no_wait_for_a_postgresql_that_is_gone_is_without_end(
        self, postgres: PostgresServer
    ) -> None:
        engine = connect(postgres.url, timeout=0.5)
        with engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            options = driver.info.get_parameters()
        engine.dispose()

        assert options["connect_timeout"] == "2"
        assert options["options"] == "-c statement_timeout=500"
        assert options["tcp_user_timeout"] == "500"
        # Seconds: the first probe, the pause between two, and how many may be lost.
        names = ("keepalives_idle", "keepalives_interval", "keepalives_count")
        assert [options[name] for name in names] == ["1", "1", "2"]

    def test_sqlite_writes_ahead(self, file: Path, table: str) -> None:
        open_store(f"sqlite:///{file}", table)

        with contextlib.closing(sqlite3.connect(file)) as other:
            assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
