"""The store on Redis: one command, and an error for whatever goes wrong with it."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.sentinel import Sentinel

from dpop_ext.errors import StoreError
from dpop_ext.stores import redis as redis_store
from dpop_ext.stores.base import REPLAY_KEY_LENGTH
from dpop_ext.stores.circuit import CircuitBreaker
from dpop_ext.stores.redis import AsyncRedisReplayStore, RedisReplayStore
from tests.engines import RedisServer, free_ports, redis_server, wait_until
from tests.patience import PATIENCE, PATIENT
from tests.stores.breaking_proxy import breaking_proxy

NOW = 1_790_000_000
#: Seconds that a test waits for a server that does not answer. One that does has so
#: long, too.
TIMEOUT = 1
#: Milliseconds after which a pause ends that no test leaves to itself.
PAUSE = 1000 * PATIENCE


def real_time() -> int:
    """Return what Redis takes for the time, too."""
    return int(time.time())


@pytest.fixture
def store(redis: RedisServer) -> Iterator[RedisReplayStore]:
    with contextlib.closing(RedisReplayStore.from_url(redis.url, **PATIENT)) as store:
        yield store


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A server that the test may spoil."""
    with redis_server() as server:
        yield server


def add(
    store: RedisReplayStore, key: bytes | None = None, now: int | None = None
) -> bool:
    key = key or secrets.token_bytes(REPLAY_KEY_LENGTH)
    now = real_time() if now is None else now
    return store.add(key, expires_at=now + 66, now=now)


class TestEntry:
    @pytest.mark.requirement("X-16")
    def test_it_is_small_and_holds_no_more_than_the_key(
        self, client: Any, store: RedisReplayStore
    ) -> None:
        key = secrets.token_bytes(REPLAY_KEY_LENGTH)
        add(store, key)

        assert client.keys() == [key]
        assert client.object("encoding", key) == b"int"

    def test_with_its_place_in_the_tables_it_takes_120_bytes_at_most(
        self, own_redis: RedisServer
    ) -> None:
        count = 3 << 15  # Three quarters of a table: those of Redis double.
        client: Any = Redis.from_url(own_redis.url)
        store = RedisReplayStore.from_url(own_redis.url, clock_check=None, **PATIENT)
        with contextlib.closing(client), contextlib.closing(store):
            before = client.info("memory")["used_memory"]
            pipeline = client.pipeline(transaction=False)
            for _ in range(count):
                key = secrets.token_bytes(REPLAY_KEY_LENGTH)
                _, entry = store._command(key, lifetime=66)
                pipeline.execute_command(*entry)
            pipeline.execute()
            # Redis ends the buffers of the connection some time after it.
            client.connection_pool.disconnect()

            def used() -> float:
                memory = int(client.info("memory")["used_memory"])
                return (memory - int(before)) / count

            assert client.dbsize() == count
            wait_until(lambda: used() <= 120, what="120 bytes an entry")

    @pytest.mark.requirement("X-15")
    @pytest.mark.parametrize(("lifetime", "tolerance"), [(0, 0), (66, 0), (96, 10)])
    def test_it_lives_through_the_last_second_on_a_clock_that_is_behind(
        self, client: Any, redis: RedisServer, lifetime: int, tolerance: int
    ) -> None:
        with contextlib.closing(
            RedisReplayStore.from_url(
                redis.url, clock_tolerance=tolerance, clock_check=None, **PATIENT
            )
        ) as store:
            key = secrets.token_bytes(16)
            before = time.monotonic()
            assert store.add(key, expires_at=NOW + lifetime, now=NOW)
            left = client.pttl(key)
            passed = 1000 * (time.monotonic() - before)

        whole = 1000 * (lifetime + 1 + tolerance)
        assert whole - passed - 1 <= left <= whole

    def test_keys_begin_with_the_prefix(self, client: Any, redis: RedisServer) -> None:
        key = secrets.token_bytes(16)
        stores = [
            RedisReplayStore.from_url(redis.url, prefix=prefix, **PATIENT)
            for prefix in (b"as:", b"rs:")
        ]
        for store in stores:
            assert add(store, key)
            store.close()

        assert sorted(client.keys()) == [b"as:" + key, b"rs:" + key]

    def test_one_request_is_one_command(
        self, client: Any, store: RedisReplayStore
    ) -> None:
        add(store)
        before = client.info("commandstats")["cmdstat_set"]["calls"]
        total = client.info("stats")["total_commands_processed"]

        add(store)

        after = client.info("stats")["total_commands_processed"]
        assert client.info("commandstats")["cmdstat_set"]["calls"] == before + 1
        assert after - total == 2  # this one, and the one that asks

    def test_hiredis_is_given_no_number_to_make_a_text_of(
        self, store: RedisReplayStore
    ) -> None:
        """A signal handler that raises meanwhile would end the process there."""
        _, command = store._command(b"key", lifetime=66)
        assert {type(part) for part in command} == {str, bytes}

    def test_a_client_that_decodes_answers_is_as_good(
        self, client: Any, redis: RedisServer
    ) -> None:
        key = secrets.token_bytes(16)
        with contextlib.closing(
            Redis.from_url(redis.url, decode_responses=True)
        ) as decoding:
            store = RedisReplayStore(decoding)
            assert add(store, key)
            assert not add(store, key)


