"""The servers under attack, and what the attacker is assumed to have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from joserfc.jwk import ECKey

from tests.fuzz.running import running
from tests.fuzz.servers import Servers

OTHER_RESOURCE = "http://127.0.0.1:9002"
CLIENTS = [
    {
        "client_id": "two-audiences",
        "client_secret": "two-audiences-secret",
        "grant_types": ["authorization_code", "refresh_token", "client_credentials"],
        "redirect_uris": ["http://127.0.0.1/callback"],
        "audiences": ["http://127.0.0.1:9001", OTHER_RESOURCE],
    },
    {
        "client_id": "must-use-dpop",
        "client_secret": "must-use-dpop-secret",
        "grant_types": ["authorization_code", "refresh_token", "client_credentials"],
        "redirect_uris": ["http://127.0.0.1/callback"],
        "dpop_bound_access_tokens": True,
    },
    {
        "client_id": "other-resource-server",
        "client_secret": "other-resource-server-secret",
        "grant_types": [],
        "response_types": [],
        "audiences": [],
        "resource_server_audiences": [OTHER_RESOURCE],
    },
]


@pytest.fixture
def clients(tmp_path: Path) -> Path:
    path = tmp_path / "clients.json"
    path.write_text(json.dumps(CLIENTS))
    return path


@pytest.fixture
def servers(tmp_path: Path, clients: Path, ec_key: ECKey) -> Iterator[Servers]:
    with running(tmp_path, ec_key, nonce="off", clients=clients) as servers:
        yield servers


@pytest.fixture
def strict_servers(tmp_path: Path, clients: Path, ec_key: ECKey) -> Iterator[Servers]:
    """Servers that demand nonces."""
    with running(tmp_path, ec_key, clients=clients) as servers:
        yield servers
