"""Our client gets tokens from oidc-provider, which demands a nonce in each proof."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
import requests
from joserfc.jwk import ECKey

from dpop_ext import ProofSigner
from dpop_ext.integrations.requests_client import DPoPAuth, OAuth2Session
from tests.interop.installation import ROOT
from tests.interop.loopback import LoopbackRedirect
from tests.interop.script import Script
from tests.patience import PATIENCE

SECRET = "a-secret-of-the-service"


@pytest.fixture(scope="module")
def issuer(node_directory: Path) -> Iterator[str]:
    command = ["node", "oidc_provider.mjs"]
    with Script(command, {"secret": SECRET}, cwd=node_directory) as script:
        yield script.step("ready")["issuer"]


@pytest.fixture(scope="module")
def resource(issuer: str) -> Iterator[str]:
    """Our resource server, for tokens of oidc-provider."""
    options = ["--rs-port=0", f"--issuer={issuer}", "--symmetric=off"]
    process = subprocess.Popen(
        [sys.executable, "-m", "demo_server", "rs", *options, "--log-level=error"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            # Which pytest shows beside this: it goes to the same place as its own.
            assert line, "the resource server did not start; its log says why"
            yield line.split()[-1]
        finally:
            process.terminate()


@dataclass
class Client:
    """Our session, and the answers of the token endpoint."""

    session: OAuth2Session
    answers: list[requests.Response] = field(default_factory=list)

    def __post_init__(self) -> None:
        for hook in "access_token_response", "refresh_token_response":
            self.session.register_compliance_hook(hook, self._keep)

    def _keep(self, response: requests.Response) -> requests.Response:
        self.answers += [*response.history, response]
        return response

    def statuses(self) -> list[int]:
        """What came since the last call of this."""
        statuses = [answer.status_code for answer in self.answers]
        self.answers.clear()
        return statuses


def sign_in(url: str) -> None:
    """Fill in the two forms of oidc-provider, and go where it sends us."""
    with requests.Session() as browser:
        page = browser.get(url, timeout=PATIENCE)
        for prompt in "login", "consent":
            assert f'name="prompt" value="{prompt}"' in page.text
            (action,) = re.findall(r'<form[^>]* action="([^"]*)"', page.text)
            form = {"prompt": prompt, "login": "alice", "password": "any"}
            page = browser.post(urljoin(url, action), data=form, timeout=PATIENCE)
        assert page.text.startswith("Done.")


@pytest.mark.requirement("S-10", "T-1", "T-13", "P-1", "X-1", "X-13")
def test_code_refresh_and_userinfo_with_mandatory_nonces(
    issuer: str, ec_key: ECKey, other_ec_key: ECKey
) -> None:
    with (
        LoopbackRedirect() as redirect,
        OAuth2Session(
            "app",
            dpop=ProofSigner(ec_key),
            scope="openid offline_access",
            redirect_uri=redirect.uri,
            token_endpoint=f"{issuer}/token",
            default_timeout=PATIENCE,
        ) as session,
    ):
        client = Client(session)
        url, state = session.create_authorization_url(
            f"{issuer}/auth", prompt="consent"
        )
        assert f"dpop_jkt={ec_key.thumbprint()}" in url
        assert "code_challenge_method=S256" in url
        sign_in(url)
        token = session.fetch_token(authorization_response=redirect.wait(), state=state)
        assert token["token_type"] == "DPoP"
        assert client.statuses() == [400, 200]
        session.refresh_token()
        assert session.token["access_token"] != token["access_token"]
        # The nonce is known by now.
        assert client.statuses() == [200]

        user = session.get(f"{issuer}/me")
        assert user.status_code == 200
        assert user.json() == {"sub": "alice"}
        theft = DPoPAuth(ProofSigner(other_ec_key), session.token["access_token"])
        refused = requests.get(f"{issuer}/me", auth=theft, timeout=PATIENCE)
        assert refused.status_code == 401
        assert 'error="invalid_token"' in refused.headers["WWW-Authenticate"]


@pytest.mark.parametrize("algorithm", ["ES256", "Ed25519", "EdDSA"])
@pytest.mark.requirement("T-1", "B-2", "P-2", "C-12b")
def test_a_token_of_oidc_provider_opens_our_resource_server(
    issuer: str, resource: str, algorithm: Any
) -> None:
    # It is asked for a symmetric key, too, of which it knows nothing.
    with OAuth2Session(
        "service",
        SECRET,
        dpop=ProofSigner.generate(algorithm),
        scope="accounts",
        token_endpoint=f"{issuer}/token",
        issuer=issuer,
        resource=resource,
        default_timeout=PATIENCE,
    ) as session:
        client = Client(session)
        token = session.fetch_token()
        assert not session.dpop.has_symmetric_key(token["access_token"])
        assert client.statuses() == [400, 200]
        response = session.get(f"{resource}/api/accounts")
        assert response.status_code == 200
        assert response.json()["owner"] == "service"
        assert response.json()["proof"] == "asymmetric"
        theft = DPoPAuth(ProofSigner.generate("ES256"), token["access_token"])
        url = f"{resource}/api/accounts"
        refused = requests.get(url, auth=theft, timeout=PATIENCE)
        assert refused.status_code == 401
        assert 'error="invalid_token"' in refused.headers["WWW-Authenticate"]