class TestLostAnswer:
    """Was the command carried out? Whoever sends it again must find out."""

    @pytest.mark.requirement("X-15")
    def test_a_command_that_is_sent_again_is_no_replay(
        self, client: Any, redis: RedisServer, tmp_path: Path
    ) -> None:
        key = secrets.token_bytes(16)
        with breaking_proxy(tmp_path / "proxy.sock", redis.socket, mark=b"NX") as proxy:
            store = RedisReplayStore.from_url(f"unix://{proxy.path}", **PATIENT)
            proxy.losses = 1

            assert add(store, key) is True

            assert proxy.losses == 0
            assert client.keys() == [key]
            assert add(store, key) is False
            proxy.losses = 1
            assert add(store, key) is False
            store.close()

    @pytest.mark.requirement("X-15")
    def test_an_answer_that_never_comes_is_an_error_and_nothing_is_accepted_later(
        self, client: Any, redis: RedisServer, tmp_path: Path
    ) -> None:
        key = secrets.token_bytes(16)
        with breaking_proxy(tmp_path / "proxy.sock", redis.socket, mark=b"NX") as proxy:
            store = RedisReplayStore.from_url(f"unix://{proxy.path}", **PATIENT)
            proxy.losses = 2

            with pytest.raises(StoreError):
                add(store, key)

            assert proxy.losses == 0
            assert client.keys() == [key]
            assert add(store, key) is False
            store.close()

    @pytest.mark.requirement("X-15")
    def test_a_slow_server_is_an_error_after_the_time_out_and_not_tried_again(
        self, client: Any, redis: RedisServer
    ) -> None:
        key = secrets.token_bytes(16)
        store = RedisReplayStore.from_url(redis.url, timeout=TIMEOUT)
        add(store)
        client.client_pause(PAUSE, all=False)
        opened = client.info("stats")["total_connections_received"]
        started = time.monotonic()

        with pytest.raises(StoreError):
            add(store, key)

        assert time.monotonic() - started > TIMEOUT * 0.9
        # Whoever tries again connects again: an answer may still come on this one.
        assert client.info("stats")["total_connections_received"] == opened
        client.client_unpause()
        # Answers do not shift: each command gets its own.
        assert add(store) is True
        assert add(store, key) in {True, False}
        assert add(store, key) is False
        store.close()

    def test_a_cancelled_call_does_not_leave_its_answer_to_the_next_one(
        self, client: Any, redis: RedisServer
    ) -> None:
        key, other = secrets.token_bytes(16), secrets.token_bytes(16)

        async def scenario() -> list[bool]:
            store = AsyncRedisReplayStore.from_url(redis.url, **PATIENT)
            now = real_time()
            await store.add(other, expires_at=now + 66, now=now)
            client.client_pause(PAUSE, all=False)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await store.add(key, expires_at=now + 66, now=now)
            client.client_unpause()
            answers = [
                await store.add(other, expires_at=now + 66, now=now),
                await store.add(b"new" * 5 + b"x", expires_at=now + 66, now=now),
            ]
            await store.aclose()
            return answers

        assert asyncio.run(scenario()) == [False, True]


