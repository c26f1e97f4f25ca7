"""Authenticated answers that do not come to their end (DPoP Symmetric Profile 1.0)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import anyio
import httpx
import httpx2
import pytest
import requests

from dpop_ext import ProofSigner
from dpop_ext.client import Protection
from dpop_ext.errors import ResponseProofError
from dpop_ext.integrations import httpx2_client, httpx_client, requests_client
from tests.integrations.hostile_site import FOR_EVER, Site
from tests.integrations.protected_messages import deliver
from tests.patience import PATIENCE
from tests.resource_server.world import World

SOON = Protection(authenticated_responses=True, answer_deadline=0.2)


def by_requests(url: str, signer: ProofSigner, token: str) -> Any:
    auth = requests_client.DPoPAuth(signer, token, protection=SOON)
    return requests.get(url, auth=auth, timeout=PATIENCE)


def by_httpx(url: str, signer: ProofSigner, token: str) -> Any:
    auth = httpx_client.DPoPAuth(signer, token, protection=SOON)
    with httpx.Client(auth=auth, transport=httpx_client.DPoPTransport()) as client:
        return client.get(url)


def by_async_httpx(url: str, signer: ProofSigner, token: str) -> Any:
    auth = httpx2_client.DPoPAuth(signer, token, protection=SOON)

    async def get() -> Any:
        transport = httpx2_client.AsyncDPoPTransport()
        async with httpx2.AsyncClient(auth=auth, transport=transport) as client:
            return await client.get(url)

    return anyio.run(get)


@pytest.mark.requirement("R2154")
@pytest.mark.parametrize("get", [by_requests, by_httpx, by_async_httpx])
@pytest.mark.parametrize(
    ("start", "then"),
    [
        (b"Content-Length: 9999\r\n\r\n", b"a"),
        (b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
        # The line before a chunk, and those after the last one.
        (b"Transfer-Encoding: chunked\r\n\r\n1;", b"a"),
        (b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"a: b\r\n"),
        (b"\r\n", b"a"),
    ],
)
def test_an_authenticated_answer_byte_by_byte_is_given_up(
    site: Site, world: World, get: Callable[..., Any], start: bytes, then: bytes
) -> None:
    signer = ProofSigner(world.key, clock=world.clock)
    token = world.symmetric_token()
    deliver(world, signer, token, site.issuer)
    site.answers(b"HTTP/1.1 200 OK\r\n" + start, then=then)
    with pytest.raises(ResponseProofError, match="too slow"):
        get(site.issuer, signer, token)
    assert site.pieces < FOR_EVER / 3


@pytest.mark.parametrize("library", [requests_client, httpx_client])
def test_no_thread_goes_on_to_wait_for_it(
    site: Site, world: World, library: Any
) -> None:
    signer = ProofSigner(world.key, clock=world.clock)
    token = world.symmetric_token()
    deliver(world, signer, token, site.issuer)
    site.answers(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", then=b"a")
    session: Any = requests.Session()
    if library is httpx_client:
        session = httpx.Client(transport=httpx_client.DPoPTransport())
    with session:
        before = set(threading.enumerate())
        auth = library.DPoPAuth(signer, token, protection=SOON)
        with pytest.raises(ResponseProofError, match="too slow"):
            session.get(site.issuer, auth=auth)
        left = set(threading.enumerate()) - before
        for thread in left:
            thread.join(PATIENCE)
        assert not any(thread.is_alive() for thread in left)
        # It did not wait for the end.
        assert site.pieces < FOR_EVER / 3
