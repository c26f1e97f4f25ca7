"""The fixtures, which pytest finds through the entry point ``pytest11``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from joserfc.jwk import ECKey

    from dpop_ext.client.signer import ProofSigner
    from dpop_ext.testing.clock import FakeClock
    from dpop_ext.testing.issuer import Issuer

# Nothing of this package is imported before a test asks for it: pytest loads plugins
# before it measures the coverage of what they import.


@pytest.fixture
def dpop_clock() -> FakeClock:
    """Return a clock that stands still until the test advances it."""
    from dpop_ext.testing.clock import FakeClock  # noqa: PLC0415

    return FakeClock()


@pytest.fixture(scope="session")
def dpop_key() -> ECKey:
    """Return a private key for ES256, the same one in all tests."""
    from joserfc.jwk import ECKey  # noqa: PLC0415

    return ECKey.generate_key("P-256")


@pytest.fixture
def dpop_signer(dpop_key: ECKey, dpop_clock: FakeClock) -> ProofSigner:
    """Return a signer with the key and the clock."""
    from dpop_ext.client.signer import ProofSigner  # noqa: PLC0415

    return ProofSigner(dpop_key, clock=dpop_clock)


@pytest.fixture
def dpop_issuer(dpop_clock: FakeClock) -> Issuer:
    """Return an issuer of access tokens, with the clock."""
    from dpop_ext.testing.issuer import Issuer  # noqa: PLC0415

    return Issuer(clock=dpop_clock)
