"""What a proof says of content and query, and what a route demands, in each adapter."""

from __future__ import annotations

import gzip
import io
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask, request

from dpop_ext.core.request_digest import content_digest, query_digest
from dpop_ext.integrations.wsgi import DPoPMiddleware
from dpop_ext.resource_server.credentials import ResourceRequest
from dpop_ext.resource_server.gate import Gate
from dpop_ext.resource_server.refusal import AccessRefusedError
from dpop_ext.resource_server.route_policy import MAX_CONTENT, RoutePolicy
from tests.resource_server.cases import FORM
from tests.resource_server.world import (
    ADAPTERS,
    AUDIENCE,
    Request,
    Response,
    World,
    ring,
    secret,
    send,
)

adapters = pytest.mark.parametrize("adapter", ADAPTERS)
kinds = pytest.mark.parametrize("kind", ["symmetric", "asymmetric"])
TARGET = "/accounts?to=bob&amount=10"
CONTENT = b'{"amount": 10}'


@pytest.fixture
def world(world: World) -> World:
    return replace(world, symmetric=True)


class Unread(io.RawIOBase):
    """A body that must not be read."""

    def read(self, size: int = -1) -> bytes:
        raise AssertionError("the content was read")


def digests(content: bytes = CONTENT) -> dict[str, Any]:
    return {"cd": content_digest(content), "hq": query_digest(TARGET)}


def posted(
    world: World,
    kind: str,
    claims: dict[str, Any],
    *,
    body: bytes = CONTENT,
    **changes: Any,
) -> Request:
    """Make a POST whose proof has *claims*."""
    token = world.symmetric_token()
    make = world.symmetric_proof if kind == "symmetric" else world.proof
    proof = make(token, method="POST", claims=claims)
    headers = [("Authorization", f"DPoP {token}"), ("DPoP", proof)]
    fields = {"target": TARGET} | changes
    headers += fields.pop("more", [])
    return Request(headers=headers, method="POST", body=body, **fields)


def echoing(world: World, adapter: str) -> Any:
    """Return an application that answers with the content that it could read."""
    if adapter == "wsgi":

        def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            start_response("200 OK", [])
            return [environ["wsgi.input"].read()]

        return DPoPMiddleware(
            app,
            verifier=world.verifier,
            find_token=world.validator,
            public_url=AUDIENCE,
            route=world.route,
        )
    flask = Flask("echo")

    @flask.post("/accounts")
    @world.protector()(route=world.route)  # type: ignore[untyped-decorator]
    def view() -> bytes:
        return request.get_data()

    return flask


def assert_refused(answer: Response, world: World) -> None:
    assert answer.status == 401
    assert answer.challenges["DPoP"].get("error") == "invalid_dpop_proof"
    assert not answer.body.startswith(CONTENT)
    assert len(world.store) == 0


@adapters
@kinds
@pytest.mark.requirement("R2141", "R2143", "R2144")
def test_the_view_gets_what_the_proof_is_for(
    world: World, kind: str, adapter: str
) -> None:
    answer = send(echoing(world, adapter), posted(world, kind, digests()).environ())
    assert (answer.status, answer.body) == (200, CONTENT)


@adapters
@kinds
@pytest.mark.requirement("R2141", "R2142", "T21")
@pytest.mark.parametrize("required", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        {"body": CONTENT + b" "},
        {"body": b""},
        {"target": "/accounts?to=eve&amount=10"},
        {"target": "/accounts"},
        {"target": TARGET.replace("to=", "t%6F=")},
    ],
    ids=["longer content", "no content", "other query", "no query", "same, escaped"],
)
def test_a_body_or_query_that_was_changed_is_refused(
    world: World, adapter: str, kind: str, required: bool, change: dict[str, Any]
) -> None:
    world.route = RoutePolicy(request_digest=required)
    app = echoing(world, adapter)
    assert_refused(send(app, posted(world, kind, digests(), **change).environ()), world)
    assert send(app, posted(world, kind, digests()).environ()).status == 200


@adapters
@kinds
@pytest.mark.requirement("R2142")
def test_a_route_may_demand_both_digests(world: World, adapter: str, kind: str) -> None:
    loose, strict = echoing(world, adapter), RoutePolicy(request_digest=True)
    for absent in ("cd", "hq"):
        claims = digests()
        del claims[absent]
        assert send(loose, posted(world, kind, claims).environ()).status == 200
    world.route, world._verifier = strict, None
    world.store = type(world.store)()
    app = echoing(world, adapter)
    for claims in ({}, {"cd": digests()["cd"]}, {"hq": digests()["hq"]}):
        assert_refused(send(app, posted(world, kind, claims).environ()), world)


