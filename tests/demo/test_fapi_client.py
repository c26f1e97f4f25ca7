"""A client that finds out by itself what the demo servers of the FAPI profile want."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
import requests
from anyio import to_thread
from authlib.integrations.base_client import OAuthError
from joserfc.jwk import ECKey

from demo_server import demo_data
from demo_server.supervisor import DemoServer
from dpop_ext.client import AuthorizationRequest, Servers
from dpop_ext.errors import (
    OtherIssuerError,
    UnsupportedServerError,
    WrongServerError,
)
from dpop_ext.integrations import authlib_httpx
from dpop_ext.integrations.bundle_stores import FileBundle
from dpop_ext.integrations.requests_client import Discovery, OAuth2Session
from tests.demo.fapi import FapiClient
from tests.patience import PATIENCE


@pytest.fixture(scope="module")
def person(fapi_server: DemoServer) -> FapiClient:
    """Who owns the client, and sits at the browser."""
    return FapiClient(fapi_server, ECKey.generate_key("P-256"))


@pytest.fixture(scope="module")
def servers(fapi_server: DemoServer) -> Servers:
    return Discovery().servers(resource=fapi_server.rs_url)


def agree(person: FapiClient, request: AuthorizationRequest) -> str:
    """Return where the browser comes back to."""
    answer = person.decide(request.url.removeprefix(person.server.as_url))
    return answer.headers["Location"]


def test_an_answer_without_a_token_leads_to_the_servers(
    fapi_server: DemoServer, servers: Servers
) -> None:
    url = f"{fapi_server.rs_url}/api/accounts"
    assert Discovery().challenged(requests.get(url, timeout=PATIENCE)) == servers
    with httpx2.Client() as http:
        discovery = authlib_httpx.Discovery(http)
        assert discovery.challenged(http.get(url)) == servers
    with pytest.raises(WrongServerError):
        Discovery().servers(resource=fapi_server.rs_url, issuer="https://as.example")


@pytest.mark.requirement("F-8", "F-9", "G-5")
@pytest.mark.parametrize("session_class", [OAuth2Session, authlib_httpx.OAuth2Client])
def test_a_session_is_made_of_what_the_servers_say(
    servers: Servers, person: FapiClient, tmp_path: Path, session_class: Any
) -> None:
    path = tmp_path / "bundle"
    arguments: dict[str, Any] = {
        "client_key": person.client_key,
        "profile": "fapi2",
        "redirect_uri": person.redirect_uri,
    }
    accounts = f"{person.server.rs_url}/api/accounts"
    session = session_class.for_servers(
        servers, person.client_id, bundle=FileBundle(path), **arguments
    )
    request = session.start_authorization(scope="accounts")
    assert "scope" not in request.url
    location = agree(person, request)
    session.close()

    # In another process, which has what the first one kept.
    session = session_class.for_servers(
        servers, person.client_id, bundle=FileBundle(path), **arguments
    )
    kept = AuthorizationRequest.load(request.dump())
    session.finish_authorization(kept, location)
    assert session.get(accounts).json()["owner"] == demo_data.USERNAME
    assert FileBundle(path).token == session.token
    with pytest.raises(OtherIssuerError):
        session_class.for_servers(
            servers, "other", bundle=FileBundle(path), **arguments
        )
    before = session.token["access_token"]
    session.refresh_token()
    assert session.token["access_token"] != before
    assert session.get(accounts).status_code == 200
    # A code is good once, also for whoever has the key.
    with pytest.raises(OAuthError, match="invalid_grant"):
        session.finish_authorization(kept, location)
    session.close()


async def run_flow(person: FapiClient) -> tuple[Any, Any]:
    discovery = authlib_httpx.AsyncDiscovery()
    servers = await discovery.servers(resource=person.server.rs_url)
    async with authlib_httpx.AsyncOAuth2Client.for_servers(
        servers,
        person.client_id,
        client_key=person.client_key,
        profile="fapi2",
        redirect_uri=person.redirect_uri,
    ) as session:
        request = await session.start_authorization(scope="accounts")
        location = await to_thread.run_sync(agree, person, request)
        token = await session.finish_authorization(request, location)
        return token, await session.get(f"{person.server.rs_url}/api/accounts")


@pytest.mark.requirement("F-8", "F-9", "G-5")
def test_an_asyncio_session_is_made_of_it_too(person: FapiClient) -> None:
    token, answer = anyio.run(run_flow, person)
    assert token["token_type"] == "DPoP"
    # FAPI has no symmetric keys.
    assert "cnf" not in token
    assert answer.json()["owner"] == demo_data.USERNAME


def test_a_client_without_a_key_is_not_let_in(servers: Servers) -> None:
    credentials: tuple[dict[str, Any], ...] = ({}, {"client_secret": "secret"})
    for arguments in credentials:
        with pytest.raises(UnsupportedServerError):
            OAuth2Session.for_servers(servers, "app", profile="fapi2", **arguments)
        if arguments:
            with pytest.raises(UnsupportedServerError):
                OAuth2Session.for_servers(servers, "app", **arguments)
