"""What every replay store must do, as a suite of tests (RFC 9449 section 11.1).

For stores of your own. Subclass :class:`ReplayStoreContract`, or, if several processes
share the store, :class:`SharedReplayStoreContract`; any runner that collects methods
named ``test_...`` of classes named ``Test...`` runs it::

    class TestMyStore(SharedReplayStoreContract):
        def make_opener(self):
            return functools.partial(MyStore, url, table=secrets.token_hex(8))

        @contextmanager
        def engine_gone(self):
            stop_the_engine()
            yield
            start_the_engine()

It needs nothing but the standard library.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, ClassVar

from dpop_ext.errors import StoreError
from dpop_ext.stores.base import CLOCK_TOLERANCE, ReplayStore
from dpop_ext.stores.contract_base import PATIENCE, WINDOW, make_key
from dpop_ext.stores.expiry_contract import ExpiryContract, is_refused
from dpop_ext.stores.load_contract import LoadContract

OpenStore = Callable[[], ReplayStore]


class ReplayStoreContract(ExpiryContract, LoadContract):
    """For every store. Each test gets an empty one from :meth:`make_store`."""


class SharedReplayStoreContract(ReplayStoreContract):
    """For stores that several processes share: also between them, and in trouble."""

    #: Seconds within which a store without its engine must give up.
    patience: ClassVar[float] = 3.0
    #: Seconds within which it works again once the engine is back.
    recovery: ClassVar[float] = 5.0

    def make_opener(self) -> OpenStore:
        """Return what opens a new and empty store: the same one at each call.

        It can be pickled, because other processes call it too.
        """
        raise NotImplementedError

    def engine_gone(self) -> AbstractContextManager[object]:
        """Return a context in which the engine of the latest store does not answer.

        After it the engine works again, and still has what it was told.
        """
        raise NotImplementedError

    def make_store(self) -> ReplayStore:
        """Return an empty store."""
        return self.make_opener()()

    def test_what_one_node_used_the_other_one_refuses(self) -> None:
        """Also one that starts later, such as after a restart."""
        open_store, now = self.make_opener(), self.now()
        first, second = open_store(), open_store()

        assert first.add(make_key(1), expires_at=now + WINDOW, now=now) is True
        assert second.add(make_key(1), expires_at=now + WINDOW, now=now) is False
        assert second.add(make_key(2), expires_at=now + WINDOW, now=now) is True
        assert first.add(make_key(2), expires_at=now + WINDOW, now=now) is False
        late = open_store()
        for number in (1, 2):
            assert late.add(make_key(number), expires_at=now + WINDOW, now=now) is False

    def test_nodes_whose_clocks_differ_accept_a_proof_once(self) -> None:
        """The one that is behind would accept it for longer."""
        for ahead in (1, CLOCK_TOLERANCE, WINDOW, 3600):
            open_store, behind = self.make_opener(), self.now()
            first, second = open_store(), open_store()
            now = behind + ahead
            assert first.add(make_key(1), expires_at=now + WINDOW, now=now) is True
            # What the first one does meanwhile may drop entries.
            for number in range(2, 20):
                then = now + number * WINDOW
                first.add(make_key(number), expires_at=then + WINDOW, now=then)

            for now in (behind, behind + 1, behind + ahead, behind + ahead + WINDOW):
                end = now + WINDOW
                assert is_refused(second, make_key(1), expires_at=end, now=now)

    def test_of_many_processes_one_adds_the_key(self) -> None:
        """One proof, requests to several processes at the same moment."""
        open_store, offset = self.make_opener(), self.now() - time.monotonic()
        open_store()
        processes, rounds = 4, 50
        # Spawned, not forked: a connection must not be shared.
        context = multiprocessing.get_context("spawn")
        barrier = context.Barrier(processes)
        results: Any = context.SimpleQueue()
        workers = [
            context.Process(
                target=_race_in_process,
                args=(open_store, barrier, results, rounds, offset),
            )
            for _ in range(processes)
        ]
        for worker in workers:
            worker.start()
        added = [turn for _ in workers for turn in results.get()]
        for worker in workers:
            worker.join()

        assert sorted(added) == list(range(rounds))

    def test_without_its_engine_it_fails_closed_and_comes_back(self) -> None:
        """It raises, soon, and never says that a proof is new; then it serves again."""
        open_store, offset = self.make_opener(), self.now() - time.monotonic()
        store = open_store()

        def add(number: int) -> bool:
            now = int(time.monotonic() + offset)
            return store.add(make_key(number), expires_at=now + WINDOW, now=now)

        assert add(0) is True

        with self.engine_gone():
            for number in range(12):
                started = time.monotonic()
                try:
                    answer = add(number)
                except StoreError:
                    answer = None
                assert answer is None, "an answer without the engine"
                assert time.monotonic() - started < self.patience

        fresh = iter(range(100, 10**6))
        deadline = time.monotonic() + self.recovery
        while not _serves(add, next(fresh)):
            assert time.monotonic() < deadline, "it does not come back"
            time.sleep(0.05)
        assert add(0) is False


def _serves(add: Callable[[int], bool], fresh: int) -> bool:
    try:
        return add(fresh)
    except StoreError:
        return False


def _race_in_process(
    open_store: OpenStore, barrier: Any, results: Any, rounds: int, offset: float
) -> None:
    """Report which keys this process added; runs in a process of its own.

    :param offset: seconds from the monotonic clock to the time. On a busy machine
        processes start slowly, and some stores refuse who is late.
    """
    added = []
    try:
        store = open_store()
        for turn in range(rounds):
            barrier.wait(PATIENCE)
            now = int(time.monotonic() + offset)
            if store.add(make_key(turn), expires_at=now + WINDOW, now=now):
                added.append(turn)
    finally:
        results.put(added)
