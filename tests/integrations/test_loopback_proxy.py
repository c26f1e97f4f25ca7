"""Plain http to this machine, where the environment names a proxy (RFC 9449 s. 2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import anyio
import httpx2
import pytest
import requests

from dpop_ext import ProofSigner
from dpop_ext.errors import WrongServerError
from dpop_ext.integrations import authlib_httpx, requests_client
from dpop_ext.integrations.requests_client.direct import DirectSession
from tests.integrations.scripted_server import Answer, ScriptedServer, running_server

TOKEN = {"access_token": "t", "token_type": "DPoP"}


@pytest.fixture
def resource() -> Iterator[ScriptedServer]:
    with running_server() as server:
        yield server


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    """Anything that is sent to it has left this machine."""
    with running_server() as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, server.url)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield server


def by_requests(url: str) -> None:
    with requests_client.OAuth2Session(
        token=TOKEN, dpop=ProofSigner.generate()
    ) as session:
        session.get(url)


def by_prepared_request(url: str) -> None:
    with requests_client.OAuth2Session(
        token=TOKEN, dpop=ProofSigner.generate()
    ) as session:
        auth = requests_client.DPoPAuth(session.dpop, "t")
        session.send(requests.Request("GET", url, auth=auth).prepare())


def by_httpx(url: str) -> None:
    with authlib_httpx.OAuth2Client(token=TOKEN, dpop=ProofSigner.generate()) as client:
        client.get(url)


def by_async_httpx(url: str) -> None:
    async def get() -> None:
        async with authlib_httpx.AsyncOAuth2Client(
            token=TOKEN, dpop=ProofSigner.generate()
        ) as client:
            await client.get(url)

    anyio.run(get)


@pytest.mark.requirement("G-1")
@pytest.mark.parametrize(
    "get", [by_requests, by_prepared_request, by_httpx, by_async_httpx]
)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_no_token_leaves_this_machine_through_a_proxy_of_the_environment(
    get: Callable[[str], None],
    host: str,
    resource: ScriptedServer,
    proxy: ScriptedServer,
) -> None:
    get(resource.url.replace("127.0.0.1", host))
    assert proxy.received == []
    assert [request.authorization for request in resource.received] == ["DPoP t"]


@pytest.mark.requirement("G-1")
@pytest.mark.parametrize(
    "get", [by_requests, by_prepared_request, by_httpx, by_async_httpx]
)
@pytest.mark.parametrize(
    "host", ["127.1.2.3", "[::1]", "[0:0::1]", "[::ffff:127.0.0.1]", "[::FFFF:7F00:1]"]
)
def test_whichever_way_its_address_is_written(
    get: Callable[[str], None], host: str, proxy: ScriptedServer
) -> None:
    # Nobody listens there.
    with pytest.raises((requests.ConnectionError, httpx2.ConnectError)):
        get(f"http://{host}:1/")
    assert proxy.received == []


@pytest.mark.parametrize("kind", [requests_client.Discovery, authlib_httpx.Discovery])
def test_nor_is_a_proxy_asked_what_a_server_of_this_machine_says_about_itself(
    kind: type[requests_client.Discovery],
    resource: ScriptedServer,
    proxy: ScriptedServer,
) -> None:
    with pytest.raises(WrongServerError):
        kind().servers(issuer=resource.url)
    assert (len(resource.received), proxy.received) == (1, [])


def test_asyncio_asks_none_either(
    resource: ScriptedServer, proxy: ScriptedServer
) -> None:
    async def find() -> None:
        await authlib_httpx.AsyncDiscovery().servers(issuer=resource.url)

    with pytest.raises(WrongServerError):
        anyio.run(find)
    assert (len(resource.received), proxy.received) == (1, [])


def test_a_redirect_on_this_machine_goes_through_none_either(
    resource: ScriptedServer, proxy: ScriptedServer
) -> None:
    resource.play(Answer(307, [("Location", "/second")]), Answer())
    by_requests(f"{resource.url}/first")
    assert proxy.received == []
    assert [request.target for request in resource.received] == ["/first", "/second"]


def test_nor_does_what_is_asked_before_a_body_that_is_sent_once(
    resource: ScriptedServer, proxy: ScriptedServer
) -> None:
    with requests_client.OAuth2Session(
        token=TOKEN, dpop=ProofSigner.generate()
    ) as session:
        auth = requests_client.DPoPAuth(session.dpop, "t")
        once = requests.Request("POST", resource.url, data=iter([b"x"]), auth=auth)
        session.send(once.prepare())
    assert proxy.received == []
    assert [request.method for request in resource.received][-1] == "POST"
    assert len(resource.received) > 1


def test_other_hosts_have_the_proxy_that_the_environment_names_for_them(
    proxy: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with DirectSession() as session:
        session.get("http://api.example/a")
        assert len(proxy.received) == 1
        for exceptions in ("api.example", "*"):
            monkeypatch.setenv("no_proxy", exceptions)
            settings = session.merge_environment_settings(
                "http://api.example/a", {}, None, None, None
            )
            assert "http" not in settings["proxies"]


def test_a_proxy_that_the_session_is_given_is_used(
    resource: ScriptedServer, proxy: ScriptedServer
) -> None:
    with DirectSession() as session:
        session.proxies = {"http": proxy.url}
        session.get(resource.url)
    with authlib_httpx.OAuth2Client(
        token=TOKEN, dpop=ProofSigner.generate(), proxy=proxy.url
    ) as client:
        client.get(resource.url)
    for scheme in ("all", "http"):
        given = {f"{scheme}://": httpx2.HTTPTransport(proxy=proxy.url)}
        with authlib_httpx.OAuth2Client(
            token=TOKEN, dpop=ProofSigner.generate(), mounts=given
        ) as client:
            client.get(resource.url)
    assert (len(proxy.received), resource.received) == (4, [])


def test_a_transport_that_is_given_counts_more_than_a_proxy_of_the_environment(
    resource: ScriptedServer, proxy: ScriptedServer
) -> None:
    given = {"all://": httpx2.HTTPTransport()}
    with authlib_httpx.OAuth2Client(
        token=TOKEN, dpop=ProofSigner.generate(), mounts=given
    ) as client:
        client.get(resource.url)
    assert (len(resource.received), proxy.received) == (1, [])
