from __future__ import annotations

import asyncio
import io
import pickle
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import anyio.lowlevel
import anyio.to_thread
import httpx
import httpx2
import pytest
from joserfc.jwk import ECKey

from dpop_ext.client import Protection
from dpop_ext.client.exchange import Outcome
from dpop_ext.client.signer import ProofSigner
from dpop_ext.core.policy import RFC9449
from dpop_ext.core.proof import parse_proof, verify_proof
from dpop_ext.core.request_digest import content_digest, query_digest
from dpop_ext.core.target import request_url
from dpop_ext.integrations import httpx2_client, httpx_client
from tests.conftest import Clock
from tests.integrations.hostile_site import Site, http
from tests.integrations.scripted_server import (
    Answer,
    Received,
    ScriptedServer,
    running_server,
)
from tests.patience import PATIENCE

OK = Answer(body=b'{"ok": true}')
NONCE_DEMAND = ("WWW-Authenticate", 'DPoP error="use_dpop_nonce", algs="ES256"')
INVALID_TOKEN = Answer(401, [("WWW-Authenticate", "DPoP")])


def demand(*nonces: str) -> Answer:
    """A resource server's demand for a nonce."""
    return Answer(401, [NONCE_DEMAND, *(("DPoP-Nonce", nonce) for nonce in nonces)])


def as_nonce(nonce: str) -> Answer:
    return Answer(400, [("DPoP-Nonce", nonce)], b'{"error": "use_dpop_nonce"}')


def redirect(location: str, status: int = 307) -> Answer:
    return Answer(status, [("Location", location)])


class Library:
    """httpx or httpx2, blocking or not, behind one call."""

    def __init__(
        self, module: ModuleType, adapter: ModuleType, *, use_async: bool
    ) -> None:
        self.module = module
        self.adapter = adapter
        self.use_async = use_async
        #: Arguments of the client.
        self.options: dict[str, Any] = {}

    def send(self, *requests: tuple[str, str], **kwargs: Any) -> list[Any]:
        """Send requests one after the other in one client; return the responses."""
        if not self.use_async:
            with self.module.Client(**self.options) as client:
                return [
                    client.request(method, url, **kwargs) for method, url in requests
                ]

        async def call() -> list[Any]:
            async with self.module.AsyncClient(**self.options) as client:
                return [
                    await client.request(method, url, **kwargs)
                    for method, url in requests
                ]

        return asyncio.run(call())

    def get(self, url: str, **kwargs: Any) -> Any:
        return self.send(("GET", url), **kwargs)[0]

    def post(self, url: str, **kwargs: Any) -> Any:
        return self.send(("POST", url), **kwargs)[0]


@pytest.fixture(params=["httpx", "httpx async", "httpx2", "httpx2 async"])
def library(request: pytest.FixtureRequest) -> Library:
    name, _, mode = request.param.partition(" ")
    module, adapter = {
        "httpx": (httpx, httpx_client),
        "httpx2": (httpx2, httpx2_client),
    }[name]
    return Library(module, adapter, use_async=bool(mode))


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with running_server() as server:
        yield server


@pytest.fixture
def other_server() -> Iterator[ScriptedServer]:
    with running_server() as server:
        yield server


@pytest.fixture
def signer(ec_key: ECKey, clock: Clock) -> ProofSigner:
    return ProofSigner(ec_key, clock=clock)


@pytest.fixture
def auth(signer: ProofSigner, library: Library) -> Any:
    return library.adapter.DPoPAuth(signer, "access")


def check(request: Received, server: ScriptedServer, token: str | None) -> None:
    """Verify the proof of a request as a server would."""
    verify_proof(
        parse_proof(request.dpop, max_length=RFC9449.max_length),
        method=request.method,
        url=request_url(
            scheme="http", host="", raw_target=request.target, public_url=server.url
        ),
        policy=RFC9449,
        access_token=token,
    )


def assert_all_proofs_differ(server: ScriptedServer) -> None:
    used = [proof.claims["jti"] for proof in server.proofs]
    assert len(set(used)) == len(used)


