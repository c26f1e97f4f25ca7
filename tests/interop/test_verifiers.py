"""Independent resource servers verify our tokens and the proofs of our client."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from joserfc.jwk import ECKey, RSAKey

from demo_server import demo_data
from demo_server.supervisor import DemoServer
from dpop_ext import ProofSigner
from dpop_ext.authorization_server import AccessTokenGenerator
from dpop_ext.core.proof_making import make_proof
from dpop_ext.integrations.requests_client import DPoPAuth, OAuth2Session
from tests.authorization_server.simulator import AUDIENCE, ISSUER, TOKEN_URL, Simulator
from tests.conftest import Clock
from tests.interop.installation import ROOT
from tests.interop.script import Script
from tests.patience import PATIENCE

API = "https://api.example/accounts"


@pytest.fixture(scope="module")
def oauth4webapi(servers: DemoServer, node_directory: Path) -> Iterator[Script]:
    inputs = {"issuer": servers.as_url, "audience": servers.settings.resource_url}
    command = ["node", "oauth4webapi_verifier.mjs"]
    with Script(command, inputs, cwd=node_directory) as script:
        script.step("ready")
        yield script


@pytest.fixture(scope="module")
def express_url(servers: DemoServer, node_directory: Path) -> Iterator[str]:
    """URL of a route behind express-oauth2-jwt-bearer."""
    inputs = {"issuer": servers.as_url, "audience": servers.settings.resource_url}
    command = ["node", "express_verifier.mjs"]
    with Script(command, inputs, cwd=node_directory) as script:
        yield script.step("ready")["url"] + "/accounts"


def get_token(servers: DemoServer, signer: ProofSigner) -> str:
    """A token of the demo server, with a symmetric key if *signer* wants one."""
    with OAuth2Session(
        "demo-confidential",
        demo_data.CONFIDENTIAL_SECRET,
        dpop=signer,
        token_endpoint=f"{servers.as_url}/token",
        issuer=servers.settings.issuer_url,
        resource=servers.settings.resource_url,
        scope="accounts",
    ) as session:
        token: str = session.fetch_token()["access_token"]
    assert signer.has_symmetric_key(token) == (signer.symmetric != "never")
    return token


def verify(script: Script, key: ECKey, token: str, *, url: str = API) -> dict[str, Any]:
    """What a verifier says of a request with *token* and a proof by *key* for *url*."""
    proof = make_proof(
        key,
        algorithm="ES256",
        method="GET",
        url=url,
        now=int(time.time()),
        access_token=token,
    )
    headers = {"authorization": f"DPoP {token}", "dpop": proof}
    script.tell(json.dumps({"method": "GET", "url": API, "headers": headers}))
    return script.step("verified", "refused")


@pytest.mark.requirement("S-9", "T-5", "B-3")
def test_oauth4webapi_accepts_our_token_with_our_proof(
    servers: DemoServer, oauth4webapi: Script, ec_key: ECKey
) -> None:
    token = get_token(servers, ProofSigner(ec_key, symmetric="never"))
    claims = verify(oauth4webapi, ec_key, token)["claims"]
    assert claims["sub"] == "demo-confidential"
    assert claims["cnf"] == {"jkt": ec_key.thumbprint()}


def test_oauth4webapi_refuses_our_token_with_another_proof(
    servers: DemoServer, oauth4webapi: Script, ec_key: ECKey, other_ec_key: ECKey
) -> None:
    token = get_token(servers, ProofSigner(ec_key, symmetric="never"))
    theft = verify(oauth4webapi, other_ec_key, token)
    assert "confirmation mismatch" in theft["reason"]
    elsewhere = verify(oauth4webapi, ec_key, token, url=f"{API}/2")
    assert "htu mismatch" in elsewhere["reason"]


def test_oauth4webapi_refuses_a_token_with_a_symmetric_key_for_its_second_member(
    servers: DemoServer, oauth4webapi: Script, ec_key: ECKey
) -> None:
    # Which is its right: a resource server gets such tokens only if its audience has
    # derivation secrets, so only if its operator wants them.
    token = get_token(servers, ProofSigner(ec_key, symmetric="must"))
    refused = verify(oauth4webapi, ec_key, token)
    assert "multiple confirmation claims" in refused["reason"]


@pytest.mark.parametrize("symmetric", ["never", "must"])
@pytest.mark.requirement("P-1", "S-9", "T-5", "B-3", "R1301")
def test_express_accepts_our_client_with_our_token(
    servers: DemoServer, express_url: str, ec_key: ECKey, symmetric: Any
) -> None:
    token = get_token(servers, ProofSigner(ec_key, symmetric=symmetric))
    auth = DPoPAuth(ProofSigner(ec_key), token)
    response = requests.get(express_url, auth=auth, timeout=PATIENCE)
    assert response.status_code == 200
    assert response.json() == {"subject": "demo-confidential"}


def test_express_refuses_our_token_with_the_proof_of_another_key(
    servers: DemoServer, express_url: str, ec_key: ECKey, other_ec_key: ECKey
) -> None:
    token = get_token(servers, ProofSigner(ec_key, symmetric="never"))
    auth = DPoPAuth(ProofSigner(other_ec_key), token)
    response = requests.get(express_url, auth=auth, timeout=PATIENCE)
    assert response.status_code == 401
    assert response.json()["error"] == "invalid_token"
    assert "confirmation mismatch" in response.json()["reason"]


@pytest.fixture(scope="module")
def auth0_issuer(rsa_key: RSAKey) -> Simulator:
    """An issuer of RS256 tokens, the only ones that auth0-api-python takes."""
    key = RSAKey.import_key(rsa_key.as_dict(private=True), {"kid": "k1"})
    clock = Clock(time.time())
    generator = AccessTokenGenerator(
        ISSUER, lambda: key, alg="RS256", expires_generator=300, clock=clock
    )
    return Simulator(clock, form="jwt", generator=generator)


@pytest.fixture(scope="module")
def auth0(auth0_issuer: Simulator, rsa_key: RSAKey, python: Path) -> Iterator[Script]:
    """auth0-api-python, with the documents that it asks for by https only."""
    key = rsa_key.as_dict(private=False) | {"kid": "k1", "alg": "RS256"}
    inputs = {
        "domain": ISSUER.removeprefix("https://"),
        "audience": AUDIENCE,
        "documents": {
            f"{ISSUER}/.well-known/openid-configuration": {
                "issuer": ISSUER,
                "jwks_uri": f"{ISSUER}/jwks",
            },
            f"{ISSUER}/jwks": {"keys": [key]},
        },
    }
    command = [str(python), "-m", "tests.interop.python.auth0_api_python_verifier"]
    with Script(command, inputs, cwd=ROOT) as script:
        script.step("ready")
        yield script


@pytest.mark.requirement("S-9", "T-5", "B-3")
def test_auth0_api_python_accepts_our_token_with_the_right_proof_only(
    auth0_issuer: Simulator, auth0: Script, ec_key: ECKey, other_ec_key: ECKey
) -> None:
    now = auth0_issuer.clock.now
    proof = make_proof(ec_key, algorithm="ES256", method="POST", url=TOKEN_URL, now=now)
    answer = auth0_issuer.token({"grant_type": "client_credentials"}, proof)
    token = answer.get_json()["access_token"]
    claims = verify(auth0, ec_key, token)["claims"]
    assert claims["cnf"] == {"jkt": ec_key.thumbprint()}
    theft = verify(auth0, other_ec_key, token)
    assert "confirmation mismatch" in theft["reason"]
    elsewhere = verify(auth0, ec_key, token, url=f"{API}/2")
    assert "htu mismatch" in elsewhere["reason"]
