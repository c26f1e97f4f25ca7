"""Keys that prove, and servers to prove to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dpop_ext.core.nonce import NonceIssuer
from tests.authorization_server.pushing import Pushing
from tests.authorization_server.simulator import Prover, Simulator

NONCE_SECRET = bytes(range(32))


@pytest.fixture
def prove(ec_key: Any, clock: Any) -> Prover:
    """Proofs of the client."""
    return Prover(ec_key, clock)


@pytest.fixture
def prove_other(other_ec_key: Any, clock: Any) -> Prover:
    """Proofs of somebody else."""
    return Prover(other_ec_key, clock)


@pytest.fixture
def make_sim(clock: Any) -> Callable[..., Simulator]:
    def make(**options: Any) -> Simulator:
        return Simulator(clock, **options)

    return make


@pytest.fixture
def sim(make_sim: Callable[..., Simulator]) -> Simulator:
    return make_sim()


@pytest.fixture
def make_pushing(clock: Any) -> Callable[..., Pushing]:
    def make(**options: Any) -> Pushing:
        return Pushing(clock, **options)

    return make


@pytest.fixture
def pushing(make_pushing: Callable[..., Pushing]) -> Pushing:
    return make_pushing()


@pytest.fixture
def nonces() -> NonceIssuer:
    return NonceIssuer([NONCE_SECRET])