@pytest.mark.requirement("P-1")
def test_a_single_call_is_signed(
    server: ScriptedServer, library: Library, auth: Any
) -> None:
    response = library.get(f"{server.url}/me?a=b", auth=auth)
    assert response.json() == {}
    (request,) = server.received
    assert request.authorization == "DPoP access"
    check(request, server, "access")
    assert response.request.headers["DPoP"] == request.dpop
    assert "dpop" in response.request.headers


@pytest.mark.requirement("S-6", "S-7", "U-4")
@pytest.mark.parametrize(
    "target",
    [
        "",
        "?a",
        "/",
        "/a/",
        "//a//b",
        "/a%2Fb%2fc",
        "/a/../b",
        "/a/%2e%2e/b",
        "/%7Ea/~a",
        "/caf\u00e9 x",
        "/a;b=c:@!$&'()*+,",
        "/a?b=/c#d?e",
    ],
)
def test_the_proof_is_for_the_target_on_the_wire(
    server: ScriptedServer, library: Library, auth: Any, target: str
) -> None:
    library.get(server.url + target, auth=auth)
    (request,) = server.received
    check(request, server, "access")


def test_userinfo_in_the_url_is_not_in_the_proof(
    server: ScriptedServer, library: Library, auth: Any
) -> None:
    library.get(server.url.replace("://", "://user:secret@") + "/a", auth=auth)
    (request,) = server.received
    assert request.authorization == "DPoP access"
    assert request.proof.claims["htu"] == f"{server.url}/a"


@pytest.mark.requirement("G-1")
def test_nothing_is_sent_over_plain_http(library: Library, auth: Any) -> None:
    with pytest.raises(ValueError, match="https"):
        library.get("http://api.invalid/", auth=auth)


@pytest.mark.requirement("Q-10", "S-10", "U-9")
def test_three_calls_take_four_requests_when_every_answer_has_a_new_nonce(
    server: ScriptedServer, library: Library, auth: Any
) -> None:
    current = "n0"

    def script(request: Received) -> Answer:
        nonlocal current
        good = request.proof.claims.get("nonce") == current
        current = f"n{len(server.received)}"
        fields = [("DPoP-Nonce", current)]
        return Answer(200, fields) if good else Answer(401, [*fields, NONCE_DEMAND])

    server.script = script
    responses = library.send(*[("GET", server.url)] * 3, auth=auth)
    assert [response.status_code for response in responses] == [200] * 3
    assert server.nonces == [None, "n1", "n2", "n3"]
    assert_all_proofs_differ(server)


@pytest.mark.requirement("Q-15", "U-10")
def test_a_server_that_asks_for_ever_gets_two_requests(
    server: ScriptedServer, library: Library, auth: Any
) -> None:
    server.script = lambda request: demand(f"n{len(server.received)}")
    assert library.get(server.url, auth=auth).status_code == 401
    assert len(server.received) == 2


@pytest.mark.requirement("Q-15")
@pytest.mark.parametrize("nonces", [(), ("a", "b"), ("a", "a"), ("a b",), ("",)])
def test_two_or_illegal_nonce_fields_are_no_nonce(
    server: ScriptedServer, library: Library, auth: Any, nonces: tuple[str, ...]
) -> None:
    server.play(demand(*nonces))
    assert library.get(server.url, auth=auth).status_code == 401
    assert len(server.received) == 1


@pytest.mark.requirement("U-8")
def test_a_refusal_reaches_the_caller_as_it_was_sent(
    server: ScriptedServer, library: Library, auth: Any
) -> None:
    challenge = 'DPoP error="invalid_token", error_description="Expired."'
    fields = [("WWW-Authenticate", challenge), ("Content-Type", "application/json")]
    server.play(Answer(401, fields, b'{"error": "invalid_token"}'))
    response = library.get(server.url, auth=auth)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == challenge
    assert response.json() == {"error": "invalid_token"}
    with pytest.raises(library.module.HTTPStatusError) as caught:
        response.raise_for_status()
    assert caught.value.response is response


