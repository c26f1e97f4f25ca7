"""The world that the tests of the resource server share."""

from __future__ import annotations

from typing import Any

import pytest
from joserfc.jwk import ECKey

from tests.resource_server.world import World


@pytest.fixture(scope="session")
def issuer_key() -> ECKey:
    return ECKey.generate_key("P-256", {"kid": "issuer-key"})


@pytest.fixture
def world(clock: Any, ec_key: ECKey, other_ec_key: ECKey, issuer_key: ECKey) -> World:
    return World(clock=clock, key=ec_key, other_key=other_ec_key, issuer_key=issuer_key)
