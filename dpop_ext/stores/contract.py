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
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, ClassVar

from dpop_ext.core.policy import RFC9449
from dpop_ext.errors import StoreError, TooManyRequestsError
from dpop_ext.stores.base import CLOCK_TOLERANCE, ReplayStore
from dpop_ext.stores.quota import KeyQuota

WINDOW = RFC9449.window + 1
#: Seconds after which one who waits for the others of a race gives up.
PATIENCE = 30
OpenStore = Callable[[], ReplayStore]


class ReplayStoreContract:
    """For every store. Each test gets an empty one from :meth:`make_store`."""

    #: Entries expire by a clock of the store, not by the ``now`` of the calls: they
    #: may then stay longer than these calls pretend.
    expires_by_own_clock: ClassVar[bool] = False
    #: Entries of the test that floods the store.
    flood: ClassVar[int] = 2000

    def make_store(self) -> ReplayStore:
        """Return an empty store."""
        raise NotImplementedError

    def now(self) -> int:
        """Return the time at which a test begins, in seconds since the epoch."""
        return int(time.time())

    def test_a_key_is_added_once(self) -> None:
        """The same proof is accepted once, and other proofs do not matter to it."""
        store, now = self.make_store(), self.now()
        key, other = _key(1), _key(2)

        assert store.add(key, expires_at=now + WINDOW, now=now) is True
        for later in (now, now + 1, now + WINDOW - 1):
            end = later + WINDOW
            assert store.add(key, expires_at=end, now=later) is False
        assert store.add(other, expires_at=end, now=later) is True

    def test_keys_are_told_apart_by_every_bit(self) -> None:
        """Nothing is cut off, decoded or compared without case."""
        store, now = self.make_store(), self.now()
        keys = [bytes(16), b"\xff" * 16, b"a" * 16, b"A" * 16, b"{tag}".ljust(16)]
        keys += [(1 << bit).to_bytes(16, "big") for bit in range(128)]

        for key in keys:
            assert store.add(key, expires_at=now + WINDOW, now=now) is True, key
        for key in keys:
            assert store.add(key, expires_at=now + WINDOW, now=now) is False, key

    def test_a_key_is_held_through_the_second_in_which_it_expires(self) -> None:
        """The boundary is inclusive; after it the key is free again."""
        for lifetime in (0, 1, 2, 15, 16, 17, WINDOW, 127, 128, 3600):
            store, now = self.make_store(), self.now()
            key, end = _key(lifetime), now + lifetime
            assert store.add(key, expires_at=end, now=now) is True

            for later in sorted({now, max(now, end - 1), end}):
                assert store.add(key, expires_at=later + WINDOW, now=later) is False
            freed = store.add(key, expires_at=end + WINDOW, now=end + 1)
            assert freed is True or self.expires_by_own_clock

    def test_every_proof_that_could_be_accepted_is_remembered(self) -> None:
        """Whatever its ``iat``: from the oldest in the window to one in the future."""
        store, start = self.make_store(), self.now()
        issued = range(start - RFC9449.window, start + RFC9449.future + 1)

        def use(iat: int, now: int) -> bool:
            # As the verifier does, which takes no proof after its window.
            return store.add(
                _key(iat), expires_at=max(now, iat) + RFC9449.window + 1, now=now
            )

        for iat in issued:
            assert use(iat, start) is True
        for now in range(start, issued[-1] + RFC9449.window + 1):
            for iat in issued:
                last = iat + RFC9449.window
                if now == last or (now < last and (now + iat) % 16 == 0):
                    assert use(iat, now) is False, (iat - start, now - start)

    def test_a_key_is_held_in_real_time(self) -> None:
        """Where the clock of the store counts, it counts right."""
        if not self.expires_by_own_clock:
            return
        store, now = self.make_store(), int(time.time())
        end = now + 1
        assert store.add(_key(1), expires_at=end, now=now) is True
        while (now := int(time.time())) <= end:
            assert store.add(_key(1), expires_at=now + WINDOW, now=now) is False
            time.sleep(0.02)

    def test_a_key_with_another_expiry_is_the_same_key(self) -> None:
        """The time at which a proof is seen again does not make it new."""
        for shift in (-60, -17, -1, 1, 16, 31, 100, 10_000):
            store, now = self.make_store(), self.now()
            assert store.add(_key(1), expires_at=now + WINDOW, now=now) is True

            end = now + WINDOW + shift
            assert store.add(_key(1), expires_at=end, now=now) is False

    def test_a_key_that_has_expired_already_is_not_added(self) -> None:
        """A proof that is too old is never accepted, not even once."""
        store, now = self.make_store(), self.now()

        assert store.add(_key(1), expires_at=now - 1, now=now) is False
        assert store.add(_key(1), expires_at=now, now=now) is True
        assert store.add(_key(1), expires_at=now, now=now) is False

    def test_a_clock_that_steps_back_frees_nothing(self) -> None:
        """Neither for a proof used before the step nor for one used after it."""
        store, now = self.make_store(), self.now()
        assert store.add(_key(1), expires_at=now + WINDOW, now=now) is True

        for back in (1, CLOCK_TOLERANCE, 60, 3600):
            end = now - back + WINDOW
            assert _is_refused(store, _key(1), expires_at=end, now=now - back)
        assert _is_refused(store, _key(1), expires_at=now + 2 * WINDOW, now=now)

    def test_a_clock_that_goes_ahead_and_back_frees_nothing(self) -> None:
        """What was dropped while the clock was ahead is not new afterwards."""
        for ahead in (1, CLOCK_TOLERANCE, WINDOW, 2 * WINDOW, 3600):
            for later in (0, 1, WINDOW // 2, WINDOW - 1):
                store, now = self.make_store(), self.now()
                assert store.add(_key(1), expires_at=now + WINDOW, now=now) is True
                then = now + ahead
                assert store.add(_key(2), expires_at=then + WINDOW, now=then) is True

                end = now + later + WINDOW
                assert _is_refused(store, _key(1), expires_at=end, now=now + later)

    def test_a_clock_that_is_a_few_seconds_behind_is_served(self) -> None:
        """The clocks of two servers, and two threads of one, are never quite equal."""
        store, start = self.make_store(), self.now()
        for second in range(2 * WINDOW):
            ahead = start + second
            behind = ahead - second % (CLOCK_TOLERANCE + 1)
            for number, now in ((0, ahead), (1, behind)):
                key = _key(2 * second + number)
                assert store.add(key, expires_at=now + WINDOW, now=now) is True

    def test_it_answers_as_a_list_of_everything_would(self) -> None:
        """In any sequence of calls, while time goes on."""
        for seed in range(8):
            source = random.Random(seed)  # noqa: S311
            store, now = self.make_store(), self.now()
            expiry: dict[bytes, int] = {}
            for _ in range(60):
                now += source.choice((0, 0, 0, 1, 1, 5, 17, 70, 200))
                key = _key(source.randrange(6))
                end = now + source.choice((0, 1, 3, 15, 16, 40, 66, 96, 300))
                free = expiry.get(key, -1) < now
                added = store.add(key, expires_at=end, now=now)
                if added or not self.expires_by_own_clock:
                    assert added is free
                if added:
                    expiry[key] = end

    def test_it_never_accepts_twice_however_the_clock_runs(self) -> None:
        """A store that cannot know says so, and only after the clock went back."""
        for seed in range(8):
            source = random.Random(seed)  # noqa: S311
            store = self.make_store()
            now = latest = self.now()
            expiry: dict[bytes, int] = {}
            for _ in range(60):
                now += source.choice((-3600, -60, -5, -1, 0, 0, 1, 5, 17, 70, 4000))
                latest = max(latest, now)
                key = _key(source.randrange(6))
                end = now + source.choice((0, 1, 16, 66, 96, 300))
                try:
                    added = store.add(key, expires_at=end, now=now)
                except StoreError:
                    assert now < latest
                    continue
                if added:
                    assert expiry.get(key, -1) < now
                    expiry[key] = end

    def test_a_flood_drives_out_nothing_that_lives(self) -> None:
        """Many proofs, in a time in which the first of them expire."""
        store, start = self.make_store(), self.now()
        used: dict[bytes, int] = {}
        for number in range(self.flood):
            now = start + number * 2 * WINDOW // self.flood
            key = random.Random(number).randbytes(16)  # noqa: S311
            assert store.add(key, expires_at=now + WINDOW, now=now) is True
            used[key] = now + WINDOW

        now = start + 2 * WINDOW
        for key, end in used.items():
            if end >= now:
                assert store.add(key, expires_at=now + WINDOW, now=now) is False

    def test_a_flood_of_one_client_fills_its_share_and_no_more(self) -> None:
        """Its share is free again when its proofs have expired, and not earlier."""
        store, start = self.make_store(), self.now()
        share = self.flood // 10
        quota = KeyQuota(share)

        def use(owner: str, number: int, now: int) -> bool:
            quota.check(owner, now=now)
            key = f"{owner}-{number}".encode().ljust(16)
            added = store.add(key, expires_at=now + WINDOW, now=now)
            if added:
                quota.count(owner, expires_at=now + WINDOW)
            return added

        outcomes = {"added": 0, "refused": 0}
        for number in range(self.flood):
            now = start + number * (WINDOW // 2) // self.flood
            try:
                outcomes["added"] += use("a", number, now)
            except TooManyRequestsError:
                outcomes["refused"] += 1
        assert outcomes == {"added": share, "refused": self.flood - share}
        assert use("b", 1, now) is True
        for number in range(share):
            key = f"a-{number}".encode().ljust(16)
            assert store.add(key, expires_at=now + WINDOW, now=now) is False
        later = start + 2 * WINDOW
        assert use("a", self.flood, later) is True

    def test_a_flood_from_many_threads_keeps_to_the_share_of_its_client(self) -> None:
        """Others are served meanwhile; the share is exceeded by the threads at most."""
        store, now = self.make_store(), self.now()
        threads, share, tries = 8, 40, 20
        quota = KeyQuota(share)
        end = now + WINDOW
        added: list[bytes] = []
        served: list[bool] = []

        def use(owner: str, key: bytes) -> bool:
            quota.check(owner, now=now)
            is_new = store.add(key, expires_at=end, now=now)
            if is_new:
                quota.count(owner, expires_at=end)
            return is_new

        def flood(number: int) -> None:
            for turn in range(tries):
                key = number * tries + turn
                try:
                    if use("flooding", _key(key)):
                        added.append(_key(key))
                except TooManyRequestsError:
                    served.append(use(f"other-{number}", _key(10_000 + key)))

        _run_threads(threads, flood)
        assert share <= len(added) <= share + threads
        assert served == [True] * (threads * tries - len(added))
        assert not any(store.add(key, expires_at=end, now=now) for key in added)

    def test_of_many_threads_one_adds_the_key(self) -> None:
        """One proof, many requests at the same moment."""
        store, now = self.make_store(), self.now()
        threads, rounds = 16, 25
        barrier = threading.Barrier(threads, timeout=PATIENCE)
        added: list[int] = []

        def race(number: int) -> None:
            for turn in range(rounds):
                barrier.wait()
                # Requests that arrive in different seconds have different expiries.
                end = now + WINDOW + number % 2
                if store.add(_key(turn), expires_at=end, now=now):
                    added.append(turn)

        _run_threads(threads, race)
        assert sorted(added) == list(range(rounds))

    def test_threads_that_add_other_keys_do_not_disturb_each_other(self) -> None:
        """No proof is refused because of another one."""
        store, now = self.make_store(), self.now()
        threads, keys = 8, 100
        added: list[int] = []

        def use_many(number: int) -> None:
            for turn in range(keys):
                key = number * keys + turn
                then = now + turn // 20
                if store.add(_key(key), expires_at=then + WINDOW, now=then):
                    added.append(key)

        _run_threads(threads, use_many)
        assert sorted(added) == list(range(threads * keys))


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

        assert first.add(_key(1), expires_at=now + WINDOW, now=now) is True
        assert second.add(_key(1), expires_at=now + WINDOW, now=now) is False
        assert second.add(_key(2), expires_at=now + WINDOW, now=now) is True
        assert first.add(_key(2), expires_at=now + WINDOW, now=now) is False
        late = open_store()
        for number in (1, 2):
            assert late.add(_key(number), expires_at=now + WINDOW, now=now) is False

    def test_nodes_whose_clocks_differ_accept_a_proof_once(self) -> None:
        """The one that is behind would accept it for longer."""
        for ahead in (1, CLOCK_TOLERANCE, WINDOW, 3600):
            open_store, behind = self.make_opener(), self.now()
            first, second = open_store(), open_store()
            now = behind + ahead
            assert first.add(_key(1), expires_at=now + WINDOW, now=now) is True
            # What the first one does meanwhile may drop entries.
            for number in range(2, 20):
                then = now + number * WINDOW
                first.add(_key(number), expires_at=then + WINDOW, now=then)

            for now in (behind, behind + 1, behind + ahead, behind + ahead + WINDOW):
                end = now + WINDOW
                assert _is_refused(second, _key(1), expires_at=end, now=now)

    def test_of_many_processes_one_adds_the_key(self) -> None:
        """One proof, requests to several processes at the same moment."""
        open_store, now = self.make_opener(), self.now()
        open_store()
        processes, rounds = 4, 50
        # Spawned, not forked: a connection must not be shared.
        context = multiprocessing.get_context("spawn")
        barrier = context.Barrier(processes)
        results: Any = context.SimpleQueue()
        workers = [
            context.Process(
                target=_race_in_process,
                args=(open_store, barrier, results, rounds, now),
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
        open_store, now = self.make_opener(), self.now()
        store = open_store()
        end = now + WINDOW
        assert store.add(_key(0), expires_at=end, now=now) is True

        with self.engine_gone():
            for number in range(12):
                started = time.monotonic()
                try:
                    answer = store.add(_key(number), expires_at=end, now=now)
                except StoreError:
                    answer = None
                assert answer is None, "an answer without the engine"
                assert time.monotonic() - started < self.patience

        fresh = iter(range(100, 10**6))
        deadline = time.monotonic() + self.recovery
        while not _serves(store, fresh, now):
            assert time.monotonic() < deadline, "it does not come back"
            time.sleep(0.05)
        assert store.add(_key(0), expires_at=end, now=now) is False


def _key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def _is_refused(store: ReplayStore, key: bytes, *, expires_at: int, now: int) -> bool:
    """Tell whether the store refuses, or says that it cannot know."""
    try:
        return not store.add(key, expires_at=expires_at, now=now)
    except StoreError:
        return True


def _serves(store: ReplayStore, fresh: Iterator[int], now: int) -> bool:
    try:
        return store.add(_key(next(fresh)), expires_at=now + WINDOW, now=now)
    except StoreError:
        return False


def _run_threads(number: int, work: Callable[[int], None]) -> None:
    """Run *work* in threads that take turns often; raise what one of them raised."""
    errors: list[BaseException] = []

    def run(own: int) -> None:
        try:
            work(own)
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=run, args=(own,)) for own in range(number)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    if errors:
        raise errors[0]


def _race_in_process(
    open_store: OpenStore, barrier: Any, results: Any, rounds: int, now: int
) -> None:
    """Report which keys this process added; runs in a process of its own."""
    added = []
    try:
        store = open_store()
        for turn in range(rounds):
            barrier.wait(PATIENCE)
            if store.add(_key(turn), expires_at=now + WINDOW, now=now):
                added.append(turn)
    finally:
        results.put(added)
