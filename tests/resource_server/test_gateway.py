"""What the check answers to a gateway, and whom it believes."""

from __future__ import annotations

import asyncio
import logging
import re
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import pytest

from dpop_ext.core.request_digest import content_digest, query_digest
from dpop_ext.integrations import asgi_gateway
from dpop_ext.integrations.wsgi_gateway import GatewayApplication
from dpop_ext.resource_server.credentials import ResourceRequest
from dpop_ext.resource_server.gateway import GatewayCheck
from dpop_ext.resource_server.route_policy import RoutePolicy
from dpop_ext.resource_server.trusted_hop import (
    NGINX,
    UNIX_SOCKET,
    ForwardedFields,
    PathPrefix,
    TrustedHop,
)
from dpop_ext.stores.base import NoReplayProtection
from dpop_ext.verifier import ProofVerifier
from tests.resource_server.under_wsgi import under_wsgi
from tests.resource_server.world import (
    AUDIENCE,
    Field,
    Request,
    Response,
    World,
    send,
)

DOCUMENT = Path(__file__).parents[2] / "docs" / "gateway.md"
HOP = TrustedHop(["127.0.0.1"], names=NGINX)


def make_check(world: World, **changes: Any) -> GatewayCheck:
    values: dict[str, Any] = {
        "hop": HOP,
        "public_url": AUDIENCE,
        "scopes": [world.scope],
        "accept_bearer": world.accept_bearer,
    }
    return GatewayCheck(world.verifier, world.validator, **(values | changes))


@pytest.fixture(params=["wsgi", "asgi"])
def ask(request: Any, world: World) -> Any:
    """Ask the check as a gateway does, and return its answer."""

    def asking(
        fields: list[Field],
        *,
        peer: str = "127.0.0.1",
        target: str = "/",
        method: str = "GET",
        check: GatewayCheck | None = None,
        **options: Any,
    ) -> Response:
        check = check or make_check(world)
        app: Any = GatewayApplication(check, **options)
        if request.param == "asgi":
            app = under_wsgi(asgi_gateway.GatewayApplication(check, **options))
        asked = Request(headers=fields, target=target, method=method)
        return send(app, asked.environ(REMOTE_ADDR=peer))

    return asking


def original(method: str = "GET", target: str = "/accounts") -> list[Field]:
    return [("X-Original-Method", method), ("X-Original-URI", target)]


def credentials(world: World, **changes: Any) -> list[Field]:
    text = world.token(scope="accounts")
    return [
        ("Authorization", f"DPoP {text}"),
        ("DPoP", world.proof(text, **changes)),
    ]


@pytest.mark.requirement("P-2", "U-20")
def test_the_check_may_be_repeated_and_leaves_no_trace(world: World, ask: Any) -> None:
    fields = credentials(world)
    for _ in range(3):
        answer = ask([*fields, *original()])
        assert answer.status == 200
        assert {name.lower(): value for name, value in answer.headers} == {
            "cache-control": "no-store",
            "x-dpop-client": "client-1",
            "x-dpop-subject": "alice",
            "x-dpop-scope": "accounts",
            "x-dpop-key": world.jkt,
            "x-dpop-proof": "asymmetric",
            "content-length": "0",
        }
    assert len(world.store) == 0
    served = Request(headers=fields).environ()
    assert send(world.wsgi_app(), served).status == 200
    # And a proof that is used up is none of the check's business.
    assert ask([*fields, *original()]).status == 200


@pytest.mark.requirement("N-18")
def test_only_the_named_peers_are_believed(world: World, ask: Any) -> None:
    fields = [*credentials(world), *original()]
    allowed = {
        "127.0.0.1": ["127.0.0.1", "::ffff:127.0.0.1"],
        "10.1.0.0/24": ["10.1.0.0", "10.1.0.255"],
        "2001:db8::/64": ["2001:db8::1"],
        UNIX_SOCKET: [""],
    }
    everybody = [peer for peers in allowed.values() for peer in peers]
    for given, peers in allowed.items():
        check = make_check(world, hop=TrustedHop([given], names=NGINX))
        for peer in [*everybody, "10.1.1.0", "192.0.2.1", "no address"]:
            answer = ask(fields, peer=peer, check=check)
            if peer == "" and given != UNIX_SOCKET:
                assert answer.status == 403
            else:
                assert answer.status == (200 if peer in peers else 403)
    for none in ([], ["localhost"], ["10.1.0.1/24"]):
        with pytest.raises(ValueError, match=r"address|network|host bits"):
            TrustedHop(none, names=NGINX)


