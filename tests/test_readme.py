"""The code in the README runs, each side against the other, on the hosts it names."""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Iterator
from functools import partialmethod
from pathlib import Path
from typing import Any

import pytest
import requests
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import InvalidRequestError, grants
from flask import Flask
from joserfc.jwk import ECKey, KeySet
from requests.adapters import HTTPAdapter
from sqlalchemy import select
from starlette.testclient import TestClient

from demo_server import demo_data
from demo_server.fapi_client import CLIENT_ID
from dpop_ext import ProofSigner, ProofVerifier
from dpop_ext.authorization_server import AccessTokenGenerator
from dpop_ext.cli.group import COMMANDS
from dpop_ext.integrations.requests_client import (
    DPoPAuth,
    DPoPTokenAuth,
    OAuth2Session,
)
from dpop_ext.resource_server import transport
from dpop_ext.stores.memory import MemoryKeyring, MemoryReplayStore
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.secret_ring import AudienceSecret, SecretRing
from dpop_ext.testing import FakeClock, Issuer
from tests.demo.fapi import FapiParties
from tests.demo.parties import CALLBACK
from tests.patience import PATIENCE
from tests.readme_application import (
    Names,
    add_endpoints,
    application,
    keep_the_rest,
    register_clients,
)
from tests.wsgi_network import WSGINetwork, send_over

README = Path(__file__).parent.parent / "README.md"
TEXT = README.read_text(encoding="utf-8")

#: A line that only the block of this name has.
MARKS = {
    "server": "server.register_extension(DPoP(",
    "storage": "class AuthorizationCodeGrant(",
    "fapi2": "server.register_extension(FAPI2SecurityProfile(",
    "resource": "require_oauth = ResourceProtector()",
    "bearer": "class MyBearerValidator(",
    "wsgi": "wsgi_app = DPoPMiddleware(",
    "fastapi": "dpop = DPoPSecurity(",
    "client": "client.fetch_token()",
    "fapi2 client": "bank.start_authorization()",
    "testing": "def test_the_accounts_are_protected(",
    "symmetric": "symmetric=SymmetricKeys(",
}


