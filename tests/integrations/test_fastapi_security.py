"""The dependency of FastAPI: documents, scopes, WebSocket, Starlette."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Form, Security, WebSocket
from fastapi.responses import JSONResponse
from joserfc.jwk import ECKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse

from dpop_ext.core.request_digest import content_digest
from dpop_ext.integrations.fastapi_security import DPoPSecurity
from dpop_ext.resource_server.gate import VerifiedRequest
from dpop_ext.resource_server.refusal import AccessRefusedError
from dpop_ext.resource_server.route_policy import RoutePolicy
from dpop_ext.testing import assert_rejects_dpop_attacks
from tests.resource_server.world import AUDIENCE, World


@pytest.fixture
def dpop(world: World) -> DPoPSecurity:
    return DPoPSecurity(
        verifier=world.verifier, find_token=world.validator, public_url=AUDIENCE
    )


@pytest.fixture
def client(dpop: DPoPSecurity) -> TestClient:
    app = FastAPI()
    dpop.install(app)
    anyone, reader = Security(dpop), Security(dpop, scopes=["accounts"])
    admin = Security(dpop, scopes=["accounts", "admin"])
    signer = Security(dpop.demanding(RoutePolicy(request_digest=True)))

    @app.get("/accounts")
    async def accounts(caller: VerifiedRequest = reader) -> dict[str, Any]:
        return {"client": caller.token.client_id}

    @app.get("/both")
    def both(caller: VerifiedRequest = admin) -> None: ...

    @app.post("/orders")
    async def orders(
        order: dict[str, int], caller: VerifiedRequest = signer
    ) -> dict[str, int]:
        return order

    @app.post("/form")
    async def form(
        amount: Annotated[int, Form()], caller: VerifiedRequest = anyone
    ) -> int:
        return amount

    @app.websocket("/chat")
    async def chat(websocket: WebSocket, caller: VerifiedRequest = anyone) -> None:
        await websocket.accept()
        await websocket.send_text(caller.token.client_id or "")
        await websocket.close()

    return TestClient(app, base_url=AUDIENCE)


def credentials(world: World, path: str, **changes: Any) -> dict[str, str]:
    token = world.token()
    proof = world.proof(token, url=AUDIENCE + path, **changes)
    return {"Authorization": f"DPoP {token}", "DPoP": proof}


def test_a_route_knows_who_calls(client: TestClient, world: World) -> None:
    answer = client.get("/accounts", headers=credentials(world, "/accounts"))
    assert (answer.status_code, answer.json()) == (200, {"client": "client-1"})


def test_the_document_says_how_to_call(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert document["components"]["securitySchemes"]["DPoP"] == {
        "type": "http",
        "scheme": "DPoP",
        "description": "An access token with a proof of possession",
    }
    assert document["paths"]["/accounts"]["get"]["security"] == [{"DPoP": ["accounts"]}]


def test_scopes_are_needed_all_together(client: TestClient, world: World) -> None:
    answer = client.get("/both", headers=credentials(world, "/both"))
    assert (answer.status_code, answer.json()["scope"]) == (403, "accounts admin")


def test_a_response_of_its_own_has_the_nonce_too(world: World) -> None:
    world.use_nonces = True
    app = FastAPI()
    dpop = DPoPSecurity(
        verifier=world.verifier, find_token=world.validator, public_url=AUDIENCE
    )
    dpop.install(app)
    caller_of = Security(dpop)

    @app.get("/direct")
    async def direct(caller: VerifiedRequest = caller_of) -> JSONResponse:
        return JSONResponse({})

    fields = credentials(world, "/direct", nonce=world.nonce(age=1))
    answer = TestClient(app).get("/direct", headers=fields)
    assert answer.headers["dpop-nonce"] == world.nonce()
    assert answer.headers["cache-control"] == "no-store"


def test_json_has_a_digest_and_a_form_is_taken_apart_before(
    client: TestClient, world: World
) -> None:
    body = b'{"amount": 5}'
    claims = {"cd": content_digest(body), "hq": content_digest(b"")}
    for content, status in ((body, 200), (b'{"amount": 6}', 401)):
        fields = credentials(world, "/orders", method="POST", claims=claims)
        fields["Content-Type"] = "application/json"
        answer = client.post("/orders", content=content, headers=fields)
        assert answer.status_code == status, answer.text
    fields = credentials(world, "/form", method="POST")
    assert client.post("/form", data={"amount": "5"}, headers=fields).json() == 5
    fields = credentials(world, "/form", method="POST")
    data = {"amount": "5", "access_token": "x"}
    assert client.post("/form", data=data, headers=fields).status_code == 400
    fields = credentials(world, "/form", method="POST", claims=claims)
    answer = client.post("/form", data={"amount": "5"}, headers=fields)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_content_without_a_known_length_has_no_digest(
    client: TestClient, world: World
) -> None:
    claims = {"cd": content_digest(b"{}"), "hq": content_digest(b"")}
    fields = credentials(world, "/orders", method="POST", claims=claims)
    fields["Content-Type"] = "application/json"
    answer = client.post("/orders", content=iter([b"{}"]), headers=fields)
    assert answer.status_code == 400


def asked(
    app: FastAPI, fields: dict[str, str], messages: list[dict[str, Any]], path: str
) -> int:
    """Send a POST as a server of HTTP/2 hands it on; return the status."""
    sent: list[Any] = []
    headers = [(k.lower().encode(), v.encode()) for k, v in fields.items()]
    scope = {
        "type": "http",
        "method": "POST",
        "scheme": "https",
        "http_version": "2",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"api.example"), *headers],
    }
    coming = iter(messages)

    async def receive() -> Any:
        return next(coming)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    status: int = sent[0]["status"]
    return status


@pytest.mark.parametrize("too_much", [0, 1])
def test_content_has_a_limit_where_it_has_no_length(
    world: World, dpop: DPoPSecurity, too_much: int
) -> None:
    app = FastAPI()
    dpop.install(app)
    short = Security(dpop.demanding(RoutePolicy(max_content=10)))

    @app.post("/short")
    async def route(caller: VerifiedRequest = short) -> None: ...

    body = b"x" * (10 + too_much)
    claims = {"cd": content_digest(body), "hq": content_digest(b"")}
    fields = credentials(world, "/short", method="POST", claims=claims)
    messages = [{"type": "http.request", "body": body, "more_body": False}]
    assert asked(app, fields, messages, "/short") == (413 if too_much else 200)


def test_a_form_whose_client_goes_away_is_no_fault_of_the_server(
    dpop: DPoPSecurity,
) -> None:
    app = FastAPI()
    dpop.install(app)
    anyone = Security(dpop)

    @app.post("/plain")
    async def route(caller: VerifiedRequest = anyone) -> None: ...

    fields = {
        "content-type": "application/x-www-form-urlencoded",
        "content-length": "9",
    }
    assert asked(app, fields, [{"type": "http.disconnect"}], "/plain") == 400


@pytest.mark.requirement("U-32")
def test_a_websocket_is_verified(client: TestClient, world: World) -> None:
    fields = credentials(world, "/chat")
    with client.websocket_connect("/chat", headers=fields) as socket:
        assert socket.receive_text() == "client-1"
    with (
        pytest.raises(WebSocketDenialResponse) as refused,
        client.websocket_connect("/chat", headers=fields),
    ):
        pass
    assert refused.value.status_code == 401


def test_attacks_are_refused(client: TestClient, world: World, ec_key: ECKey) -> None:
    assert_rejects_dpop_attacks(
        client,
        "/accounts",
        access_token=world.token(),
        key=ec_key,
        public_url=AUDIENCE,
        clock=world.clock,
    )


def test_a_route_of_starlette_asks_by_itself(world: World, dpop: DPoPSecurity) -> None:
    async def accounts(request: Request) -> PlainTextResponse:
        caller = await dpop.verify(request, "accounts")
        return PlainTextResponse(caller.token.client_id or "")

    async def chat(websocket: WebSocket) -> None:
        await dpop.verify(websocket)

    app = Starlette(
        routes=[Route("/accounts", accounts), WebSocketRoute("/chat", chat)]
    )
    dpop.install(app)
    client = TestClient(app)
    fields = credentials(world, "/accounts")
    assert client.get("/accounts", headers=fields).text == "client-1"
    refused = client.get("/accounts", headers={"Origin": "https://app.example"})
    assert refused.status_code == 401
    assert "DPoP-Nonce" in refused.headers["access-control-expose-headers"]


def test_an_application_without_install_is_told_so(dpop: DPoPSecurity) -> None:
    async def accounts(request: Request) -> PlainTextResponse:
        await dpop.verify(request)
        return PlainTextResponse("")

    client = TestClient(Starlette(routes=[Route("/", accounts)]))
    with pytest.raises(RuntimeError, match="install"):
        client.get("/")


def test_an_application_that_is_mounted_refuses_as_the_installed_one(
    dpop: DPoPSecurity, world: World
) -> None:
    app, mounted = FastAPI(), FastAPI()
    caller_of = Security(dpop)

    @mounted.get("/accounts")
    async def accounts(caller: VerifiedRequest = caller_of) -> str | None:
        return caller.token.client_id

    @mounted.websocket("/chat")
    async def chat(websocket: WebSocket, caller: VerifiedRequest = caller_of) -> None:
        await websocket.accept()

    app.mount("/v1", mounted)
    dpop.install(app)
    client = TestClient(app, base_url=AUDIENCE)
    for _ in range(2):
        answer = client.get("/v1/accounts")
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("DPoP ")
    fields = credentials(world, "/v1/accounts")
    answers = [client.get("/v1/accounts", headers=fields) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 401]
    with (
        pytest.raises(WebSocketDenialResponse) as denied,
        client.websocket_connect("/v1/chat"),
    ):
        pass
    assert denied.value.status_code == 401


def test_a_mounted_application_may_answer_refusals_itself(dpop: DPoPSecurity) -> None:
    async def answer(_request: Any, error: Any) -> PlainTextResponse:
        return PlainTextResponse(error.refusal.reason, 418)

    async def view(request: Request) -> PlainTextResponse:
        await dpop.verify(request)
        return PlainTextResponse("")

    mounted = Starlette(
        routes=[Route("/", view)], exception_handlers={AccessRefusedError: answer}
    )
    app = Starlette(routes=[Mount("/v1", mounted)])
    dpop.install(app)
    assert TestClient(app, base_url=AUDIENCE).get("/v1/").status_code == 418


def test_lifespan_events_pass(dpop: DPoPSecurity) -> None:
    app = FastAPI()
    dpop.install(app)
    begun = time.monotonic()
    with TestClient(app) as client:
        assert client.get("/none").status_code == 404
    assert time.monotonic() - begun < 30