@pytest.mark.requirement("P-13")
def test_challenges_on_several_lines_are_read(
    server: ScriptedServer, library: Library, auth: Any
) -> None:
    fields = [
        ("www-authenticate", 'Bearer realm="a, b"'),
        ("dpop-nonce", "n1"),
        ("WWW-AUTHENTICATE", "Basic x, dPoP algs=ES256, error=use_dpop_nonce"),
    ]
    server.play(Answer(401, fields), OK)
    assert library.get(server.url, auth=auth).status_code == 200


@pytest.mark.requirement("G-4", "R-1", "U-1")
def test_a_transport_that_repeats_a_request_sends_a_new_proof(
    server: ScriptedServer, library: Library, auth: Any
) -> None:
    base: Any = (
        library.module.AsyncHTTPTransport
        if library.use_async
        else library.module.HTTPTransport
    )

    class Repeating(base):
        def handle_request(self, request: Any) -> Any:
            super().handle_request(request).close()
            return super().handle_request(request)

        async def handle_async_request(self, request: Any) -> Any:
            await (await super().handle_async_request(request)).aclose()
            return await super().handle_async_request(request)

    library.options["transport"] = Repeating()
    response = library.get(server.url, auth=auth)
    assert len(server.received) == 2
    assert_all_proofs_differ(server)
    assert response.request.headers["DPoP"] == server.received[-1].dpop


@pytest.mark.requirement("G-4")
def test_a_transport_that_writes_other_fields_still_signs(
    server: ScriptedServer, library: Library, auth: Any
) -> None:
    """OpenTelemetry's sets the fields of a request to a copy with one of its own."""
    base: Any = (
        library.module.AsyncHTTPTransport
        if library.use_async
        else library.module.HTTPTransport
    )

    def measured(request: Any) -> Any:
        fields = library.module.Headers(request.headers)
        fields["Traceparent"] = "00-1-2-03"
        request.headers = fields
        return request

    class Measuring(base):
        def handle_request(self, request: Any) -> Any:
            return super().handle_request(measured(request))

        async def handle_async_request(self, request: Any) -> Any:
            return await super().handle_async_request(measured(request))

    library.options["transport"] = Measuring()
    server.play(demand("n1"), OK)
    response = library.get(server.url, auth=auth)
    assert server.nonces == [None, "n1"]
    for request in server.received:
        check(request, server, "access")
        assert request.all("Traceparent") == ["00-1-2-03"]
    assert response.request.headers["DPoP"] == server.received[-1].dpop


def test_tasks_share_a_signer(server: ScriptedServer, signer: ProofSigner) -> None:
    server.script = lambda request: Answer(
        200 if request.proof.claims.get("nonce") else 401,
        [NONCE_DEMAND, ("DPoP-Nonce", "n1")],
    )
    auth = httpx2_client.DPoPAuth(signer, "access")

    async def call() -> list[httpx2.Response]:
        async with httpx2.AsyncClient(auth=auth) as client:
            return await asyncio.gather(*(client.get(server.url) for _ in range(8)))

    assert [response.status_code for response in asyncio.run(call())] == [200] * 8
    assert_all_proofs_differ(server)


def test_calls_that_wait_for_the_first_answer_take_no_thread(
    server: ScriptedServer, signer: ProofSigner
) -> None:
    """The application would wait for them: in all it has forty."""
    leave, asked = threading.Event(), threading.Event()

    def script(_request: Received) -> Answer:
        asked.set()
        assert leave.wait(PATIENCE)
        return OK

    server.script = script

    async def call() -> None:
        async with httpx2.AsyncClient(
            auth=httpx2_client.DPoPAuth(signer, "access"), timeout=PATIENCE
        ) as client:
            first = asyncio.create_task(client.get(server.url))
            assert await asyncio.to_thread(asked.wait, PATIENCE)
            others = [asyncio.create_task(client.get(server.url)) for _ in range(3)]
            for _ in range(10):
                await anyio.lowlevel.checkpoint()
            limiter = anyio.to_thread.current_default_thread_limiter()
            assert limiter.borrowed_tokens == 0
            leave.set()
            await asyncio.gather(first, *others)

    asyncio.run(call())


