"""Authenticated answers in httpx and httpx2, over real HTTP with a proxy between."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import httpx
import httpx2
import pytest

from demo_client.proxy import Passing, meddling_proxy
from dpop_ext.client import Protection
from dpop_ext.client.exchange import Outcome
from dpop_ext.errors import ResponseProofError
from dpop_ext.integrations import authlib_httpx, httpx2_client, httpx_client
from dpop_ext.integrations.authlib_httpx import AsyncOAuth2Client, OAuth2Client
from dpop_ext.symmetric.response import MAX_ANSWER
from tests.integrations.protected_messages import (
    ANSWERS,
    BOTH,
    CHANGES,
    TIMEOUT,
    ProtectedParties,
    other_content,
    protected_messages,
)
from tests.resource_server.world import VERSION, World, ring, secret


@dataclass(kw_only=True)
class Parties(ProtectedParties):
    """What is there, and requests as the client, which may block or not."""

    module: ModuleType
    adapter: Any
    use_async: bool

    def transport(self, inner: Any = None) -> Any:
        kind = self.adapter.DPoPTransport
        plain = self.module.HTTPTransport
        if self.use_async:
            kind = self.adapter.AsyncDPoPTransport
            plain = self.module.AsyncHTTPTransport
        return kind(inner or plain(proxy=self.proxy.url))

    def send(
        self,
        method: str = "GET",
        path: str = "/open",
        *,
        protection: Protection = ANSWERS,
        transport: Any = None,
        hook: Any = None,
        **arguments: Any,
    ) -> Any:
        auth = self.adapter.DPoPAuth(
            self.signer,
            self.token,
            protection=protection,
            finish=self.outcomes.append,
        )
        options: dict[str, Any] = {
            "auth": auth,
            "transport": transport or self.transport(),
            "timeout": TIMEOUT,
            "event_hooks": {"response": [hook] if hook else []},
        }
        if not self.use_async:
            with self.module.Client(**options) as client:
                return client.request(method, self.url + path, **arguments)

        async def call() -> Any:
            async with self.module.AsyncClient(**options) as client:
                return await client.request(method, self.url + path, **arguments)

        return asyncio.run(call())

    def found(self, response: Any) -> Any:
        return self.adapter.response_authentication(response)


@pytest.fixture(params=["httpx", "httpx async", "httpx2", "httpx2 async"])
def parties(request: Any, world: World) -> Iterator[Parties]:
    name, _, mode = request.param.partition(" ")
    module, adapter = {
        "httpx": (httpx, httpx_client),
        "httpx2": (httpx2, httpx2_client),
        "authlib": (authlib_httpx.DPoPTransport.library, authlib_httpx),
    }[name]
    with protected_messages(world, use_nonces=True) as there:
        yield Parties(
            **vars(there), module=module, adapter=adapter, use_async=bool(mode)
        )


@pytest.mark.requirement("R1903", "R2162", "R2165")
def test_an_authenticated_answer_is_read_like_any_other(parties: Parties) -> None:
    for method, path, status, content in [
        ("GET", "/open", 200, b"answer"),
        ("GET", "/coded", 200, b"answer"),
        ("HEAD", "/open", 200, b""),
        ("GET", "/empty/204", 204, b""),
        ("GET", "/empty/404", 404, b""),
        ("GET", f"/long/{MAX_ANSWER}", 200, b"a" * MAX_ANSWER),
    ]:
        response = parties.send(method, path)
        assert (response.status_code, response.content) == (status, content)
        assert parties.found(response).key == "access_token"
        assert response.request.headers["DPoP"]
    sent = parties.send("POST", "/echo?a=b", content=b"body", protection=BOTH)
    assert sent.json() == {"query": "a=b", "length": 4}
    assert parties.found(parties.send(protection=Protection())) is None


@pytest.mark.requirement("T21", "R1903", "R2154", "R2161", "R2163", "R2164", "R2165")
def test_any_other_answer_is_seen_by_nobody(parties: Parties) -> None:
    seen: list[int] = []

    def hook(response: Any) -> None:
        seen.append(response.status_code)

    async def async_hook(response: Any) -> None:
        seen.append(response.status_code)

    used = async_hook if parties.use_async else hook
    assert parties.send(hook=used).content == b"answer"
    for change in CHANGES:
        parties.proxy.change_answer = change
        with pytest.raises(ResponseProofError):
            parties.send(hook=used)
    parties.proxy.change_answer = lambda message: None
    for path in (f"/long/{MAX_ANSWER + 1}", "/stream"):
        with pytest.raises(ResponseProofError):
            parties.send(path=path, hook=used)
    # The refusal for want of a nonce was proved, and no end of the exchange.
    assert seen == [200]


@pytest.mark.requirement("R2165", "R2154")
def test_without_the_transport_nothing_is_sent_and_nothing_believed(
    parties: Parties,
) -> None:
    plain = parties.module.AsyncHTTPTransport if parties.use_async else None
    transport = (plain or parties.module.HTTPTransport)()
    with pytest.raises(ValueError, match="DPoPTransport"):
        parties.send(transport=transport)
    assert parties.seen == []
    answer = parties.module.Response(200, content=b"answer")
    cache = parties.module.MockTransport(lambda request: answer)
    with pytest.raises(ResponseProofError):
        parties.send(transport=cache)
    other = parties.send(protection=Protection(), transport=cache)
    assert other.content == b"answer"


@pytest.mark.requirement("R2154", "G-4")
def test_a_redirect_is_authenticated_throughout_and_stays_on_its_origin(
    parties: Parties,
) -> None:
    for status, body in ((302, b""), (307, b"content")):
        parties.seen.clear()
        response = parties.send(
            "POST",
            f"/redirect/{status}?to=/echo?a=b",
            content=b"content",
            protection=BOTH,
            follow_redirects=True,
        )
        assert response.status_code == 200
        assert parties.seen == [body]
        assert [parties.found(each) for each in (*response.history, response)]
        assert all(map(parties.found, response.history))
    with meddling_proxy() as elsewhere:
        path = f"/redirect/302?to={elsewhere.url}/"
        with pytest.raises(ResponseProofError, match="redirect"):
            parties.send(path=path, follow_redirects=True)
        assert parties.found(parties.send(path=path))


@pytest.mark.requirement("R2166")
def test_a_conditional_request_is_refused(parties: Parties) -> None:
    fields = {"If-None-Match": '"1"'}
    with pytest.raises(ValueError, match="conditional"):
        parties.send(headers=fields)
    assert parties.seen == []
    free = parties.send(headers=fields, protection=Protection())
    assert free.status_code == 200


@pytest.mark.requirement("R2154", "U-1")
def test_an_inner_transport_that_repeats_a_request_sends_a_new_proof(
    parties: Parties,
) -> None:
    proofs: list[str] = []

    def note(message: Passing) -> None:
        proofs.append(dict(message.fields)["DPoP"])

    parties.proxy.change_request = note
    module = parties.module

    class Twice(module.BaseTransport):  # type: ignore[name-defined]
        def __init__(self) -> None:
            self.inner = module.HTTPTransport(proxy=parties.proxy.url)

        def handle_request(self, request: Any) -> Any:
            self.inner.handle_request(request).read()
            return self.inner.handle_request(request)

        def close(self) -> None:
            self.inner.close()

    class AsyncTwice(module.AsyncBaseTransport):  # type: ignore[name-defined]
        def __init__(self) -> None:
            self.inner = module.AsyncHTTPTransport(proxy=parties.proxy.url)

        async def handle_async_request(self, request: Any) -> Any:
            await (await self.inner.handle_async_request(request)).aread()
            return await self.inner.handle_async_request(request)

        async def aclose(self) -> None:
            await self.inner.aclose()

    parties.send()
    proofs.clear()
    inner = AsyncTwice() if parties.use_async else Twice()
    response = parties.send(transport=parties.transport(inner))
    assert parties.found(response)
    assert len(proofs) == len(set(proofs)) == 2


@pytest.mark.requirement("R2154", "R1506")
def test_a_stale_key_fails_closed_and_calls_for_a_refresh(parties: Parties) -> None:
    parties.send()
    parties.seen.clear()
    parties.world.keyring.replace(ring(secret(VERSION, "revoked")))
    with pytest.raises(ResponseProofError):
        parties.send("POST")
    assert parties.outcomes[-1] == Outcome(refresh_due=True)
    with pytest.raises(ResponseProofError, match="no key"):
        parties.send("POST")
    assert parties.seen == []


@pytest.mark.requirement("R1903")
@pytest.mark.parametrize("parties", ["authlib", "authlib async"], indirect=True)
def test_a_client_of_authlib_authenticates_answers(parties: Parties) -> None:
    parties.signer.protection = ANSWERS
    token = {"access_token": parties.token, "token_type": "DPoP"}
    options: dict[str, Any] = {
        "dpop": parties.signer,
        "token": token,
        "transport": parties.transport(),
        "timeout": TIMEOUT,
    }

    async def call() -> Any:
        async with AsyncOAuth2Client("client", **options) as client:
            return await client.get(f"{parties.url}/open")

    def send() -> Any:
        if parties.use_async:
            return asyncio.run(call())
        with OAuth2Client("client", **options) as client:
            return client.get(f"{parties.url}/open")

    assert parties.found(send())
    parties.proxy.change_answer = other_content
    options["transport"] = parties.transport()
    with pytest.raises(ResponseProofError):
        send()
