"""How documents are fetched by each HTTP library: :rfc:`8414`, :rfc:`9728`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import anyio
import httpx2
import pytest
import requests

from dpop_ext.client import Servers
from dpop_ext.client.discovery import MAX_DOCUMENT
from dpop_ext.errors import DiscoveryError
from dpop_ext.integrations import authlib_httpx
from dpop_ext.integrations.requests_client import Discovery
from tests.client.driving import ISSUER
from tests.client.metadata import as_metadata
from tests.integrations.hostile_site import Site, http

#: What belongs to a client, and not to the servers that it looks for.
OWN = {"Authorization": "Bearer mine", "X-Api-Key": "mine"}


def by_requests(issuer: str, **options: Any) -> Servers:
    with requests.Session() as session:
        session.headers.update(OWN)
        session.cookies.set("mine", "mine")
        session.params = {"mine": "mine"}
        session.auth = ("mine", "mine")
        return Discovery(session, **options).servers(issuer=issuer)


def by_httpx(issuer: str, **options: Any) -> Servers:
    own: Any = {"headers": OWN, "cookies": {"mine": "mine"}, "params": {"mine": "mine"}}
    with httpx2.Client(**own, auth=("mine", "mine")) as http:
        return authlib_httpx.Discovery(http, **options).servers(issuer=issuer)


def by_async_httpx(issuer: str, **options: Any) -> Servers:
    own: Any = {"headers": OWN, "cookies": {"mine": "mine"}, "params": {"mine": "mine"}}

    async def find() -> Servers:
        async with httpx2.AsyncClient(**own, auth=("mine", "mine")) as http:
            discovery = authlib_httpx.AsyncDiscovery(http, **options)
            return await discovery.servers(issuer=issuer)

    return anyio.run(find)


@pytest.fixture(params=[by_requests, by_httpx, by_async_httpx])
def find(request: pytest.FixtureRequest) -> Callable[..., Servers]:
    found: Callable[..., Servers] = request.param
    return found


def document(issuer: str) -> bytes:
    return json.dumps(as_metadata()).replace(ISSUER, issuer).encode()


def test_nothing_of_the_client_goes_to_servers_that_are_looked_for(
    site: Site, find: Callable[..., Servers]
) -> None:
    site.answers(http(document(site.issuer)))
    assert find(site.issuer).authorization.issuer == site.issuer
    (asked,) = site.asked
    assert asked.startswith("GET /.well-known/oauth-authorization-server HTTP/1.1\r\n")
    assert "mine" not in asked
    assert "authorization:" not in asked.lower()
    assert "cookie" not in asked.lower()


def test_nothing_is_asked_of_a_place_that_is_not_permitted(
    site: Site, find: Callable[..., Servers]
) -> None:
    site.answers(http(document(site.issuer)))
    with pytest.raises(DiscoveryError, match="not permitted"):
        find(site.issuer, permit=lambda url: False)
    assert site.asked == []
    told: list[str] = []

    def note(url: str) -> bool:
        told.append(url)
        return True

    find(site.issuer, permit=note)
    well_known = f"{site.issuer}/.well-known/oauth-authorization-server"
    assert told[:2] == [well_known, f"{site.issuer}/token"]
    with pytest.raises(DiscoveryError, match="not permitted"):
        find(site.issuer, permit=lambda url: not url.endswith("/token"))


@pytest.mark.parametrize(
    "start",
    [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"],
)
def test_a_server_that_sends_byte_by_byte_is_given_up(
    site: Site,
    find: Callable[..., Servers],
    start: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("requests_client", "httpx_auth"):
        name = f"dpop_ext.integrations.{module}.discovery.FETCH_TIMEOUT"
        # In which a connection, at least, is there.
        monkeypatch.setattr(name, 1)
    site.answers(start, then=b"a")
    with pytest.raises(DiscoveryError, match="took too long"):
        find(site.issuer)


def test_the_content_of_a_redirect_is_not_waited_for(
    site: Site, find: Callable[..., Servers], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("requests_client", "httpx_auth"):
        name = f"dpop_ext.integrations.{module}.discovery.FETCH_TIMEOUT"
        monkeypatch.setattr(name, 1)
    start = b"HTTP/1.1 302 Found\r\nLocation: /else\r\nContent-Length: 9999\r\n\r\n"
    site.answers(start, then=b"a")
    with pytest.raises(DiscoveryError) as caught:
        find(site.issuer)
    assert "took too long" not in str(caught.value)


def test_neither_redirects_nor_compressed_nor_long_documents_are_read(
    site: Site, find: Callable[..., Servers]
) -> None:
    content = document(site.issuer)
    site.answers(http(b"", f"Location: {site.issuer}/else", status="302 Found"))
    with pytest.raises(DiscoveryError):
        find(site.issuer)
    assert not any("/else" in asked for asked in site.asked)
    site.answers(http(content, "Content-Encoding: gzip"))
    with pytest.raises(DiscoveryError, match="compressed"):
        find(site.issuer)
    site.answers(http(content + b" " * MAX_DOCUMENT))
    with pytest.raises(DiscoveryError, match="too long"):
        find(site.issuer)
