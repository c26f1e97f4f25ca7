"""A clock that the test moves, keys made once, and the plugins of the suite."""

from __future__ import annotations

import pytest
from joserfc.jwk import ECKey, OKPKey, RSAKey

pytest_plugins = ["tests.plugins.requirement", "tests.plugins.skips", "pytester"]


class Clock:
    """Seconds since the epoch, which pass only when the test says so."""

    def __init__(self, start: float = 1_790_000_000) -> None:
        self._time = start

    def __call__(self) -> float:
        return self._time

    @property
    def now(self) -> int:
        """Whole seconds since the epoch."""
        return int(self._time)

    def advance(self, seconds: float) -> None:
        """Let *seconds* pass; a negative number sets the clock back."""
        self._time += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def ec_key() -> ECKey:
    return ECKey.generate_key("P-256")


@pytest.fixture(scope="session")
def other_ec_key() -> ECKey:
    return ECKey.generate_key("P-256")


@pytest.fixture(scope="session")
def ed_key() -> OKPKey:
    return OKPKey.generate_key("Ed25519")


@pytest.fixture(scope="session")
def rsa_key() -> RSAKey:
    return RSAKey.generate_key(2048)
