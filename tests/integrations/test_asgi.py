"""What ASGI has and WSGI has not: events, streams, WebSocket, other event loops."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from dpop_ext.core.request_digest import content_digest
from dpop_ext.errors import ContentTooLargeError, StoreError
from dpop_ext.integrations.asgi import DPoPMiddleware
from dpop_ext.integrations.asgi_content import Content
from dpop_ext.integrations.asgi_store import InEventLoop
from dpop_ext.integrations.asgi_threads import DecisionThreads
from dpop_ext.integrations.fastapi_security import DPoPSecurity
from dpop_ext.resource_server.refusal import AccessRefusedError
from dpop_ext.resource_server.route_policy import RoutePolicy
from dpop_ext.stores.memory import MemoryReplayStore
from dpop_ext.verifier import ProofVerifier
from tests.conftest import Clock
from tests.engines import wait_until
from tests.patience import PATIENCE
from tests.resource_server.under_wsgi import under_wsgi
from tests.resource_server.world import Request as WireRequest
from tests.resource_server.world import World, send


class AsyncStore:
    """A store for asyncio, which notes where it was called."""

    def __init__(self) -> None:
        self.inner = MemoryReplayStore()
        self.threads: set[int] = set()
        self.fails = False

    async def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
        await asyncio.sleep(0)
        self.threads.add(threading.get_ident())
        if self.fails:
            raise OSError("connection lost")
        return self.inner.add(key, expires_at=expires_at, now=now)


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """Run *app* under uvicorn on a free port."""
    config = uvicorn.Config(
        app, port=0, log_level="error", lifespan="on", ws="websockets-sansio"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started or not thread.is_alive(), what="uvicorn starts")
    assert server.started, "it ended; its log says why"
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(PATIENCE)


@pytest.fixture
def world(ec_key: Any, other_ec_key: Any) -> World:
    """Parties whose clock is the one of this machine."""
    return World(
        clock=Clock(time.time()),
        key=ec_key,
        other_key=other_ec_key,
        issuer_key=other_ec_key,
        public_url=None,
    )


@pytest.fixture
def protect(world: World) -> Callable[..., Any]:
    def protect(app: Any, **options: Any) -> Any:
        options.setdefault("verifier", world.verifier)
        return DPoPMiddleware(app, find_token=world.validator, **options)

    return protect


def credentials(world: World, url: str, **changes: Any) -> dict[str, str]:
    token = world.token()
    proof = world.proof(token, url=url, **changes)
    return {"Authorization": f"DPoP {token}", "DPoP": proof}


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the content, piece by piece as it comes."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    assert scope["type"] == "http"
    headers = [(b"x-kind", scope["dpop_ext.proof"].kind.encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    more = True
    while more:
        message = await receive()
        more = message.get("more_body", False)
        await send(
            {"type": "http.response.body", "body": message["body"], "more_body": more}
        )


def test_a_server_serves_what_is_proved_and_nothing_else(
    world: World, protect: Callable[..., Any]
) -> None:
    with serving(protect(echo)) as url:
        headers = credentials(world, f"{url}/a%2Fb", method="POST")
        target = f"{url}/a%2Fb?x=1"
        answer = httpx.post(target, headers=headers, content=b"body")
        assert (answer.status_code, answer.content) == (200, b"body")
        assert answer.headers["x-kind"] == "asymmetric"
        again = httpx.post(target, headers=headers, content=b"body")
        assert (again.status_code, again.json()["error"]) == (401, "invalid_dpop_proof")
        assert httpx.get(url).headers["www-authenticate"].startswith("DPoP ")


@pytest.mark.requirement("J-14")
@pytest.mark.parametrize(
    ("scopes", "status"),
    [
        *[("accounts", 200), ("payments", 403), (iter(["payments"]), 403)],
        *[(lambda scope: [scope["path"][1:]], 200), (lambda scope: ["payments"], 403)],
    ],
)
def test_scopes_are_one_text_or_found_for_the_request(
    world: World, scopes: Any, status: int
) -> None:
    app = DPoPMiddleware(
        world.asgi_app(),
        verifier=world.verifier,
        find_token=world.validator,
        scopes=scopes,
    )
    for _ in range(2):
        token = world.token()
        fields = [("Authorization", f"DPoP {token}"), ("DPoP", world.proof(token))]
        environ = WireRequest(headers=fields).environ()
        assert send(under_wsgi(app), environ).status == status


def test_two_lines_of_one_field_are_two(
    world: World, protect: Callable[..., Any]
) -> None:
    with serving(protect(echo)) as url:
        headers = [*credentials(world, f"{url}/").items()]
        for name, value in headers:
            answer = httpx.get(f"{url}/", headers=[*headers, (name, value)])
            assert answer.status_code in {400, 401}


@pytest.mark.requirement("U-32")
def test_events_are_sent_as_they_come(
    world: World, protect: Callable[..., Any]
) -> None:
    go_on = threading.Event()

    async def events(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await echo(scope, receive, send)
            return
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for number in range(2):
            body = f"data: {number}\n\n".encode()
            await send({"type": "http.response.body", "body": body, "more_body": True})
            # The second one waits until the client has seen the first.
            await asyncio.to_thread(go_on.wait, 10)
        await send({"type": "http.response.body", "body": b""})

    with serving(protect(events)) as url:
        headers = credentials(world, f"{url}/")
        with httpx.stream("GET", f"{url}/", headers=headers) as answer:
            pieces = answer.iter_raw()
            assert next(pieces) == b"data: 0\n\n"
            go_on.set()
            assert b"".join(pieces) == b"data: 1\n\n"


def test_a_request_is_not_read_before_the_application_is_called(
    world: World, protect: Callable[..., Any]
) -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append("called")

    async def receive() -> Any:
        seen.append("read")
        raise AssertionError

    async def send(message: Any) -> None:
        seen.append(message["type"])

    token = world.token()
    scope = {
        "type": "http",
        "method": "POST",
        "scheme": "https",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "headers": [
            (b"host", b"api.example.com"),
            (b"content-length", b"5"),
            (b"authorization", f"DPoP {token}".encode()),
        ],
    }
    asyncio.run(protect(app)(scope, receive, send))
    assert seen == ["http.response.start", "http.response.body"]
    proof = world.proof(token, method="POST", url="https://api.example.com/")
    scope["headers"].append((b"dpop", proof.encode()))  # type: ignore[attr-defined]
    asyncio.run(protect(app)(scope, receive, send))
    assert seen[2:] == ["called"]


@pytest.mark.requirement("R2141", "U-27")
def test_content_with_a_digest_is_read_and_given_back(
    world: World, protect: Callable[..., Any]
) -> None:
    route = RoutePolicy(request_digest=True)
    content = b"x" * 200_000
    with serving(protect(echo, route=route)) as url:

        def post(sent: bytes, digested: bytes) -> httpx.Response:
            claims = {"cd": content_digest(digested), "hq": content_digest(b"")}
            headers = credentials(world, f"{url}/", method="POST", claims=claims)
            return httpx.post(f"{url}/", headers=headers, content=sent)

        assert post(content, content).content == content
        assert post(content, b"other").status_code == 401
        headers = credentials(world, f"{url}/", method="POST")
        assert httpx.post(f"{url}/", headers=headers).status_code == 401


def test_content_that_is_too_long_or_never_comes_is_refused(
    world: World, protect: Callable[..., Any]
) -> None:
    route = RoutePolicy(request_digest=True, max_content=10)

    async def gone() -> Any:
        return {"type": "http.disconnect"}

    with serving(protect(echo, route=route)) as url:
        claims = {"cd": content_digest(b"x" * 11), "hq": content_digest(b"")}
        headers = credentials(world, f"{url}/", method="POST", claims=claims)
        answer = httpx.post(f"{url}/", headers=headers, content=b"x" * 11)
        assert answer.status_code == 413, answer.text

    async def read() -> bytes:
        return await Content(gone).read(10)

    with pytest.raises(Exception, match="incomplete"):
        asyncio.run(read())


@pytest.mark.requirement("X-15")
@pytest.mark.parametrize("adapter", ["middleware", "dependency"])
def test_a_client_that_sends_slowly_keeps_no_thread_from_the_others(
    world: World,
    protect: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    adapter: str,
) -> None:
    executor = ThreadPoolExecutor(1)
    app = protect(echo, executor=executor)
    if adapter == "dependency":
        app = starlette_application(world, executor)
    claims = {"cd": content_digest(b"x"), "hq": content_digest(b"")}

    async def call(headers: dict[str, str], receive: Any) -> int:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        fields = {"host": "api.example", "content-length": "1", **headers}
        scope = {
            "type": "http",
            "scheme": "https",
            "method": "POST",
            "path": "/",
            "raw_path": b"/",
            "query_string": b"",
            "headers": [
                (name.lower().encode(), value.encode())
                for name, value in fields.items()
            ],
        }
        await app(scope, receive, send)
        return int(sent[0]["status"])

    async def calls() -> None:
        came = asyncio.Event()

        async def content() -> Any:
            await came.wait()
            return {"type": "http.request", "body": b"x", "more_body": False}

        def headers(**changes: Any) -> dict[str, str]:
            url = "https://api.example/"
            return credentials(world, url, method="POST", **changes)

        slow = asyncio.create_task(call(headers(claims=claims), content))
        await asyncio.sleep(0)
        quick = asyncio.create_task(call(headers(claims={"x": 1}), no_content))
        assert await asyncio.wait_for(quick, PATIENCE) == 200
        assert not slow.done()
        came.set()
        assert await asyncio.wait_for(slow, PATIENCE) == 200
        # What never comes is refused, and not used up.
        monkeypatch.setattr("dpop_ext.integrations.asgi_reading.READ_TIMEOUT", 0.05)
        came.clear()
        again = headers(claims=claims)
        assert await asyncio.wait_for(call(again, content), PATIENCE) == 400
        came.set()
        assert await asyncio.wait_for(call(again, content), PATIENCE) == 200

    asyncio.run(calls())
    executor.shutdown()


async def no_content() -> Any:
    return {"type": "http.request", "body": b"", "more_body": False}


def starlette_application(world: World, executor: Executor) -> Any:
    dpop = DPoPSecurity(
        verifier=world.verifier,
        find_token=world.validator,
        public_url="https://api.example",
        executor=executor,
    )

    async def route(request: Request) -> PlainTextResponse:
        await dpop.verify(request)
        return PlainTextResponse("")

    app = Starlette(routes=[Route("/", route, methods=["POST"])])
    dpop.install(app)
    return app


class Looked(bytes):
    """A piece of content that counts how often it is looked at."""

    times = 0

    def __len__(self) -> int:
        Looked.times += 1
        return super().__len__()


def test_content_that_comes_byte_by_byte_is_looked_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Looked, "times", 0)
    pieces = iter(range(1000, -1, -1))

    async def receive() -> Any:
        left = next(pieces)
        return {"type": "http.request", "body": Looked(b"x"), "more_body": left > 0}

    async def read() -> Any:
        content = Content(receive)
        assert await content.read(1001) == b"x" * 1001
        return await content.receive()

    message = asyncio.run(read())
    # One message, however many there were: each takes a hundred times its byte.
    assert (message["body"], message["more_body"]) == (b"x" * 1001, False)
    assert Looked.times <= 2 * 1001


def test_no_piece_is_asked_for_beyond_the_limit_nor_forgotten_at_it() -> None:
    asked: list[int] = []

    async def receive() -> Any:
        asked.append(len(asked))
        return {"type": "http.request", "body": b"x" * 5, "more_body": True}

    async def end() -> Any:
        return {"type": "http.request", "body": b"x" * 5}

    for limit, pieces in ((9, 2), (10, 3), (11, 3)):
        asked.clear()
        with pytest.raises(ContentTooLargeError):
            asyncio.run(Content(receive).read(limit))
        assert len(asked) == pieces
    assert asyncio.run(Content(end).read(5)) == b"x" * 5


def test_a_form_whose_client_goes_away_is_no_fault_of_the_server(
    protect: Callable[..., Any],
) -> None:
    sent: list[Any] = []
    fields = [
        (b"host", b"api.example"),
        (b"content-type", b"application/x-www-form-urlencoded"),
        (b"content-length", b"9"),
    ]
    scope = {
        "type": "http",
        "method": "POST",
        "scheme": "https",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "headers": fields,
    }

    async def gone() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(protect(echo)(scope, gone, send))
    assert sent[0]["status"] == 400


@pytest.mark.parametrize("type_", ["http", "websocket"])
def test_a_server_that_names_no_scheme_has_no_encryption(
    world: World, protect: Callable[..., Any], type_: str
) -> None:
    statuses: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})

    async def send(message: Any) -> None:
        if "status" in message:
            statuses.append(message["status"])

    for public_url in (None, "https://api.example.com"):
        fields = credentials(world, "https://api.example.com/accounts")
        scope = {
            "type": type_,
            "path": "/accounts",
            "headers": [
                (b"host", b"api.example.com"),
                *((n.lower().encode(), v.encode()) for n, v in fields.items()),
            ],
            "extensions": {"websocket.http.response": {}},
        }
        if type_ == "http":
            scope["method"] = "GET"
        protected = protect(app, public_url=public_url)
        asyncio.run(protected(scope, _never, send))
    assert statuses == [400, 200]


async def _never() -> Any:
    raise AssertionError


async def chat(scope: Any, receive: Any, send: Any) -> None:
    """Accept every handshake, and tell how it was proved."""
    if scope["type"] == "lifespan":
        await echo(scope, receive, send)
        return
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept", "headers": [(b"x-chat", b"1")]})
    await send({"type": "websocket.send", "text": scope["dpop_ext.proof"].kind})
    await send({"type": "websocket.close", "code": 1000})


@pytest.mark.requirement("U-32")
def test_a_websocket_handshake_is_verified(
    world: World, protect: Callable[..., Any]
) -> None:
    world.use_nonces = True
    with serving(protect(chat)) as url:
        socket = f"{url.replace('http', 'ws')}/chat"
        fields = credentials(world, f"{url}/chat", nonce=world.nonce(age=1))
        with connect(socket, additional_headers=fields) as connection:
            assert connection.recv() == "asymmetric"
            response = connection.response
            assert response is not None
            # The nonce was an old one: the handshake brings the next.
            assert response.headers["DPoP-Nonce"] == world.nonce()
            assert response.headers["x-chat"] == "1"
        with pytest.raises(InvalidStatus) as refused:
            connect(socket, additional_headers=fields)
        # The server can send an answer, so the client learns why.
        assert refused.value.response.status_code == 401
        assert (
            "invalid_dpop_proof" in refused.value.response.headers["www-authenticate"]
        )


@pytest.mark.requirement("U-32")
def test_a_handshake_has_no_content_and_a_digest_of_that(
    world: World, protect: Callable[..., Any]
) -> None:
    route = RoutePolicy(request_digest=True)
    empty = content_digest(b"")
    with serving(protect(chat, route=route)) as url:
        socket = f"{url.replace('http', 'ws')}/chat"
        for digest in (empty, content_digest(b"x")):
            claims = {"cd": digest, "hq": empty}
            fields = credentials(world, f"{url}/chat", claims=claims)
            if digest == empty:
                with connect(socket, additional_headers=fields) as connection:
                    assert connection.recv() == "asymmetric"
            else:
                with pytest.raises(InvalidStatus):
                    connect(socket, additional_headers=fields)


def test_what_is_neither_http_nor_websocket_does_not_get_in(
    protect: Callable[..., Any],
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError

    async def never(*args: Any) -> Any:
        raise AssertionError

    with pytest.raises(ValueError, match="only HTTP and WebSocket"):
        asyncio.run(protect(app)({"type": "webtransport"}, never, never))


def test_a_websocket_server_without_answers_closes(protect: Callable[..., Any]) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    scope = {
        "type": "websocket",
        "scheme": "wss",
        "path": "/",
        "query_string": b"",
        "headers": [(b"host", b"api.example.com")],
    }
    asyncio.run(protect(chat)(scope, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_a_store_of_asyncio_is_called_in_its_loop(
    world: World, protect: Callable[..., Any]
) -> None:
    store = AsyncStore()
    app: list[Any] = []
    loops: list[int] = []

    async def started(scope: Any, receive: Any, send: Any) -> None:
        if not app:
            loops.append(threading.get_ident())
            verifier = ProofVerifier(InEventLoop(store), clock=world.clock)
            app.append(protect(echo, verifier=verifier))
        await app[0](scope, receive, send)

    with serving(started) as url:
        headers = credentials(world, f"{url}/")
        assert httpx.get(f"{url}/", headers=headers).status_code == 200
        assert httpx.get(f"{url}/", headers=headers).status_code == 401
        store.fails = True
        answer = httpx.get(f"{url}/", headers=credentials(world, f"{url}/"))
        assert answer.status_code == 503
        assert "retry-after" in answer.headers
    assert store.threads == set(loops)


def test_a_store_of_asyncio_needs_a_loop() -> None:
    with pytest.raises(RuntimeError):
        InEventLoop(AsyncStore())


def test_a_store_whose_loop_ends_cannot_tell() -> None:
    """Neither a call that is under way then nor one that comes later."""
    entered = threading.Event()

    class Waiting(AsyncStore):
        async def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
            entered.set()
            await asyncio.Event().wait()
            return await super().add(key, expires_at=expires_at, now=now)

    def add(store: InEventLoop) -> None:
        with pytest.raises(StoreError):
            store.add(bytes(16), expires_at=2, now=1)

    async def scenario() -> InEventLoop:
        store = InEventLoop(Waiting())
        adding = asyncio.create_task(asyncio.to_thread(add, store))
        assert await asyncio.to_thread(entered.wait, 10)
        for task in asyncio.all_tasks() - {adding, asyncio.current_task()}:
            task.cancel()
        await adding
        return store

    add(asyncio.run(scenario()))


def test_decisions_do_not_hold_up_the_loop(
    world: World, protect: Callable[..., Any]
) -> None:
    """A store that takes its time holds up one request, not the others."""
    enter, leave = threading.Event(), threading.Event()

    class Slow(MemoryReplayStore):
        def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
            enter.set()
            assert leave.wait(PATIENCE)
            return super().add(key, expires_at=expires_at, now=now)

    verifier = ProofVerifier(Slow(), clock=world.clock)
    with serving(protect(echo, verifier=verifier)) as url:
        headers = credentials(world, f"{url}/")
        answers: list[int] = []
        thread = threading.Thread(
            target=lambda: answers.append(
                httpx.get(f"{url}/", headers=headers).status_code
            )
        )
        thread.start()
        assert enter.wait(PATIENCE)
        assert httpx.get(f"{url}/").status_code == 401
        leave.set()
        thread.join(PATIENCE)
    assert answers == [200]


@pytest.mark.requirement("X-15")
def test_only_so_many_requests_wait_for_a_decision(
    world: World, protect: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Over that they are told at once to come again, and nothing is used up."""
    leave = threading.Event()
    waiting = threading.Semaphore(0)

    class Stuck(MemoryReplayStore):
        def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
            waiting.release()
            assert leave.wait(PATIENCE)
            return super().add(key, expires_at=expires_at, now=now)

    app = protect(
        echo, verifier=ProofVerifier(Stuck(), clock=world.clock), max_pending=2
    )
    with serving(app) as url, ThreadPoolExecutor(2) as threads:

        def send(headers: dict[str, str]) -> httpx.Response:
            return httpx.get(f"{url}/", headers=headers)

        served = [threads.submit(send, credentials(world, f"{url}/")) for _ in range(2)]
        for _ in served:
            assert waiting.acquire(timeout=PATIENCE)
        later = credentials(world, f"{url}/")
        for _ in range(3):
            answer = send(later)
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
        assert "reason=store_unavailable" in caplog.text
        leave.set()
        assert [future.result().status_code for future in served] == [200, 200]
        assert [send(later).status_code for _ in range(2)] == [200, 401]
    with pytest.raises(ValueError, match="max_pending"):
        protect(echo, max_pending=0)


@pytest.mark.requirement("X-15")
def test_a_request_that_is_given_up_keeps_its_place_until_its_turn() -> None:
    """A client that leaves and comes again does not make the queue longer."""
    leave = threading.Event()
    executor = ThreadPoolExecutor(1)
    threads = DecisionThreads(executor, max_pending=2)

    async def decide() -> bool:
        return await threads.decide(lambda: leave.wait(PATIENCE), endpoint="/")

    async def come_and_go() -> None:
        tasks = [asyncio.create_task(decide()) for _ in range(2)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with pytest.raises(AccessRefusedError):
            await decide()
        leave.set()
        await asyncio.to_thread(executor.shutdown)

    asyncio.run(come_and_go())
    threads.executor = ThreadPoolExecutor(1)
    assert asyncio.run(decide())


def test_a_decision_that_nobody_takes_has_no_place() -> None:
    """Else an executor that was full for a moment would mean 503 for ever."""
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    threads = DecisionThreads(executor, max_pending=1)

    async def decide() -> bool:
        return await threads.decide(lambda: True, endpoint="/")

    with pytest.raises(RuntimeError):
        asyncio.run(decide())
    threads.executor = ThreadPoolExecutor(1)
    assert asyncio.run(decide())
