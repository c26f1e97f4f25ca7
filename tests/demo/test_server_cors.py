"""A script in a browser at both demo servers."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from joserfc.jwk import ECKey

from demo_server.option_values import SettingsError
from demo_server.settings import Settings
from dpop_ext.core.proof_making import make_proof
from tests.conftest import Clock
from tests.demo.parties import CONFIDENTIAL, Parties
from tests.integrations.browser import BlockedError, Browser
from tests.resource_server.world import Response

ORIGIN = "https://app.example"
FORM = ("Content-Type", "application/x-www-form-urlencoded")


@pytest.fixture
def scripted(tmp_path: Path, clock: Clock, ec_key: ECKey) -> Parties:
    origins = f"https://other.example,{ORIGIN}"
    return Parties.start(tmp_path, clock, ec_key, cors_origins=origins)


def proof(parties: Parties, method: str, url: str, **values: Any) -> tuple[str, str]:
    now = parties.clock.now
    text = make_proof(
        parties.key, algorithm="ES256", method=method, url=url, now=now, **values
    )
    return "DPoP", text


def ask_for_token(parties: Parties, script: Browser, **values: Any) -> Response:
    url = f"{parties.settings.issuer_url}/token"
    form = {"grant_type": "client_credentials", "scope": "accounts"}
    headers = [*CONFIDENTIAL.items(), FORM, proof(parties, "POST", url, **values)]
    body = urlencode(form).encode()
    return script.fetch("/token", headers=headers, method="POST", body=body)


@pytest.mark.requirement("P-15", "Q-17", "U-26")
def test_a_script_gets_a_token_and_uses_it(scripted: Parties) -> None:
    at_as = Browser(app=scripted.as_app, origin=ORIGIN)
    nonce = ask_for_token(scripted, at_as).only("DPoP-Nonce")
    token = ask_for_token(scripted, at_as, nonce=nonce).json["access_token"]
    at_rs = Browser(app=scripted.rs_app, origin=ORIGIN)
    url = f"{scripted.settings.resource_url}/api/accounts"
    values = {"access_token": token}
    for status in (401, 200):
        headers = [("Authorization", f"DPoP {token}")]
        headers.append(proof(scripted, "GET", url, **values))
        answer = at_rs.fetch("/api/accounts", headers=headers)
        assert answer.status == status
        if status == 401:
            assert answer.challenges["DPoP"].get("error") == "use_dpop_nonce"
            values["nonce"] = answer.only("DPoP-Nonce")
    assert answer.json["proof"] == "asymmetric"


@pytest.mark.requirement("P-15")
@pytest.mark.parametrize(
    "path",
    [
        *("/token", "/par", "/revoke", "/jwks", "/userinfo"),
        "/.well-known/oauth-authorization-server",
    ],
)
def test_what_scripts_need_they_may_use(scripted: Parties, path: str) -> None:
    method = "GET" if path in ("/jwks", "/userinfo") or "." in path else "POST"
    script = Browser(app=scripted.as_app, origin=ORIGIN)
    assert script.fetch(path, headers=[("DPoP", "x")], method=method).status < 500


@pytest.mark.requirement("P-15")
def test_the_pages_and_what_is_for_servers_they_may_not(scripted: Parties) -> None:
    for path, method in [("/login", "POST"), ("/authorize", "GET")]:
        script = Browser(app=scripted.as_app, origin=ORIGIN)
        with pytest.raises(BlockedError):
            script.fetch(path, headers=[FORM], method=method)
    with pytest.raises(BlockedError):
        script.fetch("/introspect", headers=[FORM], method="POST")


@pytest.mark.requirement("P-15")
def test_nobody_elses_script_may_do_anything(
    scripted: Parties, parties: Parties
) -> None:
    for app, origin in [
        (scripted.as_app, "https://evil.example"),
        (scripted.rs_app, "https://evil.example"),
        (parties.as_app, ORIGIN),
        (parties.rs_app, ORIGIN),
    ]:
        for path in ("/token", "/jwks", "/api/accounts"):
            with pytest.raises(BlockedError):
                Browser(app=app, origin=origin).fetch(path, headers=[("DPoP", "x")])


@pytest.mark.parametrize(
    "origins",
    [
        *("*", "null", "https://app.example/", "https://app.example:443"),
        *("http://app.example", "https://a.example,*", "https://A.example"),
    ],
)
def test_an_origin_that_is_none_is_refused_at_the_start(origins: str) -> None:
    with pytest.raises(SettingsError, match="--cors-origins"):
        Settings(cors_origins=origins)
