"""The polled keyring under requests that come together."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from threading import Event
from typing import cast

from demo_server.derivation_secrets import DerivationSecrets
from demo_server.polled_keyring import PolledKeyring
from dpop_ext.symmetric.secret_ring import SecretRing
from tests.conftest import Clock

AUDIENCE = "https://rs.example"
RING = SecretRing([], issuer="https://as.example", audience=AUDIENCE)


class SlowSecrets:
    """A database that answers when the test says so."""

    def __init__(self) -> None:
        self.asked = Event()
        self.may_answer = Event()
        self.reads = 0

    def read(self, audience: str) -> SecretRing:
        self.reads += 1
        self.asked.set()
        assert self.may_answer.wait(10)
        return RING


def test_the_first_requests_wait_for_the_first_reading(clock: Clock) -> None:
    secrets = SlowSecrets()
    keyring = PolledKeyring(
        cast("DerivationSecrets", secrets), audience=AUDIENCE, clock=clock
    )
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(keyring.load)
        assert secrets.asked.wait(10)
        others = [pool.submit(keyring.load) for _ in range(7)]
        # Those that do not wait have failed by now.
        wait(others, timeout=0.1)
        secrets.may_answer.set()
        assert [future.result(10) for future in (first, *others)] == [RING] * 8
    assert secrets.reads == 1


def test_later_requests_do_not_wait(clock: Clock) -> None:
    secrets = SlowSecrets()
    secrets.may_answer.set()
    keyring = PolledKeyring(
        cast("DerivationSecrets", secrets), audience=AUDIENCE, clock=clock
    )
    keyring.load()
    clock.advance(2)
    secrets.may_answer.clear()
    secrets.asked.clear()
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(keyring.load)
        assert secrets.asked.wait(10)
        assert keyring.load() is RING
        secrets.may_answer.set()
        assert reading.result(10) is RING
