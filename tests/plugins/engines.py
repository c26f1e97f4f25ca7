"""One of each engine, for all tests that do it no lasting harm."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import engines


@pytest.fixture(scope="session")
def redis() -> Iterator[engines.RedisServer]:
    with engines.redis_server() as server:
        yield server


@pytest.fixture(scope="session")
def valkey() -> Iterator[engines.RedisServer]:
    with engines.redis_server(program=engines.find_valkey()) as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[list[engines.RedisServer]]:
    with engines.redis_cluster() as nodes:
        yield nodes


@pytest.fixture(scope="session")
def postgres() -> Iterator[engines.PostgresServer]:
    with engines.postgres_server() as server:
        yield server


@pytest.fixture(scope="module")
def postgres_database(postgres: engines.PostgresServer) -> str:
    """The URL of a database of the module's own."""
    return postgres.create_database()
