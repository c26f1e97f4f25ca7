"""A replay store in PostgreSQL that fails, and what becomes of requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy

from dpop_ext.stores.sql import SQLReplayStore
from tests.engines import PostgresServer, postgres_server, wait_until
from tests.faults.conftest import TIMEOUT, Api, assert_unavailable, go_through


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@contextmanager
def session(server: PostgresServer) -> Iterator[sqlalchemy.Connection]:
    """Open a connection of an operator, who commits each statement."""
    engine = sqlalchemy.create_engine(
        server.url, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool
    )
    with engine.connect() as connection:
        yield connection


@contextmanager
def stopped(server: PostgresServer) -> Iterator[None]:
    server.kill()
    yield
    server.start()


@contextmanager
def locked(server: PostgresServer) -> Iterator[None]:
    """Hold the table, as a migration may."""
    with session(server) as connection:
        connection.exec_driver_sql("BEGIN")
        connection.exec_driver_sql("LOCK TABLE dpop_used_proof")
        yield
        connection.exec_driver_sql("ROLLBACK")


@contextmanager
def read_only(server: PostgresServer) -> Iterator[None]:
    """Take no writes, as a replica or a server whose disk is nearly full."""
    setting = "ALTER SYSTEM SET default_transaction_read_only"
    with session(server) as connection:
        connection.exec_driver_sql(f"{setting} = on")
        connection.exec_driver_sql("SELECT pg_reload_conf()")
        wait_until(lambda: is_read_only(server), what="the setting is read")
        yield
        connection.exec_driver_sql("SET default_transaction_read_only = off")
        connection.exec_driver_sql(f"{setting} = off")
        connection.exec_driver_sql("SELECT pg_reload_conf()")


def is_read_only(server: PostgresServer) -> bool:
    with session(server) as connection:
        shown = connection.exec_driver_sql("SHOW default_transaction_read_only")
        return shown.scalar() == "on"


@pytest.mark.requirement("X-15")
@pytest.mark.parametrize("fault", [stopped, locked, read_only])
def test_nothing_is_served_until_the_database_is_back(
    postgres: PostgresServer,
    make_api: Callable[..., Api],
    caplog: pytest.LogCaptureFixture,
    fault: Callable[[PostgresServer], object],
) -> None:
    store = SQLReplayStore.from_url(postgres.url, timeout=TIMEOUT)
    store.create_schema()
    go_through(make_api(store), fault(postgres), caplog)  # type: ignore[arg-type]


@pytest.mark.requirement("X-15")
def test_connections_that_an_operator_ends_cost_one_refusal_each(
    postgres: PostgresServer, make_api: Callable[..., Api]
) -> None:
    store = SQLReplayStore.from_url(postgres.url, timeout=TIMEOUT)
    store.create_schema()
    api = make_api(store)
    assert api.send().status == 200
    with session(postgres) as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND datname = 'postgres'"
        )
    answers = [api.send() for _ in range(3)]
    for answer in answers:
        if answer.status != 200:
            assert_unavailable(answer)
    assert answers[-1].status == 200
