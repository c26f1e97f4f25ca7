"""The servers in memory, with the clients that they are for."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from authlib.integrations.base_client import OAuthError

from dpop_ext.client.signer import ProofSigner
from dpop_ext.integrations.requests_client import OAuth2Session
from dpop_ext.testing.rows import MemoryClient
from dpop_ext.testing.servers import (
    AUDIENCE,
    AuthorizationServer,
    ResourceServer,
    run,
)
from tests.patience import PATIENCE

REDIRECT = "http://127.0.0.1/callback"


@pytest.mark.parametrize("nonces", [False, True])
def test_a_confidential_client_gets_a_token_and_uses_it(*, nonces: bool) -> None:
    with (
        run(AuthorizationServer(nonces=nonces)) as issuer,
        run(ResourceServer(issuer, nonces=nonces)) as api,
        OAuth2Session(
            "client",
            "secret",
            dpop=ProofSigner.generate(),
            token_endpoint=f"{issuer.url}/token",
        ) as session,
    ):
        session.fetch_token()
        answer = session.get(f"{api.url}/echo").json()
        assert answer == {
            "method": "GET",
            "proof": "asymmetric",
            "jkt": session.dpop.jkt,
            "client": "client",
        }


def test_a_symmetric_key_is_delivered_and_used() -> None:
    with (
        run(AuthorizationServer(symmetric=True)) as issuer,
        run(ResourceServer(issuer)) as api,
        OAuth2Session(
            "client",
            "secret",
            dpop=ProofSigner.generate(symmetric="must"),
            token_endpoint=f"{issuer.url}/token",
            issuer=issuer.url,
            resource=AUDIENCE,
            resource_bases=[api.url],
        ) as session,
    ):
        session.fetch_token()
        assert session.post(f"{api.url}/echo").json()["proof"] == "symmetric"


def test_a_public_client_has_a_code_and_a_refresh_token() -> None:
    with (
        run(AuthorizationServer()) as issuer,
        run(ResourceServer(issuer, scope="accounts")) as api,
        OAuth2Session(
            "app",
            dpop=ProofSigner.generate(),
            token_endpoint=f"{issuer.url}/token",
            redirect_uri=REDIRECT,
            scope="accounts",
        ) as session,
    ):
        url, state = session.create_authorization_url(f"{issuer.url}/authorize")
        back = requests.get(url, allow_redirects=False, timeout=PATIENCE).headers[
            "Location"
        ]
        assert parse_qs(urlsplit(back).query)["state"] == [state]
        session.fetch_token(authorization_response=back, state=state)
        assert session.get(f"{api.url}/echo").status_code == 200
        old = session.token["refresh_token"]
        session.refresh_token()
        assert session.token["refresh_token"] != old
        assert session.get(f"{api.url}/echo").status_code == 200
        # It was bound to the key, and is gone.
        with pytest.raises(OAuthError, match="invalid_grant"):
            session.refresh_token(refresh_token=old)


def test_a_token_without_a_proof_is_not_to_be_had() -> None:
    with run(AuthorizationServer()) as issuer:
        response = requests.post(
            f"{issuer.url}/token",
            data={"grant_type": "client_credentials"},
            auth=("client", "secret"),
            timeout=PATIENCE,
        )
    assert response.status_code == 400


def test_metadata_and_keys_are_where_clients_look() -> None:
    with run(AuthorizationServer()) as issuer:
        well_known = "/.well-known/oauth-authorization-server"
        metadata = requests.get(issuer.url + well_known, timeout=PATIENCE).json()
        keys = requests.get(metadata["jwks_uri"], timeout=PATIENCE).json()
    assert metadata["issuer"] == issuer.url
    assert "ES256" in metadata["dpop_signing_alg_values_supported"]
    assert keys == issuer.jwks


def test_other_clients_can_be_named() -> None:
    mine = MemoryClient(client_id="mine", client_secret="s3", audiences=(AUDIENCE,))
    with (
        run(AuthorizationServer(clients=(mine,))) as issuer,
        OAuth2Session(
            "mine",
            "s3",
            dpop=ProofSigner.generate(),
            token_endpoint=f"{issuer.url}/token",
        ) as session,
    ):
        assert session.fetch_token()["token_type"] == "DPoP"
    assert "s3" not in repr(mine)
    assert not mine.check_client_secret("wrong")
    assert not MemoryClient(client_id="app").check_client_secret("")
