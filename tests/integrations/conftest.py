"""The parties around a client and a resource server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from joserfc.jwk import ECKey

from tests.conftest import Clock
from tests.integrations.hostile_site import Site
from tests.integrations.scripted_server import ScriptedServer, running_server
from tests.integrations.token_endpoint import AuthorizationServer
from tests.resource_server.world import World


@pytest.fixture
def world(clock: Any, ec_key: ECKey, other_ec_key: ECKey) -> World:
    return World(
        clock=clock, key=ec_key, other_key=other_ec_key, issuer_key=other_ec_key
    )


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.close()


@pytest.fixture
def resource() -> Iterator[ScriptedServer]:
    with running_server() as server:
        yield server


@pytest.fixture
def server(resource: ScriptedServer, clock: Clock) -> Iterator[AuthorizationServer]:
    with running_server() as running:
        yield AuthorizationServer(running, resource.url, clock)
