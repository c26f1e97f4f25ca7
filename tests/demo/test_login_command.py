"""``dpop-ext login``, ``curl`` and ``logout`` with the demo servers and a person."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from demo_client.browser import fill_forms
from demo_server.supervisor import DemoServer
from dpop_ext.integrations.bundle_stores import FileBundle
from tests.cli.conftest import run
from tests.patience import PATIENCE


@contextmanager
def logging_in(
    server: DemoServer, *arguments: str, **environment: str
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start the command; yield it with the address that it shows."""
    command = (sys.executable, "-m", "dpop_ext", "login", *arguments)
    process = subprocess.Popen(
        [
            *command,
            "--no-browser",
            "--client-id",
            "demo-public",
            "--timeout",
            f"{PATIENCE}",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    try:
        assert process.stderr is not None
        heading = process.stderr.readline()
        if heading != "Open this address in a browser:\n":
            process.kill()
            pytest.fail(f"it asks for no browser:\n{heading}{process.stderr.read()}")
        yield process, process.stderr.readline().strip()
    finally:
        process.kill()
        process.communicate()


def test_log_in_call_refresh_and_log_out(
    demo_server: DemoServer, tmp_path: Path
) -> None:
    home = str(tmp_path)
    place = tmp_path / "dpop-ext" / "session.json"
    environment = {"XDG_CONFIG_HOME": home}
    with logging_in(
        demo_server,
        *("--resource", demo_server.rs_url, "--scope", "accounts", "--json"),
        **environment,
    ) as (process, address):
        # By a pushed request, so that nothing of it can be changed on the way.
        assert parse_qs(urlsplit(address).query).keys() == {"client_id", "request_uri"}
        fill_forms(address)
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (0, "")
    said = json.loads(out)
    assert said["session"] == str(place)
    assert said["can_refresh"] is True
    assert place.stat().st_mode & 0o777 == 0o600
    bundle = FileBundle(place)
    assert said["jkt"] == bundle.signer.jkt
    assert bundle.token is not None
    assert bundle.token["token_type"] == "DPoP"
    first = bundle.token["access_token"]

    url = f"{demo_server.rs_url}/api/accounts"
    called = run("curl", "-v", url, **environment)
    assert called.exit_code == 0, called.output
    assert json.loads(called.stdout)["accounts"]
    assert "asymmetric proof" in called.stderr
    refreshed = run("curl", "-v", "--refresh", url, **environment)
    assert refreshed.exit_code == 0, refreshed.output
    assert "DPoP: symmetric proof" in refreshed.stderr
    for secret in (first, bundle.token["refresh_token"]):
        assert secret not in called.output + refreshed.output
    second = (FileBundle(place).token or {})["access_token"]
    assert second != first

    ended = run("logout", **environment)
    assert ended.exit_code == 0, ended.output
    assert not place.exists()
    assert "no session" in run("curl", url, **environment).stderr
