"""Servers that answer as a test says, and who examines them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from dpop_ext.cli.conformance_checks.issuance import Issued
from dpop_ext.cli.conformance_checks.pair import Pair
from dpop_ext.cli.conformance_checks.prover import Prover
from dpop_ext.core.base64url import b64url_encode
from dpop_ext.symmetric.delivery import DeliveredKey
from dpop_ext.symmetric.secret_bytes import SecretBytes
from tests.cli.conformance.reading import (
    KEY,
    OK,
)
from tests.conftest import Clock
from tests.integrations.scripted_server import ScriptedServer, running_server


@pytest.fixture(scope="module")
def running() -> Iterator[ScriptedServer]:
    with running_server() as server:
        yield server


@pytest.fixture
def server(running: ScriptedServer) -> ScriptedServer:
    """Both servers; it says yes to everything."""
    running.received.clear()
    running.play(OK)
    return running


@pytest.fixture
def pair(server: ScriptedServer, clock: Clock) -> Pair:
    made = Pair(
        issuer=server.url,
        resource=f"{server.url}/api",
        url=f"{server.url}/api/accounts",
        client_id="app",
        client_secret="secret",
        clock=clock,
    )
    made.token_endpoint = f"{server.url}/token"
    return made


@pytest.fixture
def issued(pair: Pair) -> Issued:
    key = DeliveredKey(
        key=SecretBytes(KEY),
        algorithm="HS256",
        version=7,
        issuer=pair.issuer,
        audience=pair.resource,
        expires_at=pair.now + 600,
    )
    claims = {"scope": "s", "aud": pair.resource, "cnf": {"dsk": {"v": 7, "r": "r"}}}
    payload = b64url_encode(json.dumps(claims).encode())
    return Issued(access_token=f"e30.{payload}.c2ln", key=key, claims=claims)


@pytest.fixture
def prover(pair: Pair, issued: Issued) -> Prover:
    return Prover(pair=pair, issued=issued)
