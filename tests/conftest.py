"""A clock that the test moves, keys made once, and the plugins of the suite."""

from __future__ import annotations

import pytest
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

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


@pytest.fixture(scope="session")
def keys(ec_key: ECKey, ed_key: OKPKey, rsa_key: RSAKey) -> dict[str, Key]:
    """A key for each algorithm of proofs."""
    return {
        "ES256": ec_key,
        "ES384": ECKey.generate_key("P-384"),
        "ES512": ECKey.generate_key("P-521"),
        "PS256": rsa_key,
        "RS256": rsa_key,
        "Ed25519": ed_key,
        "EdDSA": ed_key,
    }