@pytest.mark.requirement("Q-10", "U-11")
@pytest.mark.parametrize("backend", ["asyncio", "threads"])
def test_twenty_cold_calls_at_once_take_twenty_one_requests(
    server: ScriptedServer, signer: ProofSigner, backend: str
) -> None:
    server.script = lambda request: Answer(
        200 if request.proof.claims.get("nonce") else 401,
        [NONCE_DEMAND, ("DPoP-Nonce", "n1")],
    )

    async def call() -> list[int]:
        auth = httpx2_client.DPoPAuth(signer, "access")
        async with httpx2.AsyncClient(auth=auth) as client:
            answers = await asyncio.gather(*(client.get(server.url) for _ in range(20)))
        return [answer.status_code for answer in answers]

    if backend == "asyncio":
        statuses = asyncio.run(call())
    else:
        auth = httpx_client.DPoPAuth(signer, "access")
        with httpx.Client(auth=auth) as client, ThreadPoolExecutor(20) as pool:
            answers = pool.map(client.get, [server.url] * 20)
            statuses = [answer.status_code for answer in answers]
    assert statuses == [200] * 20
    assert len(server.received) == 21


@pytest.mark.requirement("G-4", "U-1")
@pytest.mark.parametrize(
    ("status", "method", "following"),
    [
        (301, "POST", "GET"),
        (303, "PUT", "GET"),
        (307, "POST", "POST"),
        (308, "GET", "GET"),
    ],
)
def test_a_redirect_on_the_same_origin_is_signed_when_it_is_refused(
    server: ScriptedServer,
    library: Library,
    auth: Any,
    *,
    status: int,
    method: str,
    following: str,
) -> None:
    server.play(redirect("/accounts/?x=1", status), INVALID_TOKEN, OK)
    (response,) = library.send(
        (method, f"{server.url}/accounts"), auth=auth, follow_redirects=True
    )
    assert response.status_code == 200
    first, bare, signed = server.received
    check(first, server, "access")
    assert bare.all("DPoP") == bare.all("Authorization") == []
    assert (signed.method, signed.target) == (following, "/accounts/?x=1")
    assert signed.authorization == "DPoP access"
    check(signed, server, "access")


def test_a_redirect_to_a_public_page_is_not_signed(
    server: ScriptedServer, library: Library, auth: Any
) -> None:
    server.play(redirect("/public"), OK)
    response = library.get(server.url, auth=auth, follow_redirects=True)
    assert response.status_code == 200
    assert server.received[1].all("DPoP") == []
    assert len(server.received) == 2


def test_the_target_of_a_redirect_may_want_a_nonce(
    server: ScriptedServer, library: Library, auth: Any
) -> None:
    server.play(redirect("/end"), INVALID_TOKEN, demand("n1"), OK)
    response = library.post(
        f"{server.url}/start", content=b"body", auth=auth, follow_redirects=True
    )
    assert response.status_code == 200
    assert [request.body for request in server.received] == [b"body"] * 4
    assert server.received[-1].proof.claims["nonce"] == "n1"
    check(server.received[-1], server, "access")


@pytest.mark.requirement("T23", "U-25")
@pytest.mark.parametrize("nonce_first", [False, True])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_redirect_to_another_origin_takes_no_credentials_along(
    server: ScriptedServer,
    other_server: ScriptedServer,
    library: Library,
    auth: Any,
    host: str,
    *,
    nonce_first: bool,
) -> None:
    elsewhere = other_server.url.replace("127.0.0.1", host)
    answers = [demand("n1")] if nonce_first else []
    server.play(*answers, redirect(f"{elsewhere}/x", 302))
    other_server.play(INVALID_TOKEN)
    response = library.get(
        server.url, auth=auth, headers={"DPoP": "mine"}, follow_redirects=True
    )
    assert response.status_code == 401
    assert len(server.received) == 1 + nonce_first
    (request,) = other_server.received
    assert request.all("Authorization") == request.all("DPoP") == []


