"""Run both demo servers in this process, for the tests of hostile requests."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest
from joserfc.jwk import ECKey

from demo_server import (
    passwords,
    shared_stores,
)
from demo_server.database import Database
from demo_server.settings import Settings
from dpop_ext.stores.memory import MemoryReplayStore
from tests.conftest import Clock
from tests.demo.parties import make_ready_once
from tests.fuzz.servers import Servers


class Log(logging.Handler):
    """Keeps what is logged."""

    def __init__(self, level: int = logging.INFO) -> None:
        super().__init__()
        self.lines: set[str] = set()
        self._level = level

    def __enter__(self) -> Self:
        for name in "demo_server", "dpop_ext":
            logging.getLogger(name).addHandler(self)
            logging.getLogger(name).setLevel(self._level)
        return self

    def __exit__(self, *_: object) -> None:
        for name in "demo_server", "dpop_ext":
            logging.getLogger(name).removeHandler(self)
            logging.getLogger(name).setLevel(logging.NOTSET)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.add(record.getMessage())


@contextmanager
def running(directory: Path, key: ECKey, **options: Any) -> Iterator[Servers]:
    """Yield the servers, with cheap passwords and a clock that stands still.

    :param options: of the servers.
    """
    stores: list[MemoryReplayStore] = []
    databases: list[Database] = []
    connect = Database.__init__

    def connect_and_remember(database: Database, url: str) -> None:
        connect(database, url)
        databases.append(database)

    def make_store(_settings: Settings, _role: str) -> MemoryReplayStore:
        stores.append(MemoryReplayStore())
        return stores[-1]

    clock = Clock()
    file = directory / "demo.sqlite3"
    settings = Settings(database=f"sqlite:///{file}", **options)
    with pytest.MonkeyPatch.context() as patch:
        # Slow on purpose, and not what these tests are about.
        patch.setattr(passwords, "METHOD", "scrypt:128:8:1")
        passwords._hash_of_nobody.cache_clear()
        patch.setattr(shared_stores, "open_replay_store", make_store)
        patch.setattr(Database, "__init__", connect_and_remember)
        make_ready_once(directory, settings, clock, options)
        servers = Servers(
            settings=settings, clock=clock, key=key, stores=stores, is_prepared=True
        )
        yield servers
        servers.close()
    for database in databases:
        database.close()
    passwords._hash_of_nobody.cache_clear()
