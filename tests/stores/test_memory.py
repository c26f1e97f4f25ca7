"""The store in memory is bounded, drops what has expired, and forgets nothing else."""

from __future__ import annotations

import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpop_ext.errors import StoreError
from dpop_ext.stores import memory
from dpop_ext.stores.base import NoReplayProtection, ReplayStore
from dpop_ext.stores.contract_base import PATIENCE
from dpop_ext.stores.load_contract import run_threads
from dpop_ext.stores.memory import GRACE, MemoryKeyring, MemoryReplayStore
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.secret_ring import AudienceSecret, SecretRing

NOW = 1_790_000_000


def fill(store: ReplayStore, count: int, *, now: int = NOW, lifetime: int = 66) -> None:
    for number in range(count):
        key = now.to_bytes(8) + number.to_bytes(8)
        assert store.add(key, expires_at=now + lifetime, now=now)


class TestBounds:
    @pytest.mark.parametrize("size", [1, 2, 100, 4096])
    @pytest.mark.parametrize("lifetime", [0, 1, 5, 66])
    @pytest.mark.requirement("U-19")
    def test_a_full_store_refuses_and_forgets_nothing(
        self, size: int, lifetime: int
    ) -> None:
        store = MemoryReplayStore(size)
        fill(store, size, lifetime=lifetime)

        end = NOW + lifetime
        for now in (NOW, end):
            with pytest.raises(StoreError, match="full"):
                store.add(b"new", expires_at=now + 66, now=now)
        first = NOW.to_bytes(8) + bytes(8)
        assert not store.add(first, expires_at=end + 66, now=end)
        assert len(store) == size

    def test_a_known_key_is_recognised_by_a_full_store(self) -> None:
        store = MemoryReplayStore(1)
        fill(store, 1)

        known = NOW.to_bytes(8) + bytes(8)
        assert not store.add(known, expires_at=NOW + 66, now=NOW)

    def test_what_has_expired_makes_room_at_once(self) -> None:
        store = MemoryReplayStore(10)
        fill(store, 10)
        later = NOW + 66 + 16

        fill(store, 10, now=later)

        assert len(store) == 10

    def test_a_large_store_holds_nearly_all_it_may_and_no_more(self) -> None:
        size = 20_000
        store = MemoryReplayStore(size)

        refusals = 0
        for number in range(2 * size):
            try:
                assert store.add(number.to_bytes(16), expires_at=NOW + 66, now=NOW)
            except StoreError:
                refusals += 1
            else:
                assert refusals or number < size

        assert len(store) == size == 2 * size - refusals

    def test_keys_that_look_alike_are_spread(self) -> None:
        store = MemoryReplayStore(20_000)

        fill(store, 10_000)

        assert len(store) == 10_000

    def test_a_part_has_keys_with_all_endings_of_their_hash(self) -> None:
        """Its dict looks for a key where these say: they would meet in one place."""
        store = MemoryReplayStore()
        fill(store, 20_000)

        for part in store._parts:
            assert len({number % 256 for number in part}) > 16

    @pytest.mark.parametrize("size", [0, -1])
    def test_it_holds_something(self, size: int) -> None:
        with pytest.raises(ValueError, match="positive"):
            MemoryReplayStore(size)

    def test_under_a_steady_load_its_size_stays_what_is_alive_and_a_little(
        self,
    ) -> None:
        store = MemoryReplayStore(4096)
        per_second, lifetime = 5, 66
        alive = per_second * (lifetime + 1)
        for second in range(1000):
            fill(store, per_second, now=NOW + second, lifetime=lifetime)
            assert len(store) <= alive + per_second * (GRACE + 16)

    def test_one_long_life_keeps_nothing_else_alive(self) -> None:
        store = MemoryReplayStore(4096)
        assert store.add(b"long", expires_at=NOW + 86_400, now=NOW)
        for second in range(1, 500):
            fill(store, 5, now=NOW + second)
            assert len(store) <= 5 * (67 + GRACE + 16) + 1

        assert not store.add(b"long", expires_at=NOW + 86_400, now=NOW + 500)

    @given(st.integers(0, 10**6), st.integers(0, 200))
    def test_a_full_store_has_room_again_as_soon_as_an_entry_has_expired(
        self, lifetime: int, offset: int
    ) -> None:
        store = MemoryReplayStore(1)
        start = NOW + offset
        assert store.add(b"a", expires_at=start + lifetime, now=start)
        later = start + lifetime + 1

        assert store.add(b"b", expires_at=later + 66, now=later)


