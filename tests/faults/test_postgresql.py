"""A replay store in PostgreSQL that fails, and what becomes of requests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import sqlalchemy

from dpop_ext.stores.circuit import CircuitBreaker
from dpop_ext.stores.sql import SQLReplayStore
from tests.conftest import Clock
from tests.engines import PostgresServer, postgres_server, wait_until
from tests.faults.conftest import TIMEOUT, Api, assert_unavailable, go_through
from tests.resource_server.world import Request


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
def frozen(server: PostgresServer) -> Iterator[None]:
    """Stop the server where it is: alive, its packets confirmed, and no answer."""
    server.freeze()
    try:
        yield
    finally:
        server.thaw()


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
@pytest.mark.parametrize("fault", [stopped, locked, frozen, read_only])
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


@pytest.mark.requirement("X-15")
def test_no_thread_waits_for_a_frozen_server_until_it_goes_on(
    postgres: PostgresServer, make_api: Callable[..., Api]
) -> None:
    """As many as there are requests, each accepted at most once in the end."""
    # Time stands still for the circuit: it stays open until the test goes on.
    clock = Clock()
    store = SQLReplayStore.from_url(
        postgres.url, timeout=TIMEOUT, circuit=CircuitBreaker(clock=clock)
    )
    store.create_schema()
    api = make_api(store)
    with ThreadPoolExecutor(8) as threads:
        requests = [api.request() for _ in range(8)]
        # So that there are connections on which a statement is sent and not answered.
        assert set(threads.map(status(api), [api.request() for _ in range(8)])) == {200}
        with frozen(postgres):
            begun = time.monotonic()
            assert set(threads.map(status(api), requests)) == {503}
            # Some have to connect, for which a driver takes two seconds at least.
            assert time.monotonic() - begun < 8
            # All of them have failed, so the circuit is open: nobody waits.
            begun = time.monotonic()
            assert set(threads.map(status(api), requests)) == {503}
            assert time.monotonic() - begun < 2
        clock.advance(2)
        wait_until(api.is_served, what="service returns by itself")
        answers = list(threads.map(status(api), requests * 4))
    # What the server had taken before it froze may be used, or not.
    for number in range(len(requests)):
        assert answers[number :: len(requests)].count(200) <= 1
    assert set(map(status(api), requests)) == {401}


def status(api: Api) -> Callable[[Request], int]:
    return lambda request: api.send(request).status
