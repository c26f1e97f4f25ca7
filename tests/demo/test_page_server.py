"""How the page is served: its policy, one name, over TLS, and by which command."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from demo_server import first_start
from demo_server.browser_client import PageServer
from demo_server.cli.serve_all import with_page
from demo_server.client_file import ClientFileError, load
from demo_server.option_values import SettingsError
from demo_server.settings import Settings
from tests.demo.test_server_tls import make_certificate
from tests.patience import PATIENCE

AS, RS = "http://127.0.0.1:9000", "http://127.0.0.1:9001"


@contextmanager
def serving(**options: Path) -> Iterator[Settings]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        settings = Settings(client_port=port, **options)  # type: ignore[arg-type]
        with PageServer(listener, settings):
            yield settings


def test_the_page_has_a_policy_and_no_script_in_it() -> None:
    with serving() as settings:
        answer = requests.get(f"{settings.client_url}/", timeout=PATIENCE)
    policy = answer.headers["Content-Security-Policy"].split("; ")
    assert f"connect-src {AS} {RS}" in policy
    for directive in ("default-src 'none'", "script-src 'self'", "base-uri 'none'"):
        assert directive in policy
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert "<script>" not in answer.text
    assert "style=" not in answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_nothing_else_is_served() -> None:
    with serving() as settings:
        url = settings.client_url or ""
        page = requests.get(f"{url}/", timeout=PATIENCE).text
        assert requests.get(f"{url}/callback?code=x", timeout=PATIENCE).text == page
        assert requests.head(f"{url}/main.js", timeout=PATIENCE).content == b""
        for path in ("/index.html", "/nothing", "/..%2f__init__.py"):
            assert requests.get(url + path, timeout=PATIENCE).status_code == 404
        assert requests.post(f"{url}/", timeout=PATIENCE).status_code == 501


def test_under_another_name_there_is_only_the_way_to_the_right_one() -> None:
    with serving() as settings:
        answer = requests.get(
            f"{settings.client_url}/main.js",
            headers={"Host": "evil.example"},
            allow_redirects=False,
            timeout=PATIENCE,
        )
    assert answer.status_code == 302
    assert answer.headers["Location"] == f"{settings.client_url}/"
    assert answer.text == ""


def test_the_page_speaks_tls_where_the_servers_do(tmp_path: Path) -> None:
    make_certificate(tmp_path)
    certificate = tmp_path / "cert.pem"
    with serving(tls_cert=certificate, tls_key=tmp_path / "key.pem") as settings:
        url = settings.client_url or ""
        assert url.startswith("https:")
        # Who shakes hands slowly keeps nobody waiting.
        with socket.create_connection(("127.0.0.1", settings.client_port or 0)):
            answer = requests.get(
                f"{url}/config.js", verify=str(certificate), timeout=PATIENCE
            )
        assert f'issuer = "{settings.issuer_url}"' in answer.text
        assert f'redirectUri = "{url}/callback"' in answer.text


@pytest.mark.parametrize(
    ("options", "port"),
    [
        ({}, 9002),
        ({"as_port": 9100}, 9101),
        ({"as_port": 0}, 0),
        ({"rs_port": 65_535}, 0),
        ({"client_port": 7}, 7),
        ({"profile": "fapi2"}, None),
        ({"issuer": "https://as.example"}, None),
        ({"resource": "https://rs.example"}, None),
    ],
)
def test_one_command_starts_the_page_where_it_belongs(
    options: dict[str, Any], port: int | None
) -> None:
    assert with_page(Settings(**options)).client_port == port


@pytest.mark.parametrize(
    "options",
    [
        {"client_port": 9000},
        {"client_port": 65_536},
        {"client_port": 1, "profile": "fapi2"},
    ],
)
def test_a_port_that_cannot_be_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="--client-port"):
        Settings(**options)


@pytest.mark.requirement("P-15")
def test_scripts_of_the_page_may_use_the_servers_only_where_there_is_one() -> None:
    assert Settings().script_origins == ()
    others = Settings(cors_origins="https://a.example", client_port=7)
    assert others.script_origins == ("https://a.example", "http://127.0.0.1:7")
    ids = [client["client_id"] for client in first_start._clients(others)]
    assert "demo-browser" in ids
    ids = [client["client_id"] for client in first_start._clients(Settings())]
    assert "demo-browser" not in ids


def test_nobody_else_can_be_the_client_of_the_page(tmp_path: Path) -> None:
    path = tmp_path / "clients.json"
    path.write_text('[{"client_id": "demo-browser", "client_secret": "s"}]')
    with pytest.raises(ClientFileError):
        load(path, resource=RS)