@adapters
@pytest.mark.requirement("R2143")
def test_the_content_is_hashed_before_its_coding_is_undone(
    world: World, adapter: str
) -> None:
    coded = gzip.compress(CONTENT)
    more = [("Content-Encoding", "gzip")]
    app = echoing(world, adapter)
    good = posted(world, "symmetric", digests(coded), body=coded, more=more)
    assert send(app, good.environ()).body == coded
    bad = posted(world, "symmetric", digests(CONTENT), body=coded, more=more)
    assert send(app, bad.environ()).status == 401


@adapters
@pytest.mark.requirement("R2143")
def test_no_content_is_the_empty_string(world: World, adapter: str) -> None:
    app = echoing(world, adapter)
    sent = posted(world, "symmetric", digests(b""), body=b"")
    assert send(app, sent.environ()).status == 200


@adapters
def test_a_form_is_hashed_as_it_came_and_still_parsed(
    world: World, adapter: str
) -> None:
    form = b"to=bob&amount=10"
    sent = posted(world, "symmetric", digests(form), body=form, more=[FORM])
    assert send(echoing(world, adapter), sent.environ()).body == form
    changed = posted(world, "symmetric", digests(b"to=eve"), body=form, more=[FORM])
    assert send(echoing(world, adapter), changed.environ()).status == 401


@adapters
def test_chunked_content_is_read_to_its_end(world: World, adapter: str) -> None:
    chunked: dict[str, Any] = {"HTTP_TRANSFER_ENCODING": "chunked"}
    app = echoing(world, adapter)
    environ = posted(world, "symmetric", digests()).environ(**chunked)
    del environ["CONTENT_LENGTH"]
    answer = send(app, environ | {"wsgi.input_terminated": True})
    assert (answer.status, answer.body) == (200, CONTENT)


