"""Authorization servers whose answers have no end, or grow (:rfc:`6749#section-5`)."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import anyio
import httpx
import httpx2
import pytest
import requests

from dpop_ext import ProofSigner, ServerAnswerError
from dpop_ext.client import Servers, time_limit
from dpop_ext.client.answer_limit import MAX_REFUSAL, MAX_TOKEN_ANSWER
from dpop_ext.client.server_metadata import ServerMetadata
from dpop_ext.integrations import (
    authlib_httpx,
    httpx2_client,
    httpx_client,
    requests_client,
)
from dpop_ext.integrations.requests_client import reply
from tests.client.metadata import as_metadata
from tests.integrations.hostile_site import FOR_EVER, Site, http
from tests.patience import PATIENCE

TOKEN = {"access_token": "t", "token_type": "DPoP", "expires_in": 300}
#: Bytes that 100 MB are compressed to.
BOMB = gzip.compress(bytes(100_000_000))
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNK = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
DEADLINE = 0.2

#: Asks for a token (or, if told, pushes a request), and returns the token.
Ask = Callable[..., Any]


def _options(site: Site) -> dict[str, Any]:
    document = as_metadata(
        issuer=site.issuer,
        token_endpoint=f"{site.issuer}/token",
        authorization_endpoint=f"{site.issuer}/authorize",
        pushed_authorization_request_endpoint=f"{site.issuer}/par",
        token_endpoint_auth_methods_supported=["none"],
    )
    found = ServerMetadata.of_document(document, issuer=site.issuer)
    return {
        "servers": Servers(authorization=found),
        "client_id": "c",
        "dpop": ProofSigner.generate(),
        "redirect_uri": "https://client.example/cb",
    }


def _ask_blocking(
    kind: Any,
    site: Site,
    *,
    push: bool = False,
    end: str | None = None,
    deadline: float = PATIENCE,
) -> Any:
    with kind.for_servers(**_options(site)) as session:
        session.token_deadline = deadline
        session.timeout = PATIENCE  # of httpx: five seconds, if it is not told
        if end is not None:
            return getattr(session, end)(f"{site.issuer}/end", token="t").json()
        if push:
            return session.start_authorization()
        return session.fetch_token(code="c", grant_type="authorization_code")


def by_requests(site: Site, **options: Any) -> Any:
    return _ask_blocking(requests_client.OAuth2Session, site, **options)


def by_httpx(site: Site, **options: Any) -> Any:
    return _ask_blocking(authlib_httpx.OAuth2Client, site, **options)


def by_async_httpx(
    site: Site,
    *,
    push: bool = False,
    end: str | None = None,
    deadline: float = PATIENCE,
) -> Any:
    async def ask() -> Any:
        kind: Any = authlib_httpx.AsyncOAuth2Client
        async with kind.for_servers(**_options(site)) as session:
            session.token_deadline = deadline
            session.timeout = PATIENCE
            if end is not None:
                answer = await getattr(session, end)(f"{site.issuer}/end", token="t")
                return answer.json()
            if push:
                return await session.start_authorization()
            return await session.fetch_token(code="c", grant_type="authorization_code")

    return anyio.run(ask)


def by_requests_auth(site: Site) -> Any:
    auth = requests_client.DPoPTokenAuth(ProofSigner.generate())
    return requests.post(
        site.issuer, data={"a": "b"}, auth=auth, timeout=PATIENCE
    ).json()


def by_httpx_auth(site: Site) -> Any:
    auth = httpx_client.DPoPTokenAuth(ProofSigner.generate())
    return httpx.post(site.issuer, data={"a": "b"}, auth=auth, timeout=PATIENCE).json()


SESSIONS = [by_requests, by_httpx, by_async_httpx]


@pytest.mark.parametrize("ask", [*SESSIONS, by_requests_auth, by_httpx_auth])
def test_a_token_response_is_read_up_to_its_limit(site: Site, ask: Ask) -> None:
    content = json.dumps(TOKEN).encode()
    site.answers(http(content.ljust(MAX_TOKEN_ANSWER)))
    assert ask(site)["access_token"] == "t"
    assert "\naccept-encoding: identity\r" in site.asked[0].lower()
    site.answers(http(content.ljust(MAX_TOKEN_ANSWER + 1)))
    with pytest.raises(ServerAnswerError, match="too long"):
        ask(site)
    site.answers(CHUNKED, then=CHUNK * 4)
    with pytest.raises(ServerAnswerError, match="too long"):
        ask(site)


@pytest.mark.parametrize("ask", [*SESSIONS, by_requests_auth, by_httpx_auth])
@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request"])
def test_a_compressed_token_response_is_not_unpacked(
    site: Site, ask: Ask, status: str
) -> None:
    site.answers(http(BOMB, "Content-Encoding: gzip", status=status))
    tracemalloc.start()
    try:
        with pytest.raises(ServerAnswerError, match="compressed"):
            ask(site)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10_000_000


@pytest.mark.parametrize("ask", SESSIONS)
def test_a_token_response_in_deep_brackets_is_given_up(site: Site, ask: Ask) -> None:
    site.answers(http(b"[" * 100_000))
    with pytest.raises(ServerAnswerError, match="nested too deeply"):
        ask(site)


@pytest.mark.parametrize("ask", SESSIONS)
@pytest.mark.parametrize(
    "times",
    [
        b'"expires_in": "x"',
        b'"expires_in": [1]',
        b'"expires_in": 1e400',
        b'"expires_at": {}',
        b'"expires_at": "x"',
        b'"expires_at": NaN',
        b'"expires_in": NaN',
    ],
)
def test_a_token_response_with_times_that_are_none_is_given_up(
    site: Site, ask: Ask, times: bytes
) -> None:
    content = b'{"access_token": "t", "token_type": "DPoP", %s}'
    site.answers(http(content % times))
    with pytest.raises(ServerAnswerError, match="are no times"):
        ask(site)
    site.answers(http(content % b'"expires_at": null, "expires_in": "300"'))
    assert isinstance(ask(site)["expires_at"], int)


@pytest.mark.parametrize("ask", SESSIONS)
@pytest.mark.parametrize(
    "start", [b"HTTP/1.1 200 OK\r\nX: ", http(b"{")[:-1].replace(b": 1", b": 99")]
)
def test_a_token_response_byte_by_byte_is_given_up(
    site: Site, ask: Ask, start: bytes
) -> None:
    site.answers(start, then=b"a")
    with pytest.raises(ServerAnswerError, match="took too long"):
        ask(site, deadline=DEADLINE)


@pytest.mark.parametrize("ask", [by_requests, by_httpx])
def test_a_server_that_lets_too_many_threads_wait_is_not_asked(
    site: Site, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time_limit, "MAX_LEFT", 0)
    site.answers(http(json.dumps(TOKEN).encode()))
    with pytest.raises(ServerAnswerError, match="took too long"):
        ask(site)
    assert not site.asked


@pytest.mark.parametrize("ask", SESSIONS)
def test_the_answer_to_a_pushed_request_has_the_same_limits(
    site: Site, ask: Ask
) -> None:
    site.answers(http(b" " * MAX_TOKEN_ANSWER + b"{}", status="201 Created"))
    with pytest.raises(ServerAnswerError, match="too long"):
        ask(site, push=True)
    site.answers(http(BOMB, "Content-Encoding: gzip", status="201 Created"))
    with pytest.raises(ServerAnswerError, match="compressed"):
        ask(site, push=True)
    site.answers(b"HTTP/1.1 201 Created\r\nX: ", then=b"a")
    with pytest.raises(ServerAnswerError, match="took too long"):
        ask(site, push=True, deadline=DEADLINE)


@pytest.mark.parametrize("ask", SESSIONS)
@pytest.mark.parametrize("end", ["revoke_token", "introspect_token"])
def test_an_answer_of_another_endpoint_has_the_same_limits(
    site: Site, ask: Ask, end: str
) -> None:
    site.answers(http(b"{}".ljust(MAX_TOKEN_ANSWER)))
    assert ask(site, end=end) == {}
    assert "\naccept-encoding: identity\r" in site.asked[0].lower()
    site.answers(CHUNKED, then=CHUNK * 4)
    with pytest.raises(ServerAnswerError, match="too long"):
        ask(site, end=end)
    site.answers(http(BOMB, "Content-Encoding: gzip"))
    with pytest.raises(ServerAnswerError, match="compressed"):
        ask(site, end=end)
    for start in (b"HTTP/1.1 200 OK\r\nX: ", CHUNKED + b"1;"):
        site.answers(start, then=b"a")
        with pytest.raises(ServerAnswerError, match="took too long"):
            ask(site, end=end, deadline=DEADLINE)


def get_by_requests(url: str) -> Any:
    auth = requests_client.DPoPAuth(ProofSigner.generate(), "t")
    return requests.get(url, auth=auth, timeout=PATIENCE)


def get_by_httpx(url: str) -> Any:
    auth = httpx_client.DPoPAuth(ProofSigner.generate(), "t")
    return httpx.get(url, auth=auth, timeout=PATIENCE)


def get_by_async_httpx(url: str) -> Any:
    async def get() -> Any:
        auth = httpx2_client.DPoPAuth(ProofSigner.generate(), "t")
        async with httpx2.AsyncClient(timeout=PATIENCE) as client:
            return await client.get(url, auth=auth)

    return anyio.run(get)


DEMAND = ('WWW-Authenticate: DPoP error="use_dpop_nonce"', "DPoP-Nonce: n1")


@pytest.mark.parametrize("get", [get_by_requests, get_by_httpx, get_by_async_httpx])
def test_a_refusal_is_not_read_for_ever_before_the_next_attempt(
    site: Site, get: Callable[[str], Any]
) -> None:
    head = "\r\n".join(["HTTP/1.1 401 Unauthorized", *DEMAND, ""]).encode()
    for rest in (
        b"Content-Length: 9999999999\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n",
    ):
        site.answers(head + rest, http(b"ok"), then=CHUNK)
        response = get(site.issuer)
        assert (response.status_code, response.content) == (200, b"ok")
        assert response.history[0].content == b""


@pytest.mark.parametrize("follow", [True, False])
def test_a_redirect_is_not_read_for_ever_before_it_is_followed(
    site: Site, follow: bool
) -> None:
    head = f"HTTP/1.1 302 Found\r\nLocation: {site.issuer}/x\r\n".encode()
    auth = requests_client.DPoPAuth(ProofSigner.generate(), "t")
    for rest in (
        b"Content-Length: 9999999999\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n",
        b"\r\n",
    ):
        site.answers(head + rest, http(b"ok"), then=CHUNK)
        options: Any = {"auth": auth, "allow_redirects": follow, "timeout": PATIENCE}
        response = requests.get(site.issuer, **options)
        assert (response.status_code, response.content) == (
            (200, b"ok") if follow else (302, b"")
        )
        first = [*response.history, response][0]
        assert first.content == b""
    # Says that it closes: else the next request may meet a connection that is closed.
    chunked = (
        b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhere\r\n0\r\n\r\n"
    )
    site.answers(head + chunked, http(b"ok"))
    response = requests.get(site.issuer, **options)
    assert [*response.history, response][0].content == b"here"


def test_a_redirect_without_an_end_takes_no_connection_along(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reply, "REFUSAL_TIMEOUT", DEADLINE)
    head = f"HTTP/1.1 302 Found\r\nLocation: {site.issuer}/x\r\n".encode()
    head += b"Transfer-Encoding: chunked\r\n\r\n"
    options: Any = {
        "auth": requests_client.DPoPAuth(ProofSigner.generate(), "t"),
        "timeout": PATIENCE,
    }
    with requests.Session() as session:
        one = requests.adapters.HTTPAdapter(pool_maxsize=1, pool_block=True)
        session.mount("http://", one)
        # A line before a chunk, lines after the last one, and a piece each.
        for start, then in (
            (b"1;", b"a"),
            (b"0\r\n", b"a: b\r\n"),
            (b"", b"1\r\na\r\n"),
        ):
            site.answers(head + start, http(b"ok"), then=then)
            response = session.get(site.issuer, **options)
            assert site.pieces < FOR_EVER / 3
            assert (response.status_code, response.content) == (200, b"ok")
            assert response.history[0].content == b""


@pytest.mark.parametrize("get", [get_by_requests, get_by_httpx, get_by_async_httpx])
def test_a_compressed_refusal_is_not_unpacked(
    site: Site, get: Callable[[str], Any]
) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    assert len(bomb) < MAX_REFUSAL
    fields = (*DEMAND, "Content-Encoding: gzip")
    site.answers(http(bomb, *fields, status="401 Unauthorized"), http(b"ok"))
    response = get(site.issuer)
    assert (response.content, response.history[0].content) == (b"ok", b"")
