"""A command line without a process, and a database for it."""

from __future__ import annotations

import base64
import webbrowser
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy
from click.testing import CliRunner, Result
from joserfc.jwk import ECKey

from dpop_ext.cli.group import dpop_ext
from dpop_ext.client.keyfile import save_key
from dpop_ext.integrations.sqla_secrets import SQLAudienceSecrets
from dpop_ext.symmetric.rotation_plan import RotationPlan
from dpop_ext.symmetric.secret_bytes import SecretBytes
from tests.cli.login_world import RESOURCE, LoginServer, Person
from tests.conftest import Clock
from tests.integrations.scripted_server import running_server

ISSUER = "https://as.example"
AUDIENCE = "https://api.example"
OTHER = "https://other.example"
KEY = SecretBytes(bytes(range(100, 132)))


def run(*arguments: str, answer: str | None = None, **environment: str) -> Result:
    return CliRunner(env=environment).invoke(dpop_ext, arguments, input=answer)


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/as.sqlite3"


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.touch(0o600)
    path.write_bytes(base64.urlsafe_b64encode(KEY.reveal()).rstrip(b"="))
    return path


@pytest.fixture
def secrets(database: str) -> Iterator[SQLAudienceSecrets]:
    """Two audiences: one with an active version, one with a pending one."""
    engine = sqlalchemy.create_engine(database)
    secrets = SQLAudienceSecrets(engine, KEY, issuer=ISSUER)
    secrets.create_schema()
    secrets.register(AUDIENCE, RotationPlan(), at_once=True)
    secrets.register(OTHER, RotationPlan())
    yield secrets
    engine.dispose()


@pytest.fixture
def server(clock: Clock) -> Iterator[LoginServer]:
    with running_server() as running:
        server = LoginServer(running, RESOURCE, clock)
        server.issuer = running.url
        server.members = {"refresh_token": "refresh-1", "expires_in": 600}
        server.metadata = {
            "issuer": running.url,
            "authorization_endpoint": f"{running.url}/authorize",
            "token_endpoint": server.url,
            "dpop_signing_alg_values_supported": ["ES256"],
            "authorization_response_iss_parameter_supported": True,
        }
        yield server


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> Person:
    person = Person()
    monkeypatch.setattr(webbrowser, "open", person.open)
    return person


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "session.json"


@pytest.fixture
def key_path(tmp_path: Path, ec_key: ECKey) -> Path:
    path = tmp_path / "client.jwk"
    save_key(path, ec_key)
    return path