def blocks() -> dict[str, str]:
    """Every Python block of the README by its name; its lines keep their numbers."""
    found = {}
    for match in re.finditer(r"^```python\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE):
        source = match[1]
        (name,) = [name for name, mark in MARKS.items() if mark in source]
        assert name not in found
        found[name] = "\n" * TEXT[: match.start(1)].count("\n") + source
    return found


def run(name: str, names: Names) -> None:
    code = compile(blocks()[name], README.name, "exec", dont_inherit=True)
    exec(code, names)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> WSGINetwork:
    network = WSGINetwork()
    # A function, so that it is given the adapter.
    monkeypatch.setattr(HTTPAdapter, "send", partialmethod(send_over, network))
    opener = urllib.request.build_opener(network)
    monkeypatch.setattr(transport, "_opener", lambda context: opener)
    return network


@pytest.fixture
def names(network: WSGINetwork) -> Iterator[Names]:
    """Both servers of the README, on Flask, ready for a client."""
    with application() as names:
        run("storage", names)
        register_clients(names)
        keep_the_rest(names)
        run("server", names)
        add_endpoints(names)
        run("resource", names)
        network.hosts["as.example"] = names["app"]
        network.hosts["api.example"] = names["app"]
        yield names


def test_every_block_of_the_readme_is_run() -> None:
    assert blocks().keys() == MARKS.keys()
    assert TEXT.count("```python") == len(MARKS)


def test_no_line_of_the_readme_is_wider_than_its_block() -> None:
    assert (
        max(len(line) for block in blocks().values() for line in block.split("\n"))
        < 100
    )


def test_the_server_of_the_fapi_profile_demands_what_it_says(
    network: WSGINetwork,
) -> None:
    with application() as names:
        run("storage", names)
        register_clients(names)
        keep_the_rest(names)
        run("server", names)
        # The block comes in place of the extension that the server above has.
        server = AuthorizationServer(
            names["app"],
            query_client=names["query_client"],
            save_token=names["save_token"],
        )
        server.register_grant(names["AuthorizationCodeGrant"])
        server.register_grant(grants.ClientCredentialsGrant)
        names["server"] = server
        add_endpoints(names)
        run("fapi2", names)
        names["app"].config["PROPAGATE_EXCEPTIONS"] = True
        network.hosts["as.example"] = names["app"]

        proof = DPoPTokenAuth(ProofSigner.generate(), ("client", "secret"))
        for path, form in {
            "token": {"grant_type": "client_credentials"},
            "par": {"response_type": "code"},
        }.items():
            url = f"https://as.example/{path}"
            answer = requests.post(url, data=form, auth=proof, timeout=PATIENCE)
            # A secret does not authenticate a client, whatever the proof.
            assert answer.json()["error"] == "invalid_client"
        with pytest.raises(InvalidRequestError, match="must be pushed"):
            requests.get(
                "https://as.example/authorize",
                params={"response_type": "code", "client_id": "app"},
                timeout=PATIENCE,
            )


def test_the_client_gets_a_bound_token_and_its_answer(names: Names) -> None:
    run("client", names)
    assert names["response"].json() == {"accounts": [42]}
    assert names["client"].token["token_type"] == "DPoP"
    (stored,) = names["session"].scalars(select(names["Token"]))
    assert len(stored.dpop_jkt) == 43
    assert stored.expires_in == 300


def test_the_token_is_worth_nothing_without_the_key(names: Names) -> None:
    run("client", names)
    run("bearer", names)
    names["require_oauth"].register_token_validator(names["MyBearerValidator"]())
    token = names["client"].token["access_token"]
    url = "https://api.example/accounts"

    as_bearer = requests.get(
        url, headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE
    )
    assert as_bearer.status_code == 401
    other_key = DPoPAuth(ProofSigner.generate(), token)
    assert requests.get(url, auth=other_key, timeout=PATIENCE).status_code == 401


def test_an_unbound_token_still_works_as_bearer(names: Names) -> None:
    run("bearer", names)
    names["require_oauth"].register_token_validator(names["MyBearerValidator"]())
    answer = requests.post(
        "https://as.example/token",
        data={"grant_type": "client_credentials", "scope": "accounts"},
        auth=("client", "secret"),
        timeout=PATIENCE,
    ).json()
    assert answer["token_type"] == "Bearer"
    response = requests.get(
        "https://api.example/accounts",
        headers={"Authorization": f"Bearer {answer['access_token']}"},
        timeout=PATIENCE,
    )
    assert response.json() == {"accounts": [42]}


def test_code_and_refresh_token_of_a_public_client_are_bound(names: Names) -> None:
    client = OAuth2Session(
        "app",
        scope="accounts",
        dpop=ProofSigner.generate(),
        token_endpoint="https://as.example/token",
        token_endpoint_auth_method="none",
        redirect_uri="https://app.example/callback",
        code_challenge_method="S256",
        refresh="foreground",
    )
    verifier = "a" * 43
    url, _state = client.create_authorization_url(
        "https://as.example/authorize", code_verifier=verifier
    )
    consent = requests.get(url, allow_redirects=False, timeout=PATIENCE)
    arguments = {
        "authorization_response": consent.headers["Location"],
        "code_verifier": verifier,
    }
    client.fetch_token(**arguments)
    (code,) = names["session"].scalars(select(names["AuthorizationCode"]))
    assert code.dpop_jkt is not None
    with pytest.raises(Exception, match="invalid_grant"):
        client.fetch_token(**arguments)

    refresh_token = client.token["refresh_token"]
    client.refresh_token()
    assert client.get("https://api.example/accounts").json() == {"accounts": [42]}
    with pytest.raises(Exception, match="invalid_grant"):
        client.refresh_token(refresh_token=refresh_token)
    thief = OAuth2Session(
        "app",
        dpop=ProofSigner.generate(),
        token_endpoint="https://as.example/token",
        token_endpoint_auth_method="none",
    )
    with pytest.raises(Exception, match="invalid_grant"):
        thief.refresh_token(refresh_token=client.token["refresh_token"])


class SystemClock(FakeClock):
    """That of this machine: the client has no other, however long it takes."""

    def __call__(self) -> float:
        return time.time()

    @property
    def now(self) -> int:
        return int(time.time())


@pytest.mark.requirement("F-8", "F-9", "X-1")
def test_the_fapi_client_finds_what_it_needs(
    network: WSGINetwork, tmp_path: Path, ec_key: ECKey
) -> None:
    settings = {"issuer": "https://as.example", "resource": "https://api.example"}
    fapi = FapiParties(tmp_path, SystemClock(), ec_key, **settings)
    network.hosts["as.example"] = fapi.parties.as_app
    network.hosts["api.example"] = fapi.parties.rs_app

    def send_browser_to(url: str) -> str:
        address = url.removeprefix("https://as.example")
        browser = fapi.signed_in(address)
        return str(fapi.parties.decide(browser, address, "allow").location)

    names: Names = {
        "OAuth2Session": OAuth2Session,
        "client_id": CLIENT_ID,
        "client_key": fapi.client_key,
        "redirect_uri": CALLBACK,
        "path": tmp_path / "bundle",
        "send_browser_to": send_browser_to,
    }
    run("fapi2 client", names)
    assert names["response"].json()["owner"] == demo_data.USERNAME
    assert names["bank"].token["token_type"] == "DPoP"


def test_a_symmetric_key_is_used_at_any_wsgi_application(
    names: Names, network: WSGINetwork
) -> None:
    ring = SecretRing(
        [
            AudienceSecret(
                version=1,
                state="active",
                not_before=1_000_000_000,
                expires_at=4_000_000_000,
                secret=SecretBytes(bytes(range(100, 132))),
            )
        ],
        issuer="https://as.example",
        audience="https://api.example",
    )
    proofs = []

    def wsgi_app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        proofs.append(environ["dpop_ext.proof"].kind)
        start_response("204 No Content", [])
        return []

    names |= {
        "keyring": MemoryKeyring(ring),
        "secrets": Secrets(ring),
        "store": MemoryReplayStore(),
        "token_endpoint": "https://as.example/token",
        "wsgi_app": wsgi_app,
    }
    run("client", names)
    run("symmetric", names)
    network.hosts["as.example"] = jwt_server(names)
    run("wsgi", names)
    network.hosts["api.example"] = names["wsgi_app"]

    client = names["client"]
    client.fetch_token()
    assert client.get("https://api.example/anything").status_code == 204
    assert client.get("https://api.example/anything?else=1").status_code == 204
    assert proofs == ["symmetric", "symmetric"]


class Secrets:
    def __init__(self, ring: SecretRing) -> None:
        self._ring = ring

    def load(self, audience: str) -> SecretRing | None:
        return self._ring if audience == self._ring.audience else None


def jwt_server(names: Names) -> Flask:
    """An authorization server with the README's last extension, and RFC 9068 tokens."""
    app = Flask("readme-jwt")
    key = ECKey.generate_key("P-256", parameters={"kid": "1"})
    server = AuthorizationServer(
        app, query_client=names["query_client"], save_token=names["save_token"]
    )
    server.register_grant(grants.ClientCredentialsGrant)
    server.register_extension(names["extension"])
    server.register_token_generator(
        "default",
        AccessTokenGenerator(names["issuer"], lambda: key, expires_generator=300),
    )

    @app.post("/token")
    def token() -> Any:
        return server.create_token_response()

    @app.get("/jwks")
    def jwks() -> Any:
        return KeySet([key]).as_dict(private=False)

    return app


def test_fastapi_is_protected_as_it_says_and_its_users_can_test_that(
    dpop_issuer: Issuer, dpop_key: ECKey, dpop_clock: FakeClock
) -> None:
    names: Names = {
        "tokens": dpop_issuer.validator(),
        "verifier": ProofVerifier(MemoryReplayStore(), clock=dpop_clock),
    }
    run("fastapi", names)
    run("testing", names)
    client = TestClient(names["api"])
    names["test_the_accounts_are_protected"](client, dpop_issuer, dpop_key, dpop_clock)
    document = client.get("/openapi.json").json()
    assert "DPoP" in document["components"]["securitySchemes"]


def test_the_tools_are_those_of_the_help() -> None:
    for line in re.findall(r"^\$ dpop-ext (\S+)", TEXT, re.MULTILINE):
        assert line in COMMANDS
    changes = TEXT[TEXT.index("- `dpop-ext`:") :]
    assert all(name in changes for name in COMMANDS)
