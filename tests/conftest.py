"""A clock that the test moves, keys made once, and the plugins of the suite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import settings
from joserfc import jwe
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from dpop_ext.log_events import mismatch_warned
from dpop_ext.testing.clock import FakeClock as Clock

__all__ = ["Clock"]

pytest_plugins = [
    "tests.plugins.engines",
    "tests.plugins.requirement",
    "tests.plugins.skips",
    "dpop_ext.testing.plugin",
    "pytester",
]


# No test is about time, and one that waits for its turn has not failed.
settings.register_profile("untimed", settings(), deadline=None)
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def warned_before() -> Iterator[None]:
    """Let no test depend on which one is the first with a wrong URL: it is logged."""
    before = set(mismatch_warned)
    mismatch_warned.update(
        ("dpop_ext.authorization_server", "dpop_ext.resource_server")
    )
    yield
    mismatch_warned.clear()
    mismatch_warned.update(before)


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


@pytest.fixture
def decryptions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What private keys were used for."""
    seen: list[str] = []
    original: Callable[..., Any] = jwe.decrypt_compact

    def counted(text: str, *arguments: Any, **options: Any) -> Any:
        seen.append(text)
        return original(text, *arguments, **options)

    monkeypatch.setattr(jwe, "decrypt_compact", counted)
    return seen