@adapters
@pytest.mark.requirement("P-17")
@pytest.mark.parametrize("length", ["-1", "+5", "x", "\xb2", "1" * 5000])
def test_content_of_unknown_length_is_refused(
    world: World, adapter: str, length: str
) -> None:
    app = echoing(world, adapter)
    good = posted(world, "symmetric", digests()).environ()
    odd = good | {"CONTENT_LENGTH": length, "wsgi.input": Unread()}
    chunked = good | {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input": Unread()}
    del chunked["CONTENT_LENGTH"]
    for environ in (odd, chunked):
        answer = send(app, environ)
        assert answer.status == 400
        assert answer.challenges["DPoP"].get("error") == "invalid_request"
    assert len(world.store) == 0


@adapters
@pytest.mark.parametrize("known", [True, False])
def test_content_has_a_limit(world: World, adapter: str, known: bool) -> None:
    world.route = RoutePolicy(max_content=100)
    app = echoing(world, adapter)
    for size, status in ((100, 200), (101, 413)):
        body = b"a" * size
        environ = posted(world, "symmetric", digests(body), body=body).environ()
        if not known:
            del environ["CONTENT_LENGTH"]
            environ["wsgi.input_terminated"] = True
        assert send(app, environ).status == status
    body = b"a" * (MAX_CONTENT + 1)
    unhashed = posted(world, "symmetric", {"hq": query_digest(TARGET)}, body=body)
    assert send(app, unhashed.environ()).body == body


@adapters
@kinds
def test_content_is_not_read_for_a_proof_without_its_digest(
    world: World, adapter: str, kind: str
) -> None:
    app = world.app(adapter)
    for claims in ({}, {"hq": query_digest(TARGET)}):
        environ = posted(world, kind, claims).environ()
        assert send(app, environ | {"wsgi.input": Unread()}).status == 200


@adapters
@pytest.mark.requirement("R1902", "R1503")
@pytest.mark.parametrize("claims", [digests(), digests() | {"rsp": True}])
def test_nothing_is_read_before_mac_and_token_are_verified(
    world: World, adapter: str, claims: dict[str, Any]
) -> None:
    app = world.app(adapter)
    good = posted(world, "symmetric", claims)
    (_, token), (_, proof) = good.headers
    forged = token[:-8] + "AAAAAAAA"
    for headers in (
        [("Authorization", token), ("DPoP", proof[:-8] + "AAAAAAAA")],
        [("Authorization", forged), ("DPoP", proof)],
    ):
        bad = replace(good, headers=headers).environ()
        assert send(app, bad | {"wsgi.input": Unread()}).status == 401
    world.keyring.replace(ring(secret(7, "revoked")))
    assert send(app, good.environ() | {"wsgi.input": Unread()}).status == 401


@adapters
def test_content_that_breaks_off_is_refused(world: World, adapter: str) -> None:
    environ = posted(world, "symmetric", digests()).environ(CONTENT_LENGTH="1000")
    assert send(echoing(world, adapter), environ).status == 400
    assert len(world.store) == 0


def test_content_that_flask_read_before_is_found_or_missed(world: World) -> None:
    app = echoing(world, "flask")
    keep = [True]
    app.before_request(lambda: request.get_data(cache=keep[0]) and None)
    answer = send(app, posted(world, "symmetric", digests()).environ())
    assert (answer.status, answer.body) == (200, CONTENT)
    keep[0] = False
    assert send(app, posted(world, "symmetric", digests()).environ()).status == 401


def test_two_layers_read_the_content_one_after_the_other(world: World) -> None:
    app = DPoPMiddleware(
        echoing(world, "flask"),
        verifier=world.verifier,
        find_token=world.validator,
        public_url=AUDIENCE,
    )
    answer = send(app, posted(world, "symmetric", digests()).environ())
    assert (answer.status, answer.body) == (200, CONTENT)


def test_a_gate_that_cannot_see_the_content_refuses_its_digest(world: World) -> None:
    gate = Gate(world.verifier, world.validator, public_url=AUDIENCE)

    def asked(claims: dict[str, Any]) -> ResourceRequest:
        (_, token), (_, proof) = posted(world, "symmetric", claims).headers
        return ResourceRequest(
            method="POST",
            scheme="https",
            host="api.example.com",
            raw_target=TARGET,
            authorization=(token,),
            proofs=(proof,),
        )

    assert gate.check(asked({"hq": query_digest(TARGET)})).proof
    with pytest.raises(AccessRefusedError) as caught:
        gate.check(asked(digests()))
    assert caught.value.refusal.reason == "digest_mismatch"


@adapters
@pytest.mark.requirement("R1511", "T6", "T1")
def test_step_up(world: World, adapter: str) -> None:
    world.route = RoutePolicy(asymmetric=True)
    app = world.app(adapter)
    refused = send(app, posted(world, "symmetric", {}).environ())
    assert refused.status == 401
    challenge = refused.challenges["DPoP"]
    assert challenge.get("error") == "use_dpop_asymmetric"
    assert challenge.get("sym_error") == "policy"
    assert (world.served, len(world.store)) == (0, 0)
    assert send(app, posted(world, "asymmetric", {}).environ()).status == 200
    world.route = RoutePolicy()
    open_route = world.app(adapter)
    assert send(open_route, posted(world, "symmetric", {}).environ()).status == 200


@adapters
@pytest.mark.requirement("T6")
def test_no_mac_accepted_on_step_up_route_and_a_bad_one_says_nothing(
    world: World, adapter: str
) -> None:
    world.route = RoutePolicy(asymmetric=True)
    app = world.app(adapter)
    good = posted(world, "symmetric", {})
    (authorization, (_, proof)) = good.headers
    bad = replace(good, headers=[authorization, ("DPoP", proof[:-8] + "AAAAAAAA")])
    assert_refused(send(app, bad.environ()), world)


@adapters
@pytest.mark.parametrize(
    "route", [RoutePolicy(asymmetric=True), RoutePolicy(request_digest=True)]
)
def test_a_route_that_demands_something_takes_no_bearer_token(
    world: World, adapter: str, route: RoutePolicy
) -> None:
    world.accept_bearer = True
    bearer = Request(headers=[("Authorization", f"Bearer {world.unbound_token()}")])
    assert send(world.app(adapter), bearer.environ()).status == 200
    world.route = route
    refused = send(world.app(adapter), bearer.environ())
    assert refused.status == 401
    assert refused.challenges["Bearer"].get("error") == "invalid_token"
    assert world.served == 1


@pytest.mark.parametrize("adapter", ["wsgi", "asgi"])
def test_the_policy_may_depend_on_the_request(world: World, adapter: str) -> None:
    name = "REQUEST_METHOD" if adapter == "wsgi" else "method"

    def route(asked: dict[str, Any]) -> RoutePolicy:
        return RoutePolicy(asymmetric=asked[name] == "POST")

    world.route = route  # type: ignore[assignment]
    app = world.app(adapter)
    assert send(app, posted(world, "symmetric", {}).environ()).status == 401
    token = world.symmetric_token()
    proof = world.symmetric_proof(token)
    headers = [("Authorization", f"DPoP {token}"), ("DPoP", proof)]
    assert send(app, Request(headers=headers).environ()).status == 200


def test_a_policy_with_a_limit_below_nothing_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="bytes"):
        RoutePolicy(max_content=-1)


@adapters
def test_the_query_is_known_without_the_raw_target(world: World, adapter: str) -> None:
    app = echoing(world, adapter)
    environ = posted(world, "symmetric", digests()).environ()
    del environ["RAW_URI"]
    assert send(app, environ).status == 200
    other = posted(world, "symmetric", digests()).environ(QUERY_STRING="to=eve")
    del other["RAW_URI"]
    assert send(app, other).status == 401


@adapters
@pytest.mark.requirement("P-17")
@pytest.mark.parametrize("claim", ["cd", "hq", "rsp"])
@pytest.mark.parametrize("value", [None, 1, "true", "", [], {}, "A" * 43])
def test_claims_of_another_type_are_refused(
    world: World, adapter: str, claim: str, value: Any
) -> None:
    claims = digests() | {claim: value}
    sent = posted(world, "symmetric", claims).environ()
    assert_refused(send(world.app(adapter), sent), world)
