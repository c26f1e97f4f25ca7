"""Which servers the commands trust: those whose certificate is good, and no others."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import certifi
import pytest
import requests

from dpop_ext.cli.saved_session import discovery, resume, session_at
from dpop_ext.integrations.bundle_stores import FileBundle
from tests.cli.conftest import run
from tests.conftest import Clock
from tests.demo.test_server_tls import make_certificate
from tests.integrations.scripted_server import Answer, ScriptedServer, running_server
from tests.integrations.token_endpoint import AuthorizationServer

pytestmark = pytest.mark.requirement("G-1")


@pytest.fixture(params=["no bundle", "a bundle"], autouse=True)
def environment(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some machines name the authorities that requests trusts."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    if request.param == "a bundle":
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tls")
    make_certificate(directory)
    return directory


@pytest.fixture(scope="module")
def tls(directory: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    return context


@pytest.fixture
def resource(tls: ssl.SSLContext) -> Iterator[ScriptedServer]:
    with running_server(tls) as server:
        server.play(Answer(body=b"served"))
        yield server


@pytest.fixture
def server(
    tls: ssl.SSLContext, resource: ScriptedServer, clock: Clock
) -> Iterator[AuthorizationServer]:
    with running_server(tls) as running:
        server = AuthorizationServer(running, resource.url, clock)
        server.issuer = running.url
        server.metadata = {
            "issuer": running.url,
            "token_endpoint": server.url,
            "dpop_signing_alg_values_supported": ["ES256"],
        }
        yield server


@pytest.fixture
def bundle(tmp_path: Path, server: AuthorizationServer) -> FileBundle:
    bundle = FileBundle(tmp_path / "session.json")
    bundle.save({"access_token": "old", "token_type": "DPoP", "refresh_token": "first"})
    bundle.describe(
        {"client_id": "app", "issuer": server.issuer, "resource": server.resource}
    )
    return bundle


def test_a_token_goes_to_a_server_that_is_trusted_only(
    key_path: Path, resource: ScriptedServer, directory: Path
) -> None:
    token = ("--key", str(key_path), "--access-token", "the.access.token")
    result = run("curl", *token, resource.url)
    assert (result.exit_code, resource.received) == (3, [])
    assert "not a certificate to be trusted" in result.stderr
    trusted = ("--cacert", str(directory / "cert.pem"))
    assert run("curl", *token, *trusted, resource.url).stdout == "served"


@pytest.mark.parametrize("refresh", [(), ("--refresh",)])
@pytest.mark.usefixtures("bundle")
def test_so_do_the_tokens_of_a_session(
    tmp_path: Path,
    resource: ScriptedServer,
    server: AuthorizationServer,
    directory: Path,
    refresh: tuple[str, ...],
) -> None:
    place = ("--session", str(tmp_path / "session.json"), *refresh)
    result = run("curl", *place, resource.url)
    assert (result.exit_code, resource.received, server.received) == (3, [], [])
    assert "not a certificate to be trusted" in result.stderr
    trusted = ("--cacert", str(directory / "cert.pem"))
    assert run("curl", *place, *trusted, resource.url).stdout == "served"
    assert bool(server.received) == bool(refresh)


def test_a_session_without_an_authority_of_its_own_trusts_the_usual_ones(
    bundle: FileBundle,
    resource: ScriptedServer,
    server: AuthorizationServer,
    directory: Path,
) -> None:
    """None would be nobody for requests, and whoever answers be trusted."""
    trusting = discovery(str(directory / "cert.pem"))
    servers = trusting.servers(issuer=server.issuer)
    for session in (
        resume(bundle, cacert=None),
        session_at(servers, bundle.about, bundle=bundle, cacert=None),
    ):
        with pytest.raises(requests.exceptions.SSLError):
            session.get(resource.url)
    assert resource.received == []
