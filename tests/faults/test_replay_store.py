"""The replay store fails: what a client gets, what is logged, and what comes after."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from dpop_ext.core.nonce import NonceIssuer
from dpop_ext.stores.sql import SQLReplayStore
from tests.engines import RedisServer, free_ports, redis_server, wait_until
from tests.faults.conftest import (
    Api,
    assert_unavailable,
    go_through,
    open_store,
)
from tests.patience import PATIENCE

MakeApi = Callable[..., Api]


@contextmanager
def stopped(server: RedisServer) -> Any:
    server.kill()
    yield
    server.start()


@contextmanager
def slow(server: RedisServer) -> Any:
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


@contextmanager
def full(server: RedisServer) -> Any:
    server.command("CONFIG", "SET", "maxmemory", "1")
    yield
    server.command("CONFIG", "SET", "maxmemory", "0")


@contextmanager
def read_only(server: RedisServer) -> Any:
    server.command("REPLICAOF", "127.0.0.1", "1")
    yield
    server.command("REPLICAOF", "NO", "ONE")


@pytest.mark.requirement("X-15")
@pytest.mark.parametrize("fault", [stopped, slow, full, read_only])
def test_nothing_is_served_until_the_store_is_back(
    redis: RedisServer,
    make_api: MakeApi,
    caplog: pytest.LogCaptureFixture,
    fault: Callable[[RedisServer], Any],
) -> None:
    go_through(make_api(open_store(redis)), fault(redis), caplog)


@pytest.mark.requirement("X-15")
def test_a_dead_store_costs_few_requests_a_time_out(
    redis: RedisServer, make_api: MakeApi
) -> None:
    """The circuit opens: requests are refused at once, and do not pile up."""
    api = make_api(open_store(redis, pause=4))
    assert api.send().status == 200
    with slow(redis):
        begun = time.monotonic()
        for _ in range(200):
            assert_unavailable(api.send())
        # Two hundred time-outs would be three minutes.
        assert time.monotonic() - begun < 20
    wait_until(api.is_served, what="service returns by itself")


@pytest.mark.requirement("X-15")
def test_a_failover_may_forget_the_last_proofs_and_new_nonce_secrets_close_that(
    make_api: MakeApi,
) -> None:
    """Replication is asynchronous: state what is lost, and what is done about it."""
    first = NonceIssuer([bytes(range(32))])
    second = NonceIssuer([bytes(range(1, 33))])
    (port,) = free_ports(1)
    options = "--repl-diskless-sync-delay 0"
    with (
        redis_server(port=port, options=options) as redis,
        redis_server(options=options) as replica,
    ):
        replica.command("REPLICAOF", "127.0.0.1", str(port))
        wait_until(
            lambda: "master_link_status:up" in replica.command("INFO", "replication"),
            what="the replica follows",
        )
        api = make_api(open_store(redis), use_nonces=True)
        api.world.nonces = first
        kept, lost = api.request(), api.request()
        assert api.send(kept).status == 200
        # WAIT would do so for the writes of its own connection.
        wait_until(
            lambda: replica.command("DBSIZE") == redis.command("DBSIZE"),
            what="the replica has the first proof",
        )
        # The link breaks; the primary goes on for a moment, and dies.
        replica.command("REPLICAOF", "127.0.0.1", "1")
        assert api.send(lost).status == 200
        redis.kill()
        replica.command("REPLICAOF", "NO", "ONE")

        after = make_api(open_store(replica), use_nonces=True)
        after.world.nonces = first
        assert after.send(kept).status == 401
        # This is what an asynchronous replica can lose.
        assert after.send(lost).status == 200

        safe = make_api(open_store(replica), use_nonces=True)
        safe.world.nonces = second
        lost_too = api.request()
        answer = safe.send(lost_too)
        assert (answer.status, answer.json["error"]) == (401, "use_dpop_nonce")
        assert safe.is_served()


class Killed:
    """A store of a worker that is killed when it comes to use a proof up."""

    def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("unreachable")


@pytest.mark.requirement("X-15")
def test_a_worker_that_is_killed_before_it_spends_a_proof_leaves_it_good_once(
    tmp_path: Path, make_api: MakeApi
) -> None:
    url = f"sqlite:///{tmp_path}/replay.sqlite3"
    SQLReplayStore.from_url(url).create_schema()
    killed = make_api(Killed())
    request = killed.request()
    # Forked, so that it gets the very request that the others get after it.
    worker = multiprocessing.get_context("fork").Process(
        target=killed.send, args=(request,)
    )
    with warnings.catch_warnings():
        # Of threads that other tests may have left.
        warnings.simplefilter("ignore", DeprecationWarning)
        worker.start()
    worker.join(PATIENCE)
    # It passed every check, or it would have ended by itself.
    assert worker.exitcode == -signal.SIGKILL
    one, other = (make_api(SQLReplayStore.from_url(url)) for _ in range(2))
    assert one.send(request).status == 200
    assert other.send(request).status == 401


@pytest.mark.requirement("X-15")
def test_a_full_disk_refuses_and_the_other_nodes_go_on(
    tmp_path: Path, make_api: MakeApi
) -> None:
    url = f"sqlite:///{tmp_path}/replay.sqlite3"
    store = SQLReplayStore.from_url(url)
    store.create_schema()
    engine = sqlalchemy.create_engine(url)

    @sqlalchemy.event.listens_for(engine, "connect")
    def limit(connection: Any, _: object) -> None:
        # No more than it has now.
        connection.execute("PRAGMA max_page_count = 1")

    api, other = make_api(SQLReplayStore(engine)), make_api(store)
    answers = (api.send() for _ in range(2000))
    refused = next(answer for answer in answers if answer.status != 200)
    assert_unavailable(refused)
    assert other.is_served()
    engine.dispose()