def test_a_redirect_that_comes_back_is_not_signed(
    server: ScriptedServer, other_server: ScriptedServer, library: Library, auth: Any
) -> None:
    server.play(redirect(f"{other_server.url}/x"), INVALID_TOKEN)
    other_server.play(redirect(f"{server.url}/back"))
    library.get(server.url, auth=auth, follow_redirects=True)
    assert len(server.received) == 2
    assert server.received[1].all("DPoP") == []


@pytest.mark.requirement("Q-14", "U-25")
def test_a_nonce_of_another_origin_is_not_taken_for_one_of_this(
    server: ScriptedServer, other_server: ScriptedServer, library: Library, auth: Any
) -> None:
    server.play(redirect(f"{other_server.url}/x"), OK)
    other_server.play(demand("theirs"))
    library.get(server.url, auth=auth, follow_redirects=True)
    library.get(server.url, auth=auth)
    assert server.nonces == [None, None]


def test_a_redirect_that_is_not_followed_can_be_followed_by_hand(
    server: ScriptedServer, signer: ProofSigner
) -> None:
    server.play(redirect("/end"), OK)
    with httpx.Client(auth=httpx_client.DPoPAuth(signer, "access")) as client:
        response = client.get(server.url)
        assert (response.status_code, len(server.received)) == (307, 1)
        assert response.next_request is not None
        assert client.send(response.next_request).status_code == 200
    check(server.received[1], server, "access")
    assert_all_proofs_differ(server)


def test_a_redirect_for_ever_ends(
    server: ScriptedServer, library: Library, auth: Any
) -> None:
    library.options["max_redirects"] = 3
    server.play(redirect("/again"))
    with pytest.raises(library.module.TooManyRedirects):
        library.get(server.url, auth=auth, follow_redirects=True)
    assert len(server.received) <= 5


@pytest.mark.parametrize(
    "body",
    [
        {"content": b"body"},
        {"content": "body"},
        {"data": {"a": "b"}},
        {"json": {"a": "b"}},
        {"files": {"f": ("name", b"body")}},
    ],
)
def test_a_body_is_sent_again_whole(
    server: ScriptedServer, library: Library, auth: Any, body: dict[str, Any]
) -> None:
    server.play(demand("n1"), OK)
    if "files" in body and library.use_async:
        body = {"files": {"f": ("name", io.BytesIO(b"body"))}}
    assert library.post(server.url, auth=auth, **body).status_code == 200
    one, other = (request.body for request in server.received)
    assert one == other != b""