class TestManyCalls:
    """Of one event loop, at the same moment."""

    @pytest.mark.requirement("X-15")
    def test_they_share_connections_and_round_trips(
        self, client: Any, redis: RedisServer
    ) -> None:
        """And none is refused because there are many."""

        async def scenario() -> list[bool]:
            store = AsyncRedisReplayStore.from_url(redis.url, max_flights=2, **PATIENT)
            before = client.info("clients")["connected_clients"]
            now = real_time()
            keys = [(number % 150).to_bytes(16) for number in range(300)]
            adding = [store.add(key, expires_at=now + 66, now=now) for key in keys]
            added = await asyncio.gather(*adding)
            assert client.info("clients")["connected_clients"] == before + 2
            await store.aclose()
            return added

        reads = client.info("stats")["total_reads_processed"]
        assert sum(asyncio.run(scenario())) == 150
        assert client.dbsize() == 150
        assert client.info("stats")["total_reads_processed"] - reads < 60

    @pytest.mark.requirement("X-15")
    def test_each_has_an_answer_or_an_error_of_its_own(
        self, client: Any, redis: RedisServer
    ) -> None:
        client.rpush(bytes(16), "no proof")
        client.set(b"u" * 16, 1)
        keys = [bytes(16), b"u" * 16, b"n" * 16, b"n" * 16]

        async def scenario() -> list[Any]:
            store = AsyncRedisReplayStore.from_url(redis.url, max_flights=1, **PATIENT)
            now = real_time()
            await store.add(b"0" * 16, expires_at=now + 66, now=now)
            adding = [
                store.add(key, expires_at=now + 66, now=now)
                for key in (b"1" * 16, *keys)
            ]
            answers = await asyncio.gather(*adding, return_exceptions=True)
            await store.aclose()
            return answers

        _, wrong, *answers = asyncio.run(scenario())
        assert isinstance(wrong, StoreError)
        assert answers == [False, True, False]

    @pytest.mark.requirement("X-15")
    def test_a_server_that_hangs_is_an_error_for_all_of_them_in_time(
        self, client: Any, redis: RedisServer
    ) -> None:
        """Those that wait for a flight wait no longer than it and their own."""

        async def scenario() -> tuple[list[Any], bool]:
            store = AsyncRedisReplayStore.from_url(
                redis.url,
                timeout=TIMEOUT,
                max_flights=2,
                circuit=CircuitBreaker(seconds=0.05),
            )
            now = real_time()
            await store.add(b"0" * 16, expires_at=now + 66, now=now)
            client.client_pause(PAUSE, all=False)
            adding = [
                store.add(number.to_bytes(16), expires_at=now + 66, now=now)
                for number in range(200)
            ]
            started = time.monotonic()
            answers = await asyncio.gather(*adding, return_exceptions=True)
            assert time.monotonic() - started < 5 * TIMEOUT
            client.client_unpause()
            await asyncio.sleep(0.1)  # the circuit
            again = await store.add(b"0" * 16, expires_at=now + 66, now=now)
            await store.aclose()
            return answers, again

        answers, again = asyncio.run(scenario())
        assert {type(answer) for answer in answers} == {StoreError}
        assert again is False

    @pytest.mark.requirement("X-15")
    def test_a_lost_connection_makes_no_replays_of_them_and_accepts_none_twice(
        self, client: Any, redis: RedisServer, tmp_path: Path
    ) -> None:
        keys = [number.to_bytes(16) for number in range(40)]

        async def scenario(path: Path) -> list[bool]:
            store = AsyncRedisReplayStore.from_url(
                f"unix://{path}", max_flights=1, **PATIENT
            )
            now = real_time()
            adding = [store.add(key, expires_at=now + 66, now=now) for key in keys * 2]
            answers = await asyncio.gather(*adding)
            await store.aclose()
            return answers

        path = tmp_path / "proxy.sock"
        with breaking_proxy(path, redis.socket, mark=keys[20]) as proxy:
            proxy.losses = 1  # the answers to all that were sent with it
            answers = asyncio.run(scenario(proxy.path))
            assert proxy.losses == 0
        assert answers == [True] * len(keys) + [False] * len(keys)

    def test_one_that_is_cancelled_takes_nobody_with_it(
        self, client: Any, redis: RedisServer
    ) -> None:
        async def scenario() -> list[Any]:
            store = AsyncRedisReplayStore.from_url(redis.url, max_flights=1, **PATIENT)
            now = real_time()
            await store.add(b"0" * 16, expires_at=now + 66, now=now)
            client.client_pause(PAUSE, all=False)
            tasks = [
                asyncio.create_task(
                    store.add(number.to_bytes(16), expires_at=now + 66, now=now)
                )
                for number in range(6)
            ]
            await asyncio.sleep(0.05)
            for number in (0, 3):  # on its way, and one that waits
                tasks[number].cancel()
            client.client_unpause()
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            await store.aclose()
            return answers

        answers = asyncio.run(scenario())
        cancelled = [isinstance(one, asyncio.CancelledError) for one in answers]
        assert cancelled == [True, False, False, True, False, False]
        assert [answers[number] for number in (1, 2, 4, 5)] == [True] * 4

    def test_a_loop_that_ends_leaves_nothing_under_way(
        self, client: Any, redis: RedisServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Or all calls of the next one would wait for ever."""
        store = AsyncRedisReplayStore.from_url(redis.url, max_flights=1, **PATIENT)
        now = real_time()

        async def leave_some_waiting() -> None:
            await store.add(b"0" * 16, expires_at=now + 66, now=now)
            client.client_pause(PAUSE, all=False)
            adding = [
                asyncio.create_task(
                    store.add(number.to_bytes(16), expires_at=now + 66, now=now)
                )
                for number in range(1500)
            ]
            await asyncio.sleep(0.05)
            assert not any(task.done() for task in adding)

        async def add() -> bool:
            async with asyncio.timeout(PATIENCE):
                added = await store.add(b"n" * 16, expires_at=now + 66, now=now)
            await store.aclose()
            return added

        asyncio.run(leave_some_waiting())
        client.client_unpause()
        assert asyncio.run(add()) is True
        assert not [one for one in caplog.records if one.name == "asyncio"]

    def test_a_flight_that_ends_before_it_begins_leaves_nothing_under_way(
        self, redis: RedisServer
    ) -> None:
        """As where a loop ends: it cancels tasks of which nothing was run yet."""

        def cancel_flights(loop: Any, coroutine: Any, **options: Any) -> Any:
            task = asyncio.Task(coroutine, loop=loop, **options)
            if coroutine.__name__ == "_fly":
                task.cancel()
            return task

        async def scenario() -> tuple[list[Any], bool]:
            store = AsyncRedisReplayStore.from_url(redis.url, max_flights=1, **PATIENT)
            now = real_time()
            await store.add(b"0" * 16, expires_at=now + 66, now=now)
            loop = asyncio.get_running_loop()
            loop.set_task_factory(cancel_flights)
            async with asyncio.timeout(PATIENCE):
                keys = [secrets.token_bytes(16) for _ in range(3)]
                adding = [store.add(key, expires_at=now + 66, now=now) for key in keys]
                answers = await asyncio.gather(*adding, return_exceptions=True)
                loop.set_task_factory(None)
                added = await store.add(keys[2], expires_at=now + 66, now=now)
            await store.aclose()
            return answers, added

        (first, *others), added = asyncio.run(scenario())
        assert first is True
        assert [type(other) for other in others] == [asyncio.CancelledError] * 2
        assert added is True

    def test_one_that_is_cancelled_while_it_waits_is_not_sent(
        self, client: Any, redis: RedisServer
    ) -> None:
        """Whoever has gone costs those who are still there nothing."""

        async def scenario() -> None:
            store = AsyncRedisReplayStore.from_url(redis.url, max_flights=1, **PATIENT)
            now = real_time()
            await store.add(b"0" * 16, expires_at=now + 66, now=now)
            first, second, third = (
                asyncio.create_task(store.add(key, expires_at=now + 66, now=now))
                for key in (b"1" * 16, b"2" * 16, b"3" * 16)
            )
            await asyncio.sleep(0)
            second.cancel()
            assert all(await asyncio.gather(first, third))
            await store.aclose()

        asyncio.run(scenario())
        assert client.dbsize() == 3
        assert not client.exists(b"2" * 16)

    def test_at_least_one_is_under_way(self) -> None:
        with pytest.raises(ValueError, match="max_flights"):
            AsyncRedisReplayStore.from_url("redis://localhost", max_flights=0)


class TestTrouble:
    """Each is an error, never an answer; and when it is over, service returns."""

    @pytest.mark.requirement("X-15")
    def test_a_full_server(self, own_redis: RedisServer) -> None:
        store = quick_store(own_redis)
        assert add(store)
        own_redis.command("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(StoreError):
            add(store)

        own_redis.command("CONFIG", "SET", "maxmemory", "0")
        assert add(store)
        store.close()

    @pytest.mark.requirement("X-15")
    def test_a_replica(self, own_redis: RedisServer) -> None:
        store = quick_store(own_redis)
        assert add(store)
        (port,) = free_ports(1)
        own_redis.command("REPLICAOF", "127.0.0.1", str(port))
        with pytest.raises(StoreError):
            add(store)

        own_redis.command("REPLICAOF", "NO", "ONE")
        assert add(store)
        store.close()

    @pytest.mark.requirement("X-15")
    def test_a_server_that_is_loading(self, own_redis: RedisServer) -> None:
        store = quick_store(own_redis)
        used = secrets.token_bytes(16)
        assert add(store, used)
        for _ in range(300):
            add(store)
        own_redis.command("BGREWRITEAOF")
        wait_until(
            lambda: "aof_rewrites:1" in own_redis.command("INFO", "persistence"),
            what="the snapshot",
        )
        wait_until(
            lambda: "in_progress:1" not in own_redis.command("INFO", "persistence"),
            what="the snapshot",
        )
        own_redis.kill()
        # A second for all, with a look at the clients ten times.
        own_redis.start(
            wait=False,
            extra="--key-load-delay 3000 --loading-process-events-interval-bytes 1024",
        )
        wait_until(lambda: "LOADING" in ping(own_redis), what="Redis loads")
        with pytest.raises(StoreError):
            add(store, used)

        wait_until(lambda: "PONG" in ping(own_redis), what="Redis has loaded")
        assert not add(store, used)
        assert add(store)
        store.close()

    @pytest.mark.requirement("X-15")
    def test_a_user_who_may_not(self, own_redis: RedisServer) -> None:
        own_redis.command("ACL", "SETUSER", "reader", "on", ">secret", "~*", "+@read")
        own_redis.command("ACL", "SETUSER", "writer", "on", ">secret", "~*", "+set|get")
        own_redis.command("ACL", "SETUSER", "untimed", "on", ">secret", "~*", "+set")
        setter = ("on", ">secret", "~*", "+set", "+time")
        own_redis.command("ACL", "SETUSER", "setter", *setter)
        users = ("reader", "writer", "untimed", "nobody")
        for user, allowed in (("setter", True), *((user, False) for user in users)):
            store = quick_store(own_redis, user=f"{user}:secret@")
            if allowed:
                assert add(store)
            else:
                with pytest.raises(StoreError) as raised:
                    add(store)
                assert "secret" not in str(raised.value)
            store.close()

    @pytest.mark.requirement("X-15")
    @pytest.mark.parametrize(
        "command", [("RPUSH", "k" * 16, "x"), ("SET", "k" * 16, "text")]
    )
    def test_a_key_that_is_used_for_something_else(
        self, own_redis: RedisServer, command: tuple[str, ...]
    ) -> None:
        store = quick_store(own_redis)
        own_redis.command(*command)

        with pytest.raises(StoreError):
            add(store, b"k" * 16)
        assert add(store)
        store.close()

    def test_a_dead_server_costs_a_few_requests_a_time_out_and_not_each(
        self, own_redis: RedisServer
    ) -> None:
        store = RedisReplayStore.from_url(
            own_redis.url,
            timeout=TIMEOUT,
            circuit=CircuitBreaker(failures=3, seconds=PATIENCE),
        )
        assert add(store)
        own_redis.command("CLIENT", "PAUSE", str(PAUSE), "WRITE")
        started = time.monotonic()
        for _ in range(50):
            with pytest.raises(StoreError):
                add(store)

        # Three, and not fifty.
        assert time.monotonic() - started < 9 * TIMEOUT
        store.close()

    def test_the_connections_of_a_restarted_server_are_replaced(
        self, own_redis: RedisServer
    ) -> None:
        store = quick_store(own_redis)
        used = secrets.token_bytes(16)
        assert add(store, used)
        own_redis.kill()
        own_redis.start()

        assert not add(store, used)
        assert add(store)
        store.close()


class TestClock:
    @pytest.mark.requirement("X-15")
    def test_one_that_was_set_back_is_an_error_until_it_has_caught_up(
        self, client: Any, redis: RedisServer
    ) -> None:
        store = RedisReplayStore.from_url(
            redis.url, clock_tolerance=10, clock_check=None, **PATIENT
        )
        assert add(store, now=NOW + 100)
        assert add(store, now=NOW + 90)
        with pytest.raises(StoreError, match="clock"):
            add(store, now=NOW + 89)

        assert add(store, now=NOW + 90)
        store.close()

    @pytest.mark.requirement("X-15")
    def test_a_node_that_is_behind_does_not_accept_what_redis_has_dropped(
        self, client: Any, redis: RedisServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Nothing in an answer to ``SET`` shows that there was an entry."""
        (one, other) = (
            RedisReplayStore.from_url(redis.url, **PATIENT) for _ in range(2)
        )
        key, begun = secrets.token_bytes(16), real_time()
        assert add(one, key)
        for behind in (0, 7):
            assert add(other, now=real_time() - behind)
        client.delete(key)  # as if more than a minute had passed
        for _ in range(2):
            with pytest.raises(StoreError, match="behind"):
                add(other, key, now=real_time() - 12)

        (record,) = (r for r in caplog.records if r.name == "dpop_ext.stores")
        assert vars(record)["event"] == "clock_refused"
        took = real_time() - begun
        assert -13 - took <= vars(record)["fields"]["seconds"] <= -12
        assert client.keys(key) == []
        # When its clock is right, it is served.
        assert add(other)
        one.close()
        other.close()

    @pytest.mark.requirement("X-15")
    def test_a_node_that_is_ahead_does_not_let_redis_drop_early(
        self, client: Any, redis: RedisServer
    ) -> None:
        """Others can accept the proof for as long as their clocks are not as far."""
        store = RedisReplayStore.from_url(redis.url, **PATIENT)
        key, now = secrets.token_bytes(16), real_time() + 3600
        assert add(store, key, now=now)

        assert client.expiretime(key) >= now + 66 + 10
        with pytest.raises(StoreError, match="ahead"):
            add(store, now=real_time() + 86_410)
        store.close()

    def test_its_tolerance_is_no_negative_number(self) -> None:
        with pytest.raises(ValueError, match="negative"):
            RedisReplayStore.from_url("redis://localhost", clock_tolerance=-1)


@pytest.mark.requirement("X-15")
def test_it_works_through_sentinel() -> None:
    port, watch = free_ports(2)
    with (
        redis_server(port=port),
        tempfile.TemporaryDirectory(prefix="sentinel-") as directory,
    ):
        config = Path(directory, "sentinel.conf")
        config.write_text(f"sentinel monitor main 127.0.0.1 {port} 1\n")
        sentinel = RedisServer(Path(directory), port=watch, sentinel=config)
        try:
            sentinel.start()
            clients: Any = Sentinel([("127.0.0.1", watch)], socket_timeout=PATIENCE)  # type: ignore[no-untyped-call]
            client = clients.master_for("main", socket_timeout=PATIENCE)
            store = RedisReplayStore(client)
            key = secrets.token_bytes(16)

            assert add(store, key)
            assert not add(store, key)

            store.close()
            for watcher in clients.sentinels:
                watcher.close()
        finally:
            sentinel.kill()


def quick_store(server: RedisServer, user: str = "") -> RedisReplayStore:
    """Return a store that asks again after every failure."""
    return RedisReplayStore.from_url(
        f"unix://{user}{server.socket}",
        circuit=CircuitBreaker(failures=1000),
        **PATIENT,
    )


def ping(server: RedisServer) -> str:
    try:
        return server.command("PING")
    except OSError:
        return ""


@pytest.mark.parametrize("fork", ["os.fork", "ctypes.PyDLL(None).fork"])
def test_processes_of_one_server_draw_different_numbers(fork: str) -> None:
    """With the same ones a replay would look like a command that was sent twice.

    Be the process forked by Python, or by a server in C that Python hears nothing of.
    """
    program = rf"""
import ctypes, os
from dpop_ext.stores import redis
child = {fork}()
os.write(1, b"%d\n" % redis._number())
if not child:
    os._exit(0)
os.waitpid(child, 0)
"""
    # In a process of its own, which has no other thread.
    ran = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        timeout=PATIENCE,
    )
    first, second = ran.stdout.split()
    assert first != second


def test_a_virtual_machine_that_is_started_twice_draws_different_numbers() -> None:
    state = redis_store._random.getstate()
    own = redis_store._number()
    redis_store._random.setstate(state)
    assert redis_store._number() != own
