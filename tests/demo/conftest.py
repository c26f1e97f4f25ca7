"""The demo servers: as apps on a clock of the test, and as processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey

from demo_server import passwords, shared_stores
from demo_server.database import Database
from demo_server.settings import Settings
from demo_server.supervisor import DemoServer
from dpop_ext.stores.base import ReplayStore
from dpop_ext.stores.sql import SQLReplayStore
from dpop_ext.symmetric.secret_bytes import SecretBytes
from tests.conftest import Clock
from tests.demo.parties import Parties


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is slow on purpose is not what these tests are about."""
    monkeypatch.setattr(passwords, "METHOD", "scrypt:128:8:1")
    passwords._hash_of_nobody.cache_clear()


@pytest.fixture(autouse=True)
def closed_databases(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close what a test has opened: an app of a test has no end of its own."""
    opened: list[Any] = []
    connect = Database.__init__

    def connect_and_remember(self: Database, url: str) -> None:
        connect(self, url)
        opened.append(self)

    def open_and_remember(settings: Settings, role: Any) -> ReplayStore:
        store = open_store(settings, role)
        if isinstance(store, SQLReplayStore):
            opened.append(store)
        return store

    def open_tickets_and_remember(settings: Settings, row_key: SecretBytes) -> Any:
        stores = open_tickets(settings, row_key)
        opened.extend(stores)
        return stores

    open_tickets = shared_stores.open_ticket_stores
    monkeypatch.setattr(shared_stores, "open_ticket_stores", open_tickets_and_remember)
    open_store = shared_stores.open_replay_store
    monkeypatch.setattr(Database, "__init__", connect_and_remember)
    monkeypatch.setattr(shared_stores, "open_replay_store", open_and_remember)
    yield
    for database in opened:
        database.close()


@pytest.fixture
def parties(tmp_path: Path, clock: Clock, ec_key: ECKey) -> Parties:
    return Parties.start(tmp_path, clock, ec_key)


@pytest.fixture(scope="session")
def demo_server() -> Iterator[DemoServer]:
    """Both servers as processes of their own, shared by all tests."""
    with DemoServer() as server:
        yield server


@pytest.fixture(scope="module")
def fapi_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoServer]:
    directory = tmp_path_factory.mktemp("fapi")
    settings = Settings(
        as_port=0,
        rs_port=0,
        database=f"sqlite:///{directory}/demo.sqlite3",
        profile="fapi2",
        log_level="warning",
    )
    with DemoServer(settings) as server:
        yield server