@pytest.mark.requirement("N-18")
def test_a_question_that_names_no_request_is_a_fault_of_the_gateway(
    world: World, ask: Any
) -> None:
    good, (method, target) = credentials(world), original()
    for named in ([], [method], [target], [method, ("X-Original-URI", "")]):
        # The question itself would fit the proof.
        assert ask([*good, *named], target="/accounts").status == 503
    for named in original("GET POST"), original(target="accounts"), original("", "/"):
        assert ask([*good, *named], target="/accounts").status in {401, 503}
    for named in ([method, method, target], [method, target, target]):
        assert ask([*good, *named], target="/accounts").status in {401, 503}
    # Whatever a proof may say about such a method.
    odd = credentials(world, method="GE T")
    assert ask([*odd, *original("GE T")]).status == 401
    absolute = [method, ("X-Original-URI", "https://evil.example/accounts")]
    assert ask([*good, *absolute]).status == 200
    in_query = original(target="/accounts?access_token=x")
    assert ask([*good, *in_query]).status == 401


@pytest.mark.requirement("N-6", "N-18")
def test_the_question_may_be_the_request_itself_after_a_prefix(
    world: World, ask: Any
) -> None:
    """As Envoy asks."""
    names = PathPrefix(prefix="/check")
    check = make_check(world, hop=TrustedHop(["127.0.0.1"], names=names))
    fields = credentials(world, method="POST", url=f"{AUDIENCE}/a%2Fb")
    for target, method, status in [
        ("/check/a%2Fb?x", "POST", 200),
        ("/check/a%2Fb", "GET", 401),
        ("/check/a/b", "POST", 401),
        ("/a%2Fb", "POST", 503),
        ("/checka%2Fb", "POST", 503),
        ("/check", "POST", 503),
    ]:
        # What a client makes up does not count here.
        sent = [*fields, *original("POST", "/a%2Fb")]
        answer = ask(sent, target=target, method=method, check=check)
        assert answer.status == status, target
    other = ForwardedFields(method="X-M", target="X-T")
    check = make_check(world, hop=TrustedHop(["127.0.0.1"], names=other))
    sent = [*fields, ("X-M", "POST"), ("X-T", "/a%2Fb")]
    assert ask(sent, check=check).status == 200
    assert ask([*fields, *original("POST", "/a%2Fb")], check=check).status == 503


def test_the_check_compares_the_query_and_leaves_the_content(
    world: World, ask: Any
) -> None:
    route = RoutePolicy(request_digest=True)
    check = make_check(world, route=lambda request: route)
    cd, hq = content_digest(b"elsewhere"), query_digest("/accounts?a=1")
    for claims, status in [
        ({"cd": cd, "hq": hq}, 200),
        ({"cd": cd, "hq": cd}, 401),
        ({"hq": hq}, 401),
        ({}, 401),
    ]:
        fields = credentials(world, claims=claims)
        asked = [*fields, *original(target="/accounts?a=1")]
        assert ask(asked, check=check).status == status


def test_what_is_long_or_missing_is_not_handed_on(world: World, ask: Any) -> None:
    world.accept_bearer = True
    text = world.unbound_token(scope="", sub="a" * 1024, client_id="a" * 1025)
    fields = [("Authorization", f"Bearer {text}"), *original()]
    answer = ask(fields, check=make_check(world, scopes=()))
    assert answer.only("X-DPoP-Subject") == "a" * 1024
    assert answer.only("X-DPoP-Client") == "-"
    # Not empty: of an empty value, gateways make a field that is not there.
    assert answer.only("X-DPoP-Scope") == "-"


