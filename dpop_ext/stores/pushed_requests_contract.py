"""What every store of pushed requests must do, as a suite of tests (RFC 9126).

For stores of your own; used as :mod:`dpop_ext.stores.contract` is. It needs nothing
but the standard library.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, ClassVar

from dpop_ext.errors import StoreError, TooManyRequestsError
from dpop_ext.stores.contract_base import PATIENCE
from dpop_ext.stores.pushed_requests import PushedRequest, PushedRequestStore

LIFETIME = 300
OpenPushedRequests = Callable[[], PushedRequestStore]


class PushedRequestStoreContract:
    """For every store. Each test gets an empty one from :meth:`make_store`."""

    #: Live requests of one client in the stores that are made.
    max_per_client: ClassVar[int] = 10

    def make_store(self) -> PushedRequestStore:
        """Return an empty store with a share of :attr:`max_per_client`."""
        raise NotImplementedError

    def now(self) -> int:
        """Return the time at which a test begins, in seconds since the epoch."""
        return int(time.time())

    def test_what_was_saved_is_loaded_as_it_was(self) -> None:
        """With every value of every parameter, whatever characters it has."""
        store, now = self.make_store(), self.now()
        parameters = {
            "scope": ["a b"],
            "resource": ["https://a.example", "https://b.example"],
            "state": ["\0 \N{SNOWMAN} \N{GRINNING FACE} \" ' \\ ;--"],
            "empty": [""],
        }
        for jkt in (None, "j" * 43):
            pushed = PushedRequest(
                client_id="client \N{SNOWMAN}",
                parameters=parameters,
                dpop_jkt=jkt,
                expires_at=now + LIFETIME,
            )
            store.save(f"r-{jkt}", pushed, now=now)
            assert store.load(f"r-{jkt}") == pushed

    def test_a_request_may_be_loaded_often_and_consumed_once(self) -> None:
        """Pages can be loaded again; the decision is the one use."""
        store, now = self.make_store(), self.now()
        store.save("a", make_request(now), now=now)
        store.save("b", make_request(now), now=now)
        assert store.load("a") == store.load("a") == make_request(now)

        assert store.consume("a") is True
        assert store.consume("a") is False
        assert store.load("a") is None
        assert store.load("b") == make_request(now)

    def test_what_was_not_saved_is_not_there(self) -> None:
        """References are told apart exactly, also those that only look alike."""
        store, now = self.make_store(), self.now()
        store.save("Reference", make_request(now), now=now)
        for other in ("reference", "Reference ", "", "%", "Referenc_", "\udcff", "\0"):
            assert store.load(other) is None
            assert store.consume(other) is False
        assert store.load("Reference") is not None

    def test_an_expired_request_makes_room(self) -> None:
        """The share of a client is free again when the time of its requests is over."""
        store, now = self.make_store(), self.now()
        for number in range(self.max_per_client):
            store.save(f"old-{number}", make_request(now), now=now)
        later = now + LIFETIME
        for number in range(self.max_per_client):
            store.save(f"new-{number}", make_request(later), now=later)
        for number in range(self.max_per_client):
            assert store.load(f"new-{number}") == make_request(later)

    def test_a_flood_of_one_client_leaves_room_for_the_others(self) -> None:
        """It is refused, and drives out nothing that lives."""
        store, now = self.make_store(), self.now()
        refused = 0
        for number in range(3 * self.max_per_client):
            try:
                store.save(f"a-{number}", make_request(now), now=now)
            except TooManyRequestsError:
                refused += 1
        assert refused == 2 * self.max_per_client
        store.save("b", make_request(now, "another"), now=now)
        for number in range(self.max_per_client):
            assert store.load(f"a-{number}") is not None
        assert store.consume("a-0") is True
        store.save("again", make_request(now), now=now)

    def test_of_many_threads_one_consumes_the_request(self) -> None:
        """One request, many decisions at the same moment."""
        store, now = self.make_store(), self.now()
        threads, rounds = 8, 5
        for turn in range(rounds):
            store.save(f"r-{turn}", make_request(now), now=now)
        barrier = threading.Barrier(threads, timeout=PATIENCE)
        consumed: list[int] = []

        def race() -> None:
            for turn in range(rounds):
                barrier.wait()
                if store.consume(f"r-{turn}"):
                    consumed.append(turn)

        workers = [threading.Thread(target=race) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert sorted(consumed) == list(range(rounds))


class SharedPushedRequestStoreContract(PushedRequestStoreContract):
    """For stores that several processes share: also between them, and in trouble."""

    #: Seconds within which a store without its engine must give up.
    patience: ClassVar[float] = 3.0
    #: Seconds within which it works again once the engine is back.
    recovery: ClassVar[float] = 5.0

    def make_opener(self) -> OpenPushedRequests:
        """Return what opens a new and empty store: the same one at each call.

        It can be pickled, because other processes call it too.
        """
        raise NotImplementedError

    def engine_gone(self) -> AbstractContextManager[object]:
        """Return a context in which the engine of the latest store does not answer."""
        raise NotImplementedError

    def make_store(self) -> PushedRequestStore:
        """Return an empty store."""
        return self.make_opener()()

    def test_what_one_node_saved_the_other_one_consumes(self) -> None:
        """The browser comes to another process than the client did."""
        open_store, now = self.make_opener(), self.now()
        first, second = open_store(), open_store()
        first.save("r", make_request(now), now=now)
        assert second.load("r") == make_request(now)
        assert second.consume("r") is True
        assert first.consume("r") is False
        assert first.load("r") is None

    def test_of_many_processes_one_consumes_the_request(self) -> None:
        """One request, decisions in several processes at the same moment."""
        open_store, now = self.make_opener(), self.now()
        store = open_store()
        processes, rounds = 3, self.max_per_client
        for turn in range(rounds):
            store.save(f"r-{turn}", make_request(now), now=now)
        context = multiprocessing.get_context("spawn")
        barrier = context.Barrier(processes)
        results: Any = context.SimpleQueue()
        workers = [
            context.Process(
                target=_race_in_process, args=(open_store, barrier, results, rounds)
            )
            for _ in range(processes)
        ]
        for worker in workers:
            worker.start()
        consumed = [turn for _ in workers for turn in results.get()]
        for worker in workers:
            worker.join()
        assert sorted(consumed) == list(range(rounds))

    def test_without_its_engine_it_fails_closed_and_comes_back(self) -> None:
        """It raises, soon; then it serves again, with what it had."""
        open_store, now = self.make_opener(), self.now()
        store = open_store()
        store.save("r", make_request(now), now=now)
        with self.engine_gone():
            for call in (
                lambda: store.save("s", make_request(now), now=now),
                lambda: store.consume("r"),
            ):
                started = time.monotonic()
                assert _fails(call)
                assert time.monotonic() - started < self.patience
        deadline = time.monotonic() + self.recovery
        while _fails(lambda: store.load("r")):
            assert time.monotonic() < deadline, "it does not come back"
            time.sleep(0.05)
        assert store.consume("r") is True


def make_request(now: int, client_id: str = "client") -> PushedRequest:
    """Return a request that lives for :data:`LIFETIME` seconds."""
    return PushedRequest(
        client_id=client_id,
        parameters={"scope": ["a"]},
        dpop_jkt=None,
        expires_at=now + LIFETIME,
    )


def _fails(call: Callable[[], object]) -> bool:
    try:
        call()
    except StoreError:
        return True
    return False


def _race_in_process(
    open_store: OpenPushedRequests, barrier: Any, results: Any, rounds: int
) -> None:
    """Report what this process consumed; runs in a process of its own."""
    consumed = []
    try:
        store = open_store()
        for turn in range(rounds):
            barrier.wait(PATIENCE)
            if store.consume(f"r-{turn}"):
                consumed.append(turn)
    finally:
        results.put(consumed)
