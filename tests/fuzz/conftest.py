"""The servers that are fuzzed, in both nonce modes."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from typing import Self

import pytest
from joserfc.jwk import ECKey

from demo_server import (
    authorization_server,
    first_start,
    passwords,
    resource_server,
)
from demo_server.database import Database
from demo_server.derivation_secrets import DerivationSecrets
from demo_server.settings import Settings
from dpop_ext.resource_server import failure_limit
from dpop_ext.stores.memory import MemoryReplayStore
from tests.conftest import Clock
from tests.fuzz.servers import Servers


class Log(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: set[str] = set()

    def __enter__(self) -> Self:
        for name in "demo_server", "dpop_ext":
            logging.getLogger(name).addHandler(self)
            logging.getLogger(name).setLevel(logging.INFO)
        return self

    def __exit__(self, *_: object) -> None:
        for name in "demo_server", "dpop_ext":
            logging.getLogger(name).removeHandler(self)
            logging.getLogger(name).setLevel(logging.NOTSET)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.add(record.getMessage())


def is_plain(line: str) -> bool:
    return line.isascii() and line.isprintable()


@pytest.fixture(scope="module", params=["off", "required"])
def servers(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    ec_key: ECKey,
) -> Iterator[Servers]:
    stores: list[MemoryReplayStore] = []
    databases: list[Database] = []
    connect = Database.__init__

    def connect_and_remember(database: Database, url: str) -> None:
        connect(database, url)
        databases.append(database)

    def make_store() -> MemoryReplayStore:
        stores.append(MemoryReplayStore())
        return stores[-1]

    with pytest.MonkeyPatch.context() as patch:
        # Slow on purpose, and not what these tests are about.
        patch.setattr(passwords, "METHOD", "scrypt:128:8:1")
        passwords._hash_of_nobody.cache_clear()
        for module in authorization_server, resource_server:
            patch.setattr(module, "MemoryReplayStore", make_store)
        patch.setattr(Database, "__init__", connect_and_remember)
        # Behind the limit there would be nothing to see.
        patch.setattr(failure_limit, "LIMIT", 1_000_000)
        clock = Clock()
        at_this_time = functools.partial(DerivationSecrets, clock=clock)
        patch.setattr(first_start, "DerivationSecrets", at_this_time)
        file = tmp_path_factory.mktemp("fuzz") / "demo.sqlite3"
        settings = Settings(database=f"sqlite:///{file}", nonce=request.param)
        servers = Servers(settings=settings, clock=clock, key=ec_key, stores=stores)
        token, _ = servers.symmetric
        assert servers.api("GET", "/api/accounts", token).status_code == 200
        with Log() as log:
            yield servers
        servers.close()
    for database in databases:
        database.close()
    # Nothing that was sent makes a line of its own, or moves the cursor.
    assert log.lines
    assert [line for line in log.lines if not is_plain(line)] == []
    passwords._hash_of_nobody.cache_clear()
