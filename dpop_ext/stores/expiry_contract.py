"""A replay store and the time: what it holds, and how long (RFC 9449 section 11.1)."""

from __future__ import annotations

import random
import time

from dpop_ext.core.policy import RFC9449
from dpop_ext.errors import StoreError
from dpop_ext.stores.base import CLOCK_TOLERANCE, REPLAY_KEY_LENGTH, ReplayStore
from dpop_ext.stores.contract_base import WINDOW, ContractBase, make_key


class ExpiryContract(ContractBase):
    """A key is refused as long as its proof could be accepted, whatever the clock."""

    def test_a_key_is_added_once(self) -> None:
        """The same proof is accepted once, and other proofs do not matter to it."""
        store, now = self.make_store(), self.now()
        key, other = make_key(1), make_key(2)

        assert store.add(key, expires_at=now + WINDOW, now=now) is True
        for later in (now, now + 1, now + WINDOW - 1):
            end = later + WINDOW
            assert store.add(key, expires_at=end, now=later) is False
        assert store.add(other, expires_at=end, now=later) is True

    def test_keys_are_told_apart_by_every_bit(self) -> None:
        """Nothing is cut off, decoded or compared without case."""
        store, now = self.make_store(), self.now()
        size = REPLAY_KEY_LENGTH
        keys = [each * size for each in (b"\0", b"\xff", b"a", b"A")]
        keys += [b"{tag}".ljust(size), *(make_key(1 << n) for n in range(size * 8))]

        for key in keys:
            assert store.add(key, expires_at=now + WINDOW, now=now) is True, key
        for key in keys:
            assert store.add(key, expires_at=now + WINDOW, now=now) is False, key

    def test_a_key_is_held_through_the_second_in_which_it_expires(self) -> None:
        """The boundary is inclusive; after it the key is free again."""
        for lifetime in (0, 1, 2, 15, 16, 17, WINDOW, 127, 128, 3600):
            store, now = self.make_store(), self.now()
            key, end = make_key(lifetime), now + lifetime
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
                make_key(iat), expires_at=max(now, iat) + RFC9449.window + 1, now=now
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
        assert store.add(make_key(1), expires_at=end, now=now) is True
        while (now := int(time.time())) <= end:
            assert store.add(make_key(1), expires_at=now + WINDOW, now=now) is False
            time.sleep(0.02)

    def test_a_key_with_another_expiry_is_the_same_key(self) -> None:
        """The time at which a proof is seen again does not make it new."""
        for shift in (-60, -17, -1, 1, 16, 31, 100, 10_000):
            store, now = self.make_store(), self.now()
            assert store.add(make_key(1), expires_at=now + WINDOW, now=now) is True

            end = now + WINDOW + shift
            assert store.add(make_key(1), expires_at=end, now=now) is False

    def test_a_key_that_has_expired_already_is_not_added(self) -> None:
        """A proof that is too old is never accepted, not even once."""
        store, now = self.make_store(), self.now()

        assert store.add(make_key(1), expires_at=now - 1, now=now) is False
        assert store.add(make_key(1), expires_at=now, now=now) is True
        assert store.add(make_key(1), expires_at=now, now=now) is False

    def test_a_clock_that_steps_back_frees_nothing(self) -> None:
        """Neither for a proof used before the step nor for one used after it."""
        store, now = self.make_store(), self.now()
        assert store.add(make_key(1), expires_at=now + WINDOW, now=now) is True

        for back in (1, CLOCK_TOLERANCE, 60, 3600):
            end = now - back + WINDOW
            assert is_refused(store, make_key(1), expires_at=end, now=now - back)
        assert is_refused(store, make_key(1), expires_at=now + 2 * WINDOW, now=now)

    def test_a_clock_that_goes_ahead_and_back_frees_nothing(self) -> None:
        """What was dropped while the clock was ahead is not new afterwards."""
        for ahead in (1, CLOCK_TOLERANCE, WINDOW, 2 * WINDOW, 3600):
            for later in (0, 1, WINDOW // 2, WINDOW - 1):
                store, now = self.make_store(), self.now()
                assert store.add(make_key(1), expires_at=now + WINDOW, now=now) is True
                then = now + ahead
                assert (
                    store.add(make_key(2), expires_at=then + WINDOW, now=then) is True
                )

                end = now + later + WINDOW
                assert is_refused(store, make_key(1), expires_at=end, now=now + later)

    def test_a_clock_that_is_a_few_seconds_behind_is_served(self) -> None:
        """The clocks of two servers, and two threads of one, are never quite equal."""
        store, start = self.make_store(), self.now()
        for second in range(2 * WINDOW):
            ahead = start + second
            behind = ahead - second % (CLOCK_TOLERANCE + 1)
            for number, now in ((0, ahead), (1, behind)):
                key = make_key(2 * second + number)
                assert store.add(key, expires_at=now + WINDOW, now=now) is True

    def test_it_answers_as_a_list_of_everything_would(self) -> None:
        """In any sequence of calls, while time goes on."""
        for seed in range(8):
            source = random.Random(seed)  # noqa: S311
            store, now = self.make_store(), self.now()
            expiry: dict[bytes, int] = {}
            for _ in range(60):
                now += source.choice((0, 0, 0, 1, 1, 5, 17, 70, 200))
                key = make_key(source.randrange(6))
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
                key = make_key(source.randrange(6))
                end = now + source.choice((0, 1, 16, 66, 96, 300))
                try:
                    added = store.add(key, expires_at=end, now=now)
                except StoreError:
                    assert now < latest
                    continue
                if added:
                    assert expiry.get(key, -1) < now
                    expiry[key] = end


def is_refused(store: ReplayStore, key: bytes, *, expires_at: int, now: int) -> bool:
    """Tell whether the store refuses, or says that it cannot know."""
    try:
        return not store.add(key, expires_at=expires_at, now=now)
    except StoreError:
        return True
