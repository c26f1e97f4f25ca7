"""Scripts in browsers, at both servers, also when they are refused."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from joserfc.jwk import ECKey

from dpop_ext.core.nonce import NonceIssuer
from dpop_ext.integrations import asgi_cors
from dpop_ext.integrations.wsgi_cors import CORS
from tests.authorization_server.simulator import Prover, Simulator, basic
from tests.integrations.browser import BlockedError, Browser, names
from tests.resource_server.under_wsgi import under_wsgi
from tests.resource_server.world import ADAPTERS, Request, World, send

ORIGIN = "https://app.example"
adapters = pytest.mark.parametrize("adapter", ADAPTERS)


@pytest.fixture
def world(world: World) -> World:
    return replace(world, use_nonces=True)


def credentials(world: World, **proof: Any) -> list[tuple[str, str]]:
    token = world.token()
    return [
        ("Authorization", f"DPoP {token}"),
        ("DPoP", world.proof(token, **proof)),
    ]


def browser(world: World, adapter: str, **options: Any) -> Browser:
    return Browser(app=with_cors(world, adapter, **options))


def with_cors(world: World, adapter: str, **options: Any) -> Any:
    """Return the application behind the middleware of its kind."""
    if adapter == "asgi":
        return under_wsgi(asgi_cors.CORS(world.asgi_app(), origins=[ORIGIN], **options))
    return CORS(world.app(adapter), origins=[ORIGIN], **options)


@adapters
@pytest.mark.requirement("P-15", "Q-17", "Q-11")
def test_a_script_gets_the_nonce_of_a_challenge_and_of_a_success(
    world: World, adapter: str
) -> None:
    script = browser(world, adapter)
    challenge = script.fetch("/accounts", headers=credentials(world, nonce=None))
    assert challenge.status == 401
    assert challenge.challenges["DPoP"].get("error") == "use_dpop_nonce"
    nonce = challenge.only("DPoP-Nonce")
    world.clock.advance(60)
    served = script.fetch("/accounts", headers=credentials(world, nonce=nonce))
    assert served.status == 200
    assert served.only("DPoP-Nonce") == world.nonce()
    assert served.only("Cache-Control") == "no-store"
    assert world.served == 1


@adapters
@pytest.mark.requirement("P-15", "U-26")
def test_a_script_can_read_every_refusal(world: World, adapter: str) -> None:
    script = browser(world, adapter)
    bad = [("Authorization", "DPoP x"), ("DPoP", "x")]
    for headers in (bad, bad[:1], [("Authorization", "Bearer x")], [("DPoP", "x")]):
        refused = script.fetch("/accounts", headers=headers)
        assert refused.status == 401
        assert "DPoP" in refused.challenges
    assert world.served == 0


@adapters
@pytest.mark.requirement("P-15")
def test_a_script_of_another_origin_is_told_nothing(world: World, adapter: str) -> None:
    app = browser(world, adapter).app
    for origin in ("https://app.example.evil", "http://app.example", "null", ""):
        script = Browser(app=app, origin=origin)
        with pytest.raises(BlockedError):
            script.fetch("/accounts", headers=credentials(world))
        (preflight,) = script.wire
        assert preflight.status == 204
        assert not names(preflight, "Access-Control-Allow-Headers")
        fields = [*credentials(world), ("Origin", origin)]
        answer = send(app, Request(headers=fields).environ())
        assert not answer.values("Access-Control-Allow-Origin")
        assert not answer.values("Access-Control-Allow-Credentials")


@adapters
@pytest.mark.requirement("P-15")
def test_a_preflight_is_answered_without_authentication_and_nothing_else_is(
    world: World, adapter: str
) -> None:
    app = browser(world, adapter).app
    fields = [("Origin", ORIGIN), ("Access-Control-Request-Method", "POST")]
    answer = send(app, Request(headers=fields, method="OPTIONS").environ())
    assert answer.status == 204
    assert answer.body == b""
    assert names(answer, "Access-Control-Allow-Headers") == {
        "authorization",
        "content-type",
        "dpop",
    }
    assert answer.only("Vary") == "Origin"
    assert not answer.values("Access-Control-Allow-Credentials")
    # Only OPTIONS is one.
    for others in (fields, fields[:1], fields[1:], []):
        answer = send(app, Request(headers=others, method="GET").environ())
        assert answer.status == 401
    if adapter in {"wsgi", "asgi"}:  # Flask answers OPTIONS itself
        for incomplete in (fields[:1], fields[1:], []):
            request = Request(headers=incomplete, method="OPTIONS")
            assert send(app, request.environ()).status == 401
    assert world.served == 0


@adapters
@pytest.mark.requirement("P-15", "Q-17")
def test_what_the_application_exposes_stays_exposed(world: World, adapter: str) -> None:
    world.answer_headers = [
        ("Access-Control-Expose-Headers", "X-Total, dpop-nonce"),
        ("Vary", "Accept"),
    ]
    fields = [*credentials(world), ("Origin", ORIGIN)]
    for app in (world.app(adapter), with_cors(world, adapter)):
        world._verifier = None
        world.store = type(world.store)()
        answer = send(app, Request(headers=fields).environ())
        assert answer.only("Access-Control-Expose-Headers") == (
            "X-Total, dpop-nonce, WWW-Authenticate, DPoP-Response, DPoP-Ticket"
        )
        fields = [*credentials(world), ("Origin", ORIGIN)]
    assert names(answer, "Vary") == {"accept", "origin"}


@adapters
@pytest.mark.requirement("P-15")
def test_nothing_is_said_to_whom_is_no_script(world: World, adapter: str) -> None:
    answer = send(world.app(adapter), Request(headers=credentials(world)).environ())
    assert answer.status == 200
    assert not answer.values("Access-Control-Expose-Headers")


@pytest.mark.requirement("Q-11")
@pytest.mark.parametrize(
    "status", ["200 OK", "206 Partial Content", "304 Not Modified"]
)
def test_no_status_is_stored_with_a_nonce(
    world: World, status: str, monkeypatch: Any
) -> None:
    protected = world.wsgi_app()

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response(status, [("Cache-Control", "max-age=60"), ("ETag", '"1"')])
        return []

    monkeypatch.setattr(protected, "_app", app)
    headers = credentials(world, nonce=world.nonce(age=1))
    answer = send(protected, Request(headers=headers).environ())
    assert answer.status == int(status[:3])
    assert answer.only("DPoP-Nonce") == world.nonce()
    assert answer.only("Cache-Control") == "max-age=60, no-store"


@pytest.mark.parametrize(
    "headers",
    [
        [("Access-Control-Allow-Origin", "https://own.example")],
        [("Vary", "Accept, Origin")],
        [("Vary", "*")],
    ],
)
def test_what_the_application_says_itself_is_not_said_twice(
    headers: list[tuple[str, str]],
) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", headers)
        return []

    request = Request(headers=[("Origin", ORIGIN)])
    answer = send(CORS(app, origins=[ORIGIN]), request.environ())
    for name, value in headers:
        assert answer.only(name) == value


def test_other_paths_are_left_alone() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return []

    cors = CORS(app, origins=[ORIGIN], paths={"/token"})
    for target, expected in [("/token", [ORIGIN]), ("/login", [])]:
        request = Request(headers=[("Origin", ORIGIN)], target=target)
        answer = send(cors, request.environ())
        assert answer.values("Access-Control-Allow-Origin") == expected


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "null",
        "",
        "app.example",
        "https://app.example/",
        "https://App.example",
        "https://app.example:443",
        "https://app.example?",
    ],
)
def test_an_origin_is_spelt_as_a_browser_sends_it(origin: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        CORS(lambda environ, start: [], origins=[origin])


# --- the authorization server


@pytest.mark.requirement("P-15", "Q-17")
def test_a_script_gets_a_token(clock: Any, ec_key: ECKey) -> None:
    sim = Simulator(clock, nonces=NonceIssuer([bytes(range(32))]))
    script = Browser(app=CORS(sim.app, origins=[ORIGIN], paths={"/token"}))
    prove = Prover(ec_key, clock)
    form = b"grant_type=client_credentials"

    def send_form(proof: str, secret: str = "secret") -> Any:
        fields = [
            ("DPoP", proof),
            ("Authorization", basic("confidential", secret)),
            ("Content-Type", "application/x-www-form-urlencoded"),
        ]
        return script.fetch("/token", headers=fields, method="POST", body=form)

    challenge = send_form(prove())
    assert (challenge.status, challenge.json["error"]) == (400, "use_dpop_nonce")
    nonce = challenge.only("DPoP-Nonce")
    assert send_form(prove(nonce=nonce)).json["token_type"] == "DPoP"
    clock.advance(60)
    aged = send_form(prove(nonce=nonce))
    assert aged.only("DPoP-Nonce") != nonce
    refused = send_form(prove(nonce=aged.only("DPoP-Nonce")), "wrong")
    assert (refused.status, refused.json["error"]) == (401, "invalid_client")


@pytest.mark.requirement("P-15", "U-26")
def test_an_asgi_application_is_marked_where_it_is_for_scripts() -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body"})

    cors: Any = asgi_cors.CORS(app, origins=[ORIGIN], paths={"/token"})
    asyncio.run(cors({"type": "websocket", "path": "/token"}, None, None))
    wsgi = under_wsgi(cors)
    one, two = ("Origin", ORIGIN), ("Access-Control-Request-Method", "POST")
    for target, fields, allowed in [
        ("/token", [one], 1),
        ("/login", [one], 0),
        ("/login", [one, two], 0),
    ]:
        request = Request(headers=fields, target=target, method="OPTIONS")
        answer = send(wsgi, request.environ())
        assert answer.status == 200
        assert len(answer.values("Access-Control-Allow-Origin")) == allowed
    assert seen == ["websocket", "http", "http", "http"]


def test_a_path_that_is_named_is_found_as_it_comes_in_an_environ() -> None:
    """PEP 3333 has each byte of it as one character."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return []

    allowed: list[list[str]] = []

    def start(status: str, headers: Any, exc_info: Any = None) -> Any:
        allowed.append([v for n, v in headers if n == "Access-Control-Allow-Origin"])

    cors = CORS(app, origins=[ORIGIN], paths=["/konten/größe"])
    for path in ("/größe", "/größer"):
        environ = {
            "REQUEST_METHOD": "GET",
            "SCRIPT_NAME": "/konten",
            "PATH_INFO": path.encode().decode("latin-1"),
            "HTTP_ORIGIN": ORIGIN,
        }
        cors(environ, start)
    assert allowed == [[ORIGIN], []]
