"""The demo servers in both nonce modes, and the independent packages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from demo_server.settings import Settings
from demo_server.supervisor import DemoServer
from tests.interop import installation, symmetric_peer
from tests.interop.symmetric_peer import Peer


@pytest.fixture(scope="session", params=["required", "off"], ids="nonces {}".format)
def servers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DemoServer]:
    """Both demo servers, with symmetric keys for clients that ask for them."""
    directory = tmp_path_factory.mktemp("demo")
    settings = Settings(
        as_port=0,
        rs_port=0,
        nonce=request.param,
        symmetric="on",
        database=f"sqlite:///{directory}/demo.sqlite3",
        log_level="error",
    )
    with DemoServer(settings) as server:
        yield server


@pytest.fixture(scope="session")
def node_directory() -> Path:
    return installation.install_node_packages()


@pytest.fixture(scope="session")
def python() -> Path:
    return installation.install_python_packages()


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    """The profile in JavaScript."""
    with symmetric_peer.running() as running:
        yield running