@pytest.mark.requirement("U-7")
def test_who_may_not_ask_is_one_line_in_the_log(
    world: World, ask: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "dpop_ext")
    for status, reason, peer in [
        (403, "untrusted_hop", "192.0.2.1"),
        (503, "not_forwarded", "127.0.0.1"),
    ]:
        caplog.clear()
        assert ask(credentials(world), peer=peer).status == status
        (record,) = caplog.records
        assert f"status={status} reason={reason} " in record.getMessage()


def test_a_scope_may_be_one_string(world: World, ask: Any) -> None:
    check = make_check(world, scopes="accounts")
    assert ask([*credentials(world), *original()], check=check).status == 200
    check = make_check(world, scopes="transfers")
    assert ask([*credentials(world), *original()], check=check).status == 403


def test_the_original_request_may_decide_on_the_scope(world: World, ask: Any) -> None:
    def scopes(request: ResourceRequest) -> list[str]:
        return ["transfers" if request.method == "POST" else "accounts"]

    check = make_check(world, scopes=scopes)
    for method, status in [("GET", 200), ("POST", 403)]:
        fields = credentials(world, method=method)
        assert ask([*fields, *original(method)], check=check).status == status


@pytest.mark.requirement("B-9")
def test_the_certificate_that_the_gateway_was_shown_counts(
    world: World, ask: Any
) -> None:
    shown, other = "A" * 43, "B" * 42 + "A"
    text = world.token(cnf={"jkt": world.jkt, "x5t#S256": shown})
    proof = world.proof(text)
    fields = [("Authorization", f"DPoP {text}"), ("DPoP", proof), *original()]
    for found, status in ((shown, 200), (other, 401), (None, 401)):
        answer = ask(fields, client_certificate=lambda _, found=found: found)
        assert answer.status == status
    assert ask(fields).status == 401


def test_an_unbound_token_passes_where_bearer_is_accepted(
    world: World, ask: Any
) -> None:
    text = world.unbound_token(client_id="caf\u00e9 100%\n", scope="accounts")
    fields = [("Authorization", f"Bearer {text}"), *original()]
    assert ask(fields).status == 401
    world.accept_bearer = True
    answer = ask(fields)
    assert (answer.status, answer.only("X-DPoP-Proof")) == (200, "bearer")
    assert answer.only("X-DPoP-Client") == "caf%C3%A9 100%25%0A"
    assert answer.only("X-DPoP-Key") == "-"
    # Both challenges are in one field, or old gateways hand on one of them.
    answer = ask(original())
    assert answer.status == 401
    assert len(answer.challenges) == 2
    assert len(answer.values("WWW-Authenticate")) == 1
    assert answer.json == {}


def test_the_check_of_the_document_needs_no_replay_store(
    world: World, ask: Any
) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    names: dict[str, Any] = {
        "issuer_keys": {"keys": [world.key.as_dict(private=False)]}
    }
    exec(block, names)
    assert isinstance(names["check"], GatewayCheck)
    assert ask([*credentials(world), *original()], check=names["check"]).status == 401
    verifier = ProofVerifier(NoReplayProtection(), clock=world.clock)
    check = GatewayCheck(verifier, world.validator, hop=HOP, public_url=AUDIENCE)
    assert ask([*credentials(world), *original()], check=check).status == 200


@pytest.mark.requirement("X-15")
def test_questions_that_would_wait_too_long_are_answered_at_once(world: World) -> None:
    """A gateway that hears nothing keeps its own clients waiting."""

    class Busy(Executor):
        """Has threads for nobody."""

        def submit(self, *_: Any, **__: Any) -> Future[Any]:
            return Future()

    app = asgi_gateway.GatewayApplication(
        make_check(world), executor=Busy(), max_pending=1
    )
    scope = {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "headers": [(name.lower().encode(), b"GET") for name, _ in original()],
        "client": ("127.0.0.1", 1),
    }
    sent: list[Any] = []

    async def send_on(message: Any) -> None:
        sent.append(message)

    async def scenario() -> None:
        waiting = asyncio.create_task(app(scope, None, send_on))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        await app(scope, None, send_on)  # type: ignore[arg-type]
        waiting.cancel()

    asyncio.run(scenario())
    start, _ = sent
    assert start["status"] == 503
    assert b"retry-after" in {name.lower() for name, _ in start["headers"]}
