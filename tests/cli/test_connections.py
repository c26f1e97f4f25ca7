"""Commands close what they opened: Python 3.13 warns of an open SQLite file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.pool import Pool

from dpop_ext.stores.sql import SQLReplayStore
from tests.cli.conftest import run


class Count:
    """The connections to databases that were made, less those that were closed."""

    def __init__(self) -> None:
        self.made = self.open = 0

    def connected(self, *_: object) -> None:
        self.made += 1
        self.open += 1

    def closed(self, *_: object) -> None:
        self.open -= 1


@pytest.fixture
def count() -> Iterator[Count]:
    count = Count()
    event.listen(Pool, "connect", count.connected)
    event.listen(Pool, "close", count.closed)
    yield count
    event.remove(Pool, "connect", count.connected)
    event.remove(Pool, "close", count.closed)


@pytest.mark.usefixtures("secrets")
@pytest.mark.parametrize("audience", [(), ("--audience", "https://unknown.example")])
def test_the_database_of_secrets_is_closed(
    audience: tuple[str, ...],
    database: str,
    key_file: Path,
    count: Count,
) -> None:
    options = ("--database", database, "--key-file", str(key_file), *audience)
    assert run("secrets", "list", *options).exit_code == (1 if audience else 0)
    assert count.made
    assert not count.open


def test_a_replay_store_that_was_looked_at_is_closed(
    tmp_path: Path, count: Count
) -> None:
    url = f"sqlite:///{tmp_path}/used.sqlite3"
    store = SQLReplayStore.from_url(url)
    store.create_schema()
    store.close()
    assert run("doctor", "--replay-store", url).exit_code == 0
    assert count.made
    assert not count.open
