"""A replay store under load: floods, and many threads (RFC 9449 section 11.1)."""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Callable

from dpop_ext.errors import TooManyRequestsError
from dpop_ext.stores.base import REPLAY_KEY_LENGTH
from dpop_ext.stores.contract_base import PATIENCE, WINDOW, ContractBase, make_key
from dpop_ext.stores.quota import KeyQuota


class LoadContract(ContractBase):
    """Nothing that lives is driven out, and of many requests one wins."""

    def test_a_flood_drives_out_nothing_that_lives(self) -> None:
        """Many proofs, in a time in which the first of them expire."""
        store, start = self.make_store(), self.now()
        used: dict[bytes, int] = {}
        for number in range(self.flood):
            now = start + number * 2 * WINDOW // self.flood
            key = random.Random(number).randbytes(REPLAY_KEY_LENGTH)  # noqa: S311
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
            key = f"{owner}-{number}".encode().ljust(REPLAY_KEY_LENGTH)
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
            key = f"a-{number}".encode().ljust(REPLAY_KEY_LENGTH)
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
                    if use("flooding", make_key(key)):
                        added.append(make_key(key))
                except TooManyRequestsError:
                    served.append(use(f"other-{number}", make_key(10_000 + key)))

        run_threads(threads, flood)
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
                if store.add(make_key(turn), expires_at=end, now=now):
                    added.append(turn)

        run_threads(threads, race)
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
                if store.add(make_key(key), expires_at=then + WINDOW, now=then):
                    added.append(key)

        run_threads(threads, use_many)
        assert sorted(added) == list(range(threads * keys))


def run_threads(number: int, work: Callable[[int], None]) -> None:
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
