"""The code of docs/howto runs: adapters refuse what they must, clients are served."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
from joserfc.jwk import ECKey
from starlette.testclient import TestClient
from werkzeug.test import Client

from dpop_ext import ProofVerifier
from dpop_ext.stores.memory import MemoryReplayStore
from dpop_ext.testing import FakeClock, Issuer
from dpop_ext.testing.servers import AuthorizationServer, ResourceServer, run
from tests.documents.regions import DOCS
from tests.readme_application import application, keep_the_rest, register_clients
from tests.resource_server.django_project import configure, django_application

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


def test_a_client_is_served_as_the_page_has_it() -> None:
    issuer = AuthorizationServer(nonces=True)
    with run(issuer), run(ResourceServer(issuer, nonces=True)) as api:
        echo = f"{api.url}/echo"

        def ask_the_user(url: str) -> str:
            answer = requests.get(url, allow_redirects=False, timeout=5)
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
            answer = requests.request(method, url, headers=dict(fields), timeout=5)
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
        names["load_signing_keys"] = lambda: None
        names["find_token"] = lambda token: None
        for block in blocks("howto/authorization-server.md"):
            exec(block, names)
        client = names["app"].test_client()
        metadata = client.get("/.well-known/oauth-authorization-server").get_json()
        assert "ES256" in metadata["dpop_signing_alg_values_supported"]
        assert names["strict"].policy.required


def test_every_page_with_code_of_this_folder_is_run() -> None:
    text = Path(__file__).read_text("utf-8")
    for page in (DOCS / "howto").iterdir():
        assert f"howto/{page.name}" in text