class TestClock:
    def test_a_step_back_beyond_what_was_dropped_is_an_error(self) -> None:
        store = MemoryReplayStore(100)
        fill(store, 1)
        known = NOW.to_bytes(8) + bytes(8)
        later = NOW + 3600
        fill(store, 1, now=later)

        for end in (NOW + 67, NOW + 10_000):
            with pytest.raises(StoreError, match="look back"):
                store.add(known, expires_at=end, now=NOW + 1)
        assert len(store) == 1
        assert store.add(b"new", expires_at=later, now=later - 3000)

    @pytest.mark.parametrize("step", range(GRACE + 1))
    @pytest.mark.parametrize("lifetime", [1, 5, 66])
    def test_a_small_step_back_is_none(self, step: int, lifetime: int) -> None:
        store = MemoryReplayStore(1000)
        for second in range(300):
            fill(store, 1, now=NOW + second, lifetime=lifetime)
            now = NOW + second - step
            known = now.to_bytes(8) + bytes(8)
            if step <= second:
                assert not store.add(known, expires_at=now + lifetime, now=now)
            fresh = (NOW + second).to_bytes(8) + b"fresh"
            assert store.add(fresh, expires_at=now + lifetime, now=now)

    def test_a_key_that_was_taken_back_and_came_again_is_dropped_once(self) -> None:
        store = MemoryReplayStore(100)
        assert store.add(b"first", expires_at=NOW, now=NOW)
        later, end = NOW + GRACE + 1, NOW + 66
        assert store.add(b"second", expires_at=end, now=later)
        with pytest.raises(StoreError, match="look back"):
            store.add(b"again", expires_at=end, now=NOW)
        assert store.add(b"again", expires_at=end, now=later)
        assert not store.add(b"again", expires_at=end, now=end)

        assert store.add(b"last", expires_at=end + 66, now=end + GRACE + 1)

        assert len(store) == 1

    def test_entries_from_a_clock_that_ran_ahead_stay_until_they_expire(self) -> None:
        store = MemoryReplayStore(100)
        assert store.add(b"ahead", expires_at=NOW + 7266, now=NOW + 7200)

        fill(store, 10)

        assert not store.add(b"ahead", expires_at=NOW + 66, now=NOW)
        assert not store.add(b"ahead", expires_at=NOW + 7300, now=NOW + 7266)
        assert store.add(b"ahead", expires_at=NOW + 7300, now=NOW + 7267)


class TestNumbers:
    @pytest.mark.requirement("X-16")
    def test_of_a_key_32_bytes_are_kept(self) -> None:
        store = MemoryReplayStore()
        keys = [number.to_bytes(14) for number in range(1000)]
        references = [sys.getrefcount(key) for key in keys]

        assert all(store.add(key, expires_at=NOW + 66, now=NOW) for key in keys)

        assert [sys.getrefcount(key) for key in keys] == references
        kept = [number for part in store._parts for number in part]
        assert max(map(sys.getsizeof, kept)) <= 32
        in_seconds = [n for second in store._seconds.values() for n in second.numbers]
        assert sorted(map(id, kept)) == sorted(map(id, in_seconds))

    @pytest.mark.requirement("X-15")
    def test_of_two_keys_with_one_number_the_second_counts_as_used(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for number in (0, 7, -1, 1 << 62):
            monkeypatch.setattr(memory, "_hash", lambda _, number=number: number)
            store = MemoryReplayStore()
            assert store.add(b"a", expires_at=NOW + 66, now=NOW)

            for key in (b"a", b"b"):
                assert not store.add(key, expires_at=NOW + 66, now=NOW)

    @pytest.mark.parametrize("width", [32, 64])
    def test_they_are_salted_and_of_60_bits_however_many_hash_has(
        self, width: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        salted = memory._salted(width)
        assert (salted is hash) is (width == 64)
        keys = [number.to_bytes(14) for number in range(1000)]

        numbers = [salted(key) & memory._NUMBER for key in keys]

        assert [salted(key) & memory._NUMBER for key in keys] == numbers
        assert len(set(numbers)) == len(keys)
        for bit in range(60):
            assert 300 < sum(number >> bit & 1 for number in numbers) < 700
        assert not memory._NUMBER >> 60
        if width == 32:
            assert memory._salted(width)(b"k") != salted(b"k")
        monkeypatch.setattr(memory, "_hash", salted)
        store = MemoryReplayStore()
        fill(store, 1000)
        assert not store.add(NOW.to_bytes(8) + bytes(8), expires_at=NOW + 66, now=NOW)


@pytest.mark.requirement("X-15")
def test_of_many_threads_one_adds_a_key_that_has_expired() -> None:
    """Held still, or dropped in the same moment: because it is time, or for room."""
    threads, steps = 8, (67, 67 + GRACE, 68 + GRACE, 200) * 5
    store = MemoryReplayStore(2 * threads)
    barrier = threading.Barrier(threads, timeout=PATIENCE)
    added: list[int] = []

    def race(number: int) -> None:
        # Another thread goes on at each call that is made in there.
        sys.setprofile(lambda *_: time.sleep(0))
        now = NOW
        for turn, step in enumerate(steps):
            now += step
            barrier.wait()
            other = bytes([number]) * 16
            assert store.add(other, expires_at=now + 66, now=now)
            if store.add(b"k" * 16, expires_at=now + 66, now=now):
                added.append(turn)

    run_threads(threads, race)
    assert added == list(range(len(steps)))
    assert len(store) <= 2 * threads


@pytest.mark.requirement("X-15")
def test_no_replay_protection_accepts_everything() -> None:
    store: ReplayStore = NoReplayProtection()

    for _ in range(3):
        assert store.add(b"k", expires_at=NOW + 66, now=NOW)


def test_a_keyring_in_memory_gives_what_it_was_told_last() -> None:
    rings = [
        SecretRing(
            [
                AudienceSecret(
                    version=version,
                    state="active",
                    not_before=0,
                    expires_at=NOW + 3600,
                    secret=SecretBytes(bytes(range(version, version + 32))),
                )
            ],
            issuer="https://as.example.com",
            audience="https://api.example.com",
        )
        for version in (10, 11)
    ]
    keyring = MemoryKeyring(rings[0])
    assert keyring.load() is rings[0]

    keyring.replace(rings[1])

    assert keyring.load() is rings[1]