@pytest.mark.requirement("U-27")
def test_a_body_that_is_gone_is_not_sent_again_empty(
    server: ScriptedServer, library: Library, auth: Any
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"bo"
        yield b"dy"

    bodies: list[Callable[[], Any]] = [chunks]
    if not library.use_async:
        bodies = [lambda: iter([b"bo", b"dy"]), lambda: io.BytesIO(b"body")]
    # A nonce is known, which is no longer good when the body goes out.
    server.play(demand("before"), OK)
    library.get(server.url, auth=auth)
    for number, make in enumerate(bodies):
        server.received.clear()
        server.play(demand(f"n{number}"), OK)
        response = library.post(server.url, content=make(), auth=auth)
        assert response.status_code == 401
        assert [request.body for request in server.received] == [b"body"]
        # The next one has the nonce that this one brought.
        library.post(server.url, content=make(), auth=auth)
        assert server.nonces[-1] == f"n{number}"


@pytest.mark.requirement("U-27")
def test_an_unseekable_part_of_a_form_is_not_sent_again(
    server: ScriptedServer, library: Library, auth: Any
) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    server.play(demand("before"), OK)
    library.get(server.url, auth=auth)
    server.received.clear()
    server.play(demand("n1"), OK)
    files = {"f": ("name", Pipe(b"body"))}
    assert library.post(server.url, files=files, auth=auth).status_code == 401
    assert len(server.received) == 1


def test_a_refusal_that_breaks_off_is_one_all_the_same(
    site: Site, library: Library, auth: Any
) -> None:
    """Its fields say what to do: a server that ends an upload early may end itself."""
    fields = (": ".join(NONCE_DEMAND), "DPoP-Nonce: n1")
    refusal = http(b"x" * 100, *fields, status="401 Unauthorized")
    site.answers(refusal[:-50], http(b"{}"))
    response = library.get(site.issuer, auth=auth)
    assert response.status_code == 200
    assert [answer.content for answer in response.history] == [b"x" * 50]
    assert len(site.asked) == 2


def test_cookies_of_a_refusal_are_sent(
    server: ScriptedServer, library: Library, auth: Any
) -> None:
    refusal = demand("n1")
    refusal.fields.append(("Set-Cookie", "node=7"))
    server.play(refusal, OK)
    library.get(server.url, auth=auth)
    assert server.received[1].all("Cookie") == ["node=7"]


def test_cookies_of_a_refusal_are_sent_beside_those_of_the_client(
    server: ScriptedServer, library: Library, auth: Any
) -> None:
    """Else the next attempt goes to the node of the one before, with another nonce."""
    refusal = demand("n1")
    refusal.fields.append(("Set-Cookie", "node=7"))
    refusal.fields.append(("Set-Cookie", "elsewhere=1; Path=/x"))
    server.play(refusal, OK)
    library.options["cookies"] = {"user": "1", "node": "6"}
    library.get(server.url, auth=auth)
    assert server.received[0].all("Cookie") == ["user=1; node=6"]
    assert server.received[1].all("Cookie") == ["user=1; node=7"]


def test_headers_of_the_caller_go_along_except_credentials(
    server: ScriptedServer, library: Library, auth: Any
) -> None:
    headers = {"X-Mine": "1", "dpop": "old", "authorization": "Bearer old"}
    server.play(demand("n1"), OK)
    library.get(server.url, headers=headers, auth=auth)
    for request in server.received:
        assert request.all("X-Mine") == ["1"]
        assert request.authorization == "DPoP access"
        check(request, server, "access")


def test_a_streamed_response_is_not_read_ahead(
    server: ScriptedServer, signer: ProofSigner
) -> None:
    server.play(demand("n1"), OK)
    auth = httpx_client.DPoPAuth(signer, "access")
    with httpx.Client(auth=auth) as client, client.stream("GET", server.url) as got:
        assert not got.is_stream_consumed
        assert got.read() == OK.body


def test_the_outcome_of_a_request_is_told(
    server: ScriptedServer, signer: ProofSigner
) -> None:
    outcomes: list[Outcome] = []
    auth = httpx_client.DPoPAuth(signer, "access", finish=outcomes.append)
    httpx.get(server.url, auth=auth)
    assert outcomes == [Outcome(refresh_due=False)]


@pytest.mark.requirement("X-20", "T20")
def test_neither_token_nor_key_shows(
    server: ScriptedServer, library: Library, auth: Any, signer: ProofSigner
) -> None:
    token_auth = library.adapter.DPoPTokenAuth(signer, ("client", "secret"))
    response = library.get(server.url, auth=auth)
    for value in (auth, token_auth, response.request, response.request.headers):
        assert "access" not in repr(value)
        assert "secret" not in repr(value)
    for value in (auth, token_auth):
        with pytest.raises(TypeError):
            pickle.dumps(value)


@pytest.mark.requirement("T-1", "S-11", "G-2")
def test_a_token_request_has_a_proof_beside_the_client_secret(
    server: ScriptedServer, library: Library, signer: ProofSigner
) -> None:
    server.play(as_nonce("n1"), OK)
    auth = library.adapter.DPoPTokenAuth(signer, ("client", "secret"))
    response = library.post(f"{server.url}/token", data={"a": "b"}, auth=auth)
    assert response.status_code == 200
    for request in server.received:
        assert request.authorization == "Basic Y2xpZW50OnNlY3JldA=="
        assert request.form == {"a": "b"}
        check(request, server, None)
        assert "ath" not in request.proof.claims
    assert server.nonces == [None, "n1"]
    assert_all_proofs_differ(server)


@pytest.mark.requirement("G-5", "Q-15", "U-13")
def test_each_attempt_has_a_client_assertion_of_its_own(
    server: ScriptedServer, library: Library, signer: ProofSigner
) -> None:
    assertions = iter(["one", "another"])

    class ClientAuth(library.module.Auth):  # type: ignore[name-defined]
        def auth_flow(self, request: Any) -> Iterator[Any]:
            body = {"code": "c", "client_assertion": next(assertions)}
            yield library.module.Request("POST", request.url, data=body)

    server.play(as_nonce("n1"), OK)
    auth = library.adapter.DPoPTokenAuth(signer, ClientAuth())
    library.post(f"{server.url}/token", data={"code": "c"}, auth=auth)
    assert [request.form for request in server.received] == [
        {"code": "c", "client_assertion": "one"},
        {"code": "c", "client_assertion": "another"},
    ]
    assert_all_proofs_differ(server)


def test_a_public_client_sends_the_proof_alone(
    server: ScriptedServer, library: Library, signer: ProofSigner
) -> None:
    auth = library.adapter.DPoPTokenAuth(signer)
    library.post(server.url, data={"a": "b"}, auth=auth)
    (request,) = server.received
    assert request.all("Authorization") == []
    check(request, server, None)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_redirect_of_the_token_endpoint_takes_no_grant_along(
    server: ScriptedServer,
    other_server: ScriptedServer,
    library: Library,
    signer: ProofSigner,
    *,
    elsewhere: bool,
) -> None:
    target = other_server if elsewhere else server
    server.play(as_nonce("n1"), redirect(f"{target.url}/token"), OK)
    auth = library.adapter.DPoPTokenAuth(signer, ("client", "secret"))
    with pytest.raises(library.module.RemoteProtocolError, match="redirect"):
        library.post(server.url, data={"code": "c"}, auth=auth, follow_redirects=True)
    assert all(request.body == b"code=c" for request in server.received[:2])
    for request in server.received[2:] + other_server.received:
        assert request.body == b""
        assert request.all("Authorization") == request.all("DPoP") == []


def test_a_redirect_of_the_token_endpoint_to_get_takes_no_secret_along(
    server: ScriptedServer, library: Library, signer: ProofSigner
) -> None:
    server.play(redirect("/token", 303), OK)
    auth = library.adapter.DPoPTokenAuth(signer, ("client", "secret"))
    library.post(server.url, data={"code": "c"}, auth=auth, follow_redirects=True)
    _, request = server.received
    assert request.body == b""
    assert request.all("Authorization") == request.all("DPoP") == []


@pytest.mark.requirement("R2143", "R2144")
@pytest.mark.parametrize(
    ("body", "sent"),
    [
        ({}, b""),
        ({"content": b"bytes"}, b"bytes"),
        ({"content": "text \u00e9"}, "text \u00e9".encode()),
        ({"json": {"a": 1}}, None),
        ({"data": {"a": "b c"}}, b"a=b+c"),
        ({"files": {"file": io.BytesIO(b"content")}}, None),
    ],
)
def test_content_and_query_can_be_named_in_the_proof(
    server: ScriptedServer,
    library: Library,
    signer: ProofSigner,
    body: dict[str, Any],
    sent: bytes | None,
) -> None:
    server.play(demand("nonce-1"), OK)
    protection = Protection(request_digests=True)
    auth = library.adapter.DPoPAuth(signer, "access", protection=protection)
    library.post(f"{server.url}/me?a=%2f&b=\u00e9#c", auth=auth, **body)
    assert len(server.received) == 2
    for request in server.received:
        claims = request.proof.claims
        assert claims["cd"] == content_digest(request.body)
        assert claims["hq"] == query_digest(request.target)
        assert sent is None or request.body == sent


def test_content_that_is_read_asynchronously_has_no_digest(
    server: ScriptedServer, signer: ProofSigner
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"a"

    async def call(protection: Protection) -> None:
        auth = httpx_client.DPoPAuth(signer, "access", protection=protection)
        async with httpx.AsyncClient() as client:
            await client.post(server.url, content=pieces(), auth=auth)

    with pytest.raises(ValueError, match="asynchronously"):
        asyncio.run(call(Protection(request_digests=True)))
    assert server.received == []
    asyncio.run(call(Protection()))
    # After a request for the nonce of a server that was never asked.
    assert [request.body for request in server.received] == [b"", b"a"]
