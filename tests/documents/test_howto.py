"""The code of docs/howto runs: adapters refuse what they must, clients are served."""

from __future__ import annotations

import asyncio
import re
import urllib.request
from collections.abc import Iterator
from functools import partialmethod
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import requests
from authlib.integrations import flask_oauth2 as authorization_server
from authlib.oauth2.rfc6749 import grants
from flask import Flask
from joserfc.jwk import ECKey, KeySet
from requests.adapters import HTTPAdapter
from sqlalchemy import create_engine
from starlette.testclient import TestClient
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client

from dpop_ext import ProofVerifier
from dpop_ext.authorization_server import AccessTokenGenerator
from dpop_ext.integrations.flask_oauth2 import ResourceProtector
from dpop_ext.resource_server import AccessTokenValidator, transport
from dpop_ext.stores.memory import MemoryReplayStore
from dpop_ext.testing import FakeClock, Issuer
from dpop_ext.testing.servers import AuthorizationServer, ResourceServer, run
from tests.documents.regions import DOCS
from tests.patience import PATIENCE
from tests.readme_application import application, keep_the_rest, register_clients
from tests.resource_server.django_project import configure, django_application
from tests.wsgi_network import WSGINetwork, send_over

Names = dict[str, Any]


def blocks(page: str) -> list[Any]:
    """Every Python block of a page, as code whose lines have their numbers."""
    path = DOCS / page
    text = path.read_text("utf-8")
    found = re.finditer(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [
        compile(
            "\n" * text[: block.start(1)].count("\n") + block[1],
            str(path),
            "exec",
            dont_inherit=True,
        )
        for block in found
    ]


@pytest.fixture
def resource_server(
    dpop_issuer: Issuer,
    dpop_clock: FakeClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Names]:
    """The names of the page, its verifier and tokens replaced by those of a test."""
    monkeypatch.chdir(tmp_path)
    # Django has to be configured before its classes are imported.
    configure()
    names: Names = {
        "__name__": "howto",
        "nonce_secrets": [bytes(range(32))],
        "api_secret": "secret",
    }
    first, *rest = blocks("howto/resource-server.md")
    exec(first, names)
    store = names["store"]
    names["tokens"] = dpop_issuer.validator()
    names["verifier"] = ProofVerifier(MemoryReplayStore(), clock=dpop_clock)

    class LocalKeys(AccessTokenValidator):
        def __init__(self, **settings: str) -> None:
            assert set(settings) == {"issuer", "audience", "jwks_uri"}
            super().__init__(
                dpop_issuer.identifier,
                dpop_issuer.audience,
                jwks=dpop_issuer.jwks,
                clock=dpop_clock,
            )

    names["AccessTokenValidator"] = LocalKeys
    for block in rest:
        exec(block, names)
    yield names
    store.close()


@pytest.mark.parametrize("adapter", ["flask", "wsgi", "asgi", "fastapi", "django"])
def test_each_adapter_protects_as_the_page_has_it(
    resource_server: Names,
    adapter: str,
    dpop_issuer: Issuer,
    dpop_key: ECKey,
    dpop_clock: FakeClock,
) -> None:
    names = resource_server
    client: Any
    if adapter == "flask":
        client = names["flask_app"].test_client()
    elif adapter == "wsgi":
        client = Client(names["wsgi_app"])
    elif adapter == "django":
        client = Client(django_application(names["accounts_view"]))
    else:
        client = TestClient(names["asgi_app" if adapter == "asgi" else "api"])
    names["test_the_accounts_are_protected"](client, dpop_issuer, dpop_key, dpop_clock)
    if adapter == "fastapi":
        found = client.get("/.well-known/oauth-protected-resource").json()
        assert found["resource"] == dpop_issuer.audience
        assert found["authorization_servers"] == [dpop_issuer.identifier]
        origin = {"Origin": "https://app.example"}
        preflight = origin | {"Access-Control-Request-Method": "GET"}
        script = TestClient(names["open_api"])
        allowed = script.options("/accounts", headers=preflight).headers
        assert "DPoP" in allowed["Access-Control-Allow-Headers"]
        refused = script.get("/accounts", headers=origin)
        assert refused.status_code == 401
        assert "DPoP-Nonce" in refused.headers["Access-Control-Expose-Headers"]
    if adapter == "flask":
        bearer = f"Bearer {dpop_issuer.access_token(None, scope='accounts')}"
        request = {"path": "/accounts", "headers": {"Authorization": bearer}}
        with names["flask_app"].test_request_context(**request):
            found = names["require_oauth"].acquire_token("accounts")
        assert found.client_id == "client"


def test_a_client_is_served_as_the_page_has_it() -> None:
    issuer = AuthorizationServer(nonces=True)
    with run(issuer), run(ResourceServer(issuer, nonces=True)) as api:
        echo = f"{api.url}/echo"

        def ask_the_user(url: str) -> str:
            answer = requests.get(url, allow_redirects=False, timeout=PATIENCE)
            return answer.headers["Location"]

        names: Names = {"ask_the_user": ask_the_user}
        path = DOCS / "howto/client.md"
        text = path.read_text("utf-8")
        for place, real in {
            "https://as.example": issuer.url,
            "https://api.example/accounts": echo,
            "https://app.example/callback": "http://127.0.0.1/callback",
            'scope="accounts", ': "",
        }.items():
            assert place in text
            text = text.replace(place, real)
        code = "".join(
            re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
        )
        exec(compile(code, str(path), "exec", dont_inherit=True), names)

        jkt = names["signer"].jkt
        assert names["accounts"]["jkt"] == jkt
        assert names["response"].json()["jkt"] == jkt
        assert names["login"].token["refresh_token"]
        with httpx.Client() as client:
            assert names["list_accounts"](client)["jkt"] == jkt

        async def listed() -> Any:
            async with httpx.AsyncClient() as client:
                return await names["list_accounts_async"](client)

        assert asyncio.run(listed())["jkt"] == jkt

        def send(method: str, url: str, fields: Any) -> Any:
            answer = requests.request(
                method, url, headers=dict(fields), timeout=PATIENCE
            )
            return answer.status_code, list(answer.headers.items()), answer.json()

        status, body = names["get"](echo, names["access_token"], send)
        assert (status, body["jkt"]) == (200, jkt)


def test_the_authorization_server_of_the_page_runs() -> None:
    with application() as names:
        readme = (DOCS.parent / "README.md").read_text("utf-8")
        python = re.findall(r"^```python\n(.*?)^```$", readme, re.DOTALL | re.MULTILINE)
        (models,) = [
            block for block in python if "class AuthorizationCodeGrant(" in block
        ]
        exec(compile(models, "README.md", "exec", dont_inherit=True), names)
        register_clients(names)
        keep_the_rest(names)
        key = ECKey.generate_key("P-256", {"kid": "1"})
        names["load_signing_keys"] = lambda: key
        names["find_token"] = lambda token: None
        for block in blocks("howto/authorization-server.md"):
            exec(block, names)
        names["app"].post("/token")(names["server"].create_token_response)
        client = names["app"].test_client()

        def error_behind_a_proxy() -> Any:
            forwarded = {"X-Forwarded-Proto": "https"}
            answer = client.post(
                "/token", base_url="http://as.example", headers=forwarded
            )
            return answer.get_json()["error"]

        assert error_behind_a_proxy() == "insecure_transport"
        names["app"].wsgi_app = ProxyFix(names["app"].wsgi_app, x_proto=1)
        assert error_behind_a_proxy() == "unsupported_grant_type"
        metadata = client.get("/.well-known/oauth-authorization-server").get_json()
        assert "ES256" in metadata["dpop_signing_alg_values_supported"]
        assert names["strict"].policy.required
        token = SimpleNamespace(
            scope="accounts", client_id="app", issued_at=1, expires_in=300
        )
        answer = names["Introspection"].introspect_token(None, token)
        assert (answer["aud"], answer["exp"]) == ("https://api.example", 301)
        # The README has Authlib's setting, which is for Authlib's generator alone.
        assert names["app"].config["OAUTH2_REFRESH_TOKEN_GENERATOR"]
        registered = names["query_client"]("client")
        token = names["server"].generate_token("authorization_code", registered)
        assert "refresh_token" not in token


def test_symmetric_keys_are_turned_on_as_the_page_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    network, kinds = WSGINetwork(), []
    monkeypatch.setattr(HTTPAdapter, "send", partialmethod(send_over, network))
    opener = urllib.request.build_opener(network)
    monkeypatch.setattr(transport, "_opener", lambda context: opener)

    def api(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        kinds.append(environ["dpop_ext.proof"].kind)
        start_response("204 No Content", [])
        return []

    keys, authorization, resource, client = blocks("howto/symmetric-keys.md")
    key = ECKey.generate_key("P-256", {"kid": "1"})
    with application() as names:
        exec(keys, names)
        registered = {
            name: names["Client"](client_id=name) for name in ("client", "api")
        }
        registered["client"].client_secret = "secret"
        registered["client"].set_client_metadata(
            {
                "grant_types": ["client_credentials"],
                "token_endpoint_auth_method": "client_secret_basic",
                "audiences": ["https://api.example"],
            }
        )
        registered["api"].set_client_metadata(names["registration"])
        server = authorization_server.AuthorizationServer(
            names["app"], query_client=registered.get, save_token=lambda *_: None
        )
        server.register_grant(grants.ClientCredentialsGrant)
        server.register_token_generator(
            "default",
            AccessTokenGenerator(
                "https://as.example", lambda: key, expires_generator=300
            ),
        )
        names["app"].post("/token")(server.create_token_response)
        names |= {
            "engine": create_engine(f"sqlite:///{tmp_path}/secrets.db"),
            "database_key": bytes(range(32)),
            "verifier": ProofVerifier(MemoryReplayStore()),
            "replay_store": MemoryReplayStore(),
            "api_store": MemoryReplayStore(),
            "load_signing_keys": lambda: key,
            "issuer_keys": KeySet([key]).as_dict(private=False),
            "api_application": api,
            "server": server,
        }
        exec(authorization, names)
        network.hosts["as.example"] = names["app"]
        exec(resource, names)
        network.hosts["api.example"] = names["api"]
        exec(client, names)
        assert names["response"].status_code == 204
        assert kinds == ["symmetric"]

        # The same client demands a proved answer, as another page has it.
        names |= {
            "app": Flask("payments"),
            "access_token": names["client"].token["access_token"],
            "order": {"item": 42},
            "require_oauth": ResourceProtector(),
            "url": "https://api.example/orders",
        }
        for block in blocks("protected-messages.md"):
            exec(block, names)
        assert kinds == ["symmetric", "symmetric"]
        names["client"].close()
        names["engine"].dispose()


def test_the_page_on_symmetric_keys_has_all_that_can_be_missing() -> None:
    """Each word that the log has for it, and what to change."""
    found = set()
    for path in (DOCS.parent / "dpop_ext").rglob("*.py"):
        found |= set(re.findall(r'\blacks="(\w+)"', path.read_text("utf-8")))
    text = (DOCS / "howto" / "symmetric-keys.md").read_text("utf-8")
    table = text.split("`no symmetric key:`")[1].split("## ")[0]
    cells = re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE)
    assert found == set(re.findall(r"`(\w+)`", " ".join(cells)))


def test_every_page_with_code_of_this_folder_is_run() -> None:
    text = Path(__file__).read_text("utf-8")
    for page in (DOCS / "howto").iterdir():
        assert f"howto/{page.name}" in text
