"""The parties around a resource server."""

from __future__ import annotations

from typing import Any

import pytest
from joserfc.jwk import ECKey

from tests.resource_server.world import World


@pytest.fixture
def world(clock: Any, ec_key: ECKey, other_ec_key: ECKey) -> World:
    return World(
        clock=clock, key=ec_key, other_key=other_ec_key, issuer_key=other_ec_key
    )
