"""Bodies that can be sent once only, at servers that demand nonces."""

from __future__ import annotations

import inspect
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx
import httpx2
import pytest
import requests
from joserfc.jwk import ECKey

from dpop_ext import ProofSigner
from dpop_ext.client import nonces
from dpop_ext.integrations import (
    authlib_httpx,
    httpx2_client,
    httpx_client,
    requests_client,
)
from dpop_ext.integrations.requests_client import rehearsal, signed_request
from dpop_ext.testing import servers
from tests.integrations.scripted_server import (
    Answer,
    Received,
    ScriptedServer,
    running_server,
)
from tests.patience import PATIENCE

TOKEN = {"access_token": "access", "token_type": "DPoP"}
PIECE, PIECES = b"x" * 4096, 64
CHALLENGE = ("WWW-Authenticate", 'DPoP error="use_dpop_nonce"')
#: Makes another method of HEAD at some servers.
OVERRIDE = {"X-HTTP-Method-Override": "DELETE"}
#: Sessions, blocking or not.
SESSIONS: dict[str, Any] = {
    "requests": requests_client.OAuth2Session,
    "httpx2": authlib_httpx.OAuth2Client,
    "asyncio": authlib_httpx.AsyncOAuth2Client,
}


def pieces() -> Iterator[bytes]:
    """A body that can be read once."""
    for _ in range(PIECES):
        yield PIECE


async def async_pieces() -> AsyncIterator[bytes]:
    for piece in pieces():
        yield piece


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with running_server() as server:
        server.script = demanding("n1")
        yield server


def demanding(nonce: str) -> Callable[[Received], Answer]:
    """Answer as one who checks proofs before routes."""

    def script(request: Received) -> Answer:
        if request.proof.claims.get("nonce") != nonce:
            return Answer(401, [CHALLENGE, ("DPoP-Nonce", nonce)])
        return Answer(201)

    return script


@pytest.fixture(params=SESSIONS)
def library(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def _of(call: Callable[[], Any]) -> Any:
    value = call()
    return await value if inspect.isawaitable(value) else value


def use(
    library: str, ec_key: ECKey, *steps: Callable[[Any], Any], **arguments: Any
) -> list[Any]:
    """Return what each step returns of one session, in one event loop."""
    make = partial(SESSIONS[library], "app", token=TOKEN, dpop=ProofSigner(ec_key))

    async def run() -> list[Any]:
        session = make(**arguments)
        results = [await _of(partial(step, session)) for step in steps]
        await _of(session.aclose if hasattr(session, "aclose") else session.close)
        return results

    return anyio.run(run)


def upload(library: str, url: str) -> Callable[[Any], Any]:
    """Return what sends the body that can be read once."""
    argument = "data" if library == "requests" else "content"
    body = async_pieces if library == "asyncio" else pieces
    fields = {"Content-Type": "application/x-stream", "X-Own": "1"} | OVERRIDE
    return lambda session: session.post(url, **{argument: body()}, headers=fields)


def sizes(server: ScriptedServer) -> list[int]:
    return [len(request.body) for request in server.received]


def test_a_large_body_travels_once(
    server: ScriptedServer, library: str, ec_key: ECKey
) -> None:
    url = f"{server.url}/upload"
    first, second = use(library, ec_key, *[upload(library, url)] * 2)
    assert (first.status_code, second.status_code) == (201, 201)
    # One more request, at the first upload, and no second one.
    assert sizes(server) == [0, PIECES * len(PIECE), PIECES * len(PIECE)]
    rehearsal = server.received[0]
    assert rehearsal.method == "HEAD"
    assert rehearsal.all("X-Own") == ["1"]
    assert not rehearsal.all("X-HTTP-Method-Override")
    assert not rehearsal.all("Content-Type")
    assert not rehearsal.all("Transfer-Encoding")
    assert server.nonces == [None, "n1", "n1"]
    assert len({proof.claims["jti"] for proof in server.proofs}) == 3


def test_a_body_that_can_be_sent_again_needs_no_other_request(
    server: ScriptedServer, library: str, ec_key: ECKey
) -> None:
    argument = "data" if library == "requests" else "content"
    url = f"{server.url}/upload"
    (response,) = use(library, ec_key, lambda s: s.post(url, **{argument: b"short"}))
    assert response.status_code == 201
    assert sizes(server) == [5, 5]


def test_a_server_without_nonces_is_asked_once(
    server: ScriptedServer, library: str, ec_key: ECKey
) -> None:
    server.play(
        Answer(401, [("WWW-Authenticate", 'DPoP error="invalid_dpop_proof"')]),
        Answer(201),
    )
    url = f"{server.url}/upload"
    results = use(library, ec_key, *[upload(library, url)] * 2)
    assert [response.status_code for response in results] == [201, 201]
    assert sizes(server) == [0, PIECES * len(PIECE), PIECES * len(PIECE)]


def a_route_without_head(request: Received) -> Answer:
    """Do not look at proofs, but tell strangers what would be wanted."""
    if request.method == "HEAD":
        return Answer(405, [("Set-Cookie", "own=1; Path=/")])
    if not request.all("Authorization"):
        fields = [("WWW-Authenticate", "DPoP"), ("DPoP-Nonce", "n1")]
        return Answer(401, [*fields, ("Set-Cookie", "stranger=1; Path=/")])
    return Answer(201)


def test_nothing_is_done_where_nothing_is_enforced(
    server: ScriptedServer, library: str, ec_key: ECKey
) -> None:
    server.script = a_route_without_head
    url = f"{server.url}/upload"

    def give_cookie(session: Any) -> None:
        session.cookies.set("login", "secret")

    send = upload(library, f"{url}?key=secret")
    _, response = use(library, ec_key, give_cookie, send)
    assert response.status_code == 201
    head, stranger, real = server.received
    # The method of HEAD is safe. The other request is nobody's.
    assert (head.method, len(head.body)) == ("HEAD", 0)
    assert (stranger.method, stranger.target, stranger.body) == ("POST", "/upload", b"")
    known = {name.lower() for name, _ in stranger.fields}
    assert known <= {
        *("host", "user-agent", "connection", "content-length", "accept-encoding"),
    }
    assert (len(real.body), real.proof.claims["nonce"]) == (PIECES * len(PIECE), "n1")
    assert "login=secret" in real.all("Cookie")[0]
    if library == "requests":
        # What strangers get does not replace what is known.
        assert "stranger" not in real.all("Cookie")[0]


def test_a_certificate_is_not_shown_to_ask_for_a_nonce(
    server: ScriptedServer, ec_key: ECKey, tmp_path: Path
) -> None:
    server.script = a_route_without_head
    session = requests_client.OAuth2Session(
        "app", token=TOKEN, dpop=ProofSigner(ec_key)
    )
    with session:
        # Read for https only.
        session.cert = str(tmp_path / "client.pem")
        (tmp_path / "client.pem").touch()
        session.post(f"{server.url}/upload", data=pieces())
    methods = [(request.method, len(request.body)) for request in server.received]
    body = PIECES * len(PIECE)
    assert methods == [("HEAD", 0), ("POST", body)]


def test_a_question_is_not_redirected(server: ScriptedServer, ec_key: ECKey) -> None:
    # With cookies, and with its method, as httpx follows it otherwise.
    def script(request: Received) -> Answer:
        if request.method == "HEAD":
            return Answer(405)
        return Answer(307, [("Location", f"{server.url}/other")])

    server.script = script
    auth = httpx_client.DPoPAuth(ProofSigner(ec_key), "access")
    with (
        httpx.Client(auth=auth, follow_redirects=True) as http,
        pytest.raises(httpx.ProtocolError),
    ):
        http.post(f"{server.url}/upload", content=pieces())
    assert [request.target for request in server.received] == ["/upload", "/upload"]


def test_there_is_one_request_more_at_most(
    server: ScriptedServer, library: str, ec_key: ECKey
) -> None:
    # It wants another nonce each time, and so it gets the body once, and no more.
    numbers = iter(range(9))
    server.script = lambda request: Answer(
        401, [CHALLENGE, ("DPoP-Nonce", f"n{next(numbers)}")]
    )
    url = f"{server.url}/upload"
    (response,) = use(library, ec_key, upload(library, url))
    assert response.status_code == 401
    assert sizes(server) == [0, PIECES * len(PIECE)]


def test_a_nonce_is_fetched_on_request(
    server: ScriptedServer, library: str, ec_key: ECKey
) -> None:
    url = f"{server.url}/upload"

    def prefetch(session: Any) -> Any:
        return session.prefetch_nonce(url, method="PUT")

    _, _, response = use(library, ec_key, prefetch, prefetch, lambda s: s.put(url))
    assert response.status_code == 201
    assert [request.method for request in server.received] == ["HEAD", "PUT"]
    assert server.nonces == [None, "n1"]


def test_a_nonce_is_fetched_before_a_code_is_sent(
    server: ScriptedServer, library: str, ec_key: ECKey
) -> None:
    def script(request: Received) -> Answer:
        if request.proof.claims.get("nonce") != "n1":
            body = b'{"error": "use_dpop_nonce"}'
            return Answer(400, [("DPoP-Nonce", "n1")], body)
        return Answer(body=b'{"access_token": "b", "token_type": "DPoP"}')

    server.script = script
    url = f"{server.url}/token"
    use(
        library,
        ec_key,
        lambda session: session.prefetch_nonce(),
        lambda session: session.prefetch_nonce(),
        lambda session: session.fetch_token(code="c-1"),
        token_endpoint=url,
    )
    forms = [request.form for request in server.received]
    assert ["code" in form for form in forms] == [False, True]
    assert server.nonces == [None, "n1"]


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let requests wait as long as a machine under load takes for the first answer."""
    for module in (nonces, rehearsal, signed_request):
        monkeypatch.setattr(module, "FIRST_ANSWER_WAIT", 30.0)


@pytest.mark.usefixtures("patient")
def test_uploads_at_once_fetch_one_nonce(server: ScriptedServer, ec_key: ECKey) -> None:
    count = 8
    signer = ProofSigner(ec_key)
    start = threading.Barrier(count)
    statuses: list[int] = []

    def run() -> None:
        session = requests_client.OAuth2Session("app", token=TOKEN, dpop=signer)
        with session:
            start.wait(PATIENCE)
            answer = session.post(f"{server.url}/upload", data=pieces())
            statuses.append(answer.status_code)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [201] * count
    assert len(server.received) == count + 1


@pytest.mark.parametrize(
    ("client", "auth"),
    [
        (httpx.Client, httpx_client.DPoPAuth),
        (httpx2.Client, httpx2_client.DPoPAuth),
    ],
)
def test_single_requests_of_httpx_do_it_too(
    server: ScriptedServer, ec_key: ECKey, client: Any, auth: Any
) -> None:
    with client(auth=auth(ProofSigner(ec_key), "access")) as http:
        assert http.post(f"{server.url}/upload", content=pieces()).status_code == 201
    assert sizes(server) == [0, PIECES * len(PIECE)]


def test_single_requests_of_requests_are_told_to(
    server: ScriptedServer, ec_key: ECKey
) -> None:
    auth = requests_client.DPoPAuth(ProofSigner(ec_key), "access")
    url = f"{server.url}/upload"
    with requests.Session() as session:
        auth.prefetch_nonce(session, url, timeout=PATIENCE)
        auth.prefetch_nonce(session, url, timeout=PATIENCE)
        answer = session.post(url, data=pieces(), auth=auth, timeout=PATIENCE)
    assert answer.status_code == 201
    assert sizes(server) == [0, PIECES * len(PIECE)]


def test_our_own_servers_do_nothing_but_supply_a_nonce(ec_key: ECKey) -> None:
    issuer = servers.AuthorizationServer(nonces=True)
    with (
        servers.run(issuer),
        servers.run(servers.ResourceServer(issuer, nonces=True)) as api,
    ):
        token_url = f"{issuer.url}/token"
        with requests_client.OAuth2Session(
            "client", "secret", dpop=ProofSigner(ec_key), token_endpoint=token_url
        ) as session:
            session.prefetch_nonce()
            session.fetch_token()
            answer = session.post(f"{api.url}/echo", data=pieces())
            assert answer.json()["method"] == "POST"
            assert not answer.history
    # And those without nonces refuse it, too, as the first upload shows.
    issuer = servers.AuthorizationServer()
    with servers.run(issuer), servers.run(servers.ResourceServer(issuer)) as api:
        signer = ProofSigner(ec_key)
        with requests_client.OAuth2Session(
            "client", "secret", dpop=signer, token_endpoint=f"{issuer.url}/token"
        ) as session:
            session.fetch_token()
            assert session.post(f"{api.url}/echo", data=pieces()).status_code == 200
