"""Which answers of a resource server have a response proof, in each adapter."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, cast

import pytest
from flask import Flask

from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.request_digest import content_digest, query_digest
from dpop_ext.errors import ResponseProofError
from dpop_ext.integrations import asgi_answers
from dpop_ext.integrations.wsgi import DPoPMiddleware
from dpop_ext.integrations.wsgi_answers import SignedAnswers
from dpop_ext.resource_server.route_policy import RoutePolicy
from dpop_ext.symmetric.derivation import symmetric_key
from dpop_ext.symmetric.mac_key import MacKey
from dpop_ext.symmetric.response import (
    MAX_ANSWER,
    AnsweredRequest,
    ResponseProof,
    verify_response_proof,
)
from dpop_ext.verifier import ProofVerifier
from tests.resource_server.under_wsgi import under_wsgi
from tests.resource_server.world import (
    ADAPTERS,
    AUDIENCE,
    CLIENT,
    ISSUER,
    VERSION,
    R,
    Request,
    Response,
    World,
    ring,
    secret,
    send,
)

adapters = pytest.mark.parametrize("adapter", ADAPTERS)
kinds = pytest.mark.parametrize("kind", ["symmetric", "asymmetric"])
ASKING: dict[str, Any] = {"rsp": True}


@pytest.fixture
def world(world: World) -> World:
    return replace(world, symmetric=True)


def asking(
    world: World,
    kind: str = "symmetric",
    claims: dict[str, Any] = ASKING,
    *,
    token: str | None = None,
    method: str = "GET",
    proof: dict[str, Any] | None = None,
    **changes: Any,
) -> Request:
    """Make a request whose proof has *claims*."""
    token = token or world.symmetric_token()
    make = world.symmetric_proof if kind == "symmetric" else world.proof
    text = make(token, claims=claims, method=method, **(proof or {}))
    headers = [("Authorization", f"DPoP {token}"), ("DPoP", text)]
    return Request(headers=headers, method=method, **changes)


def verify(world: World, request: Request, answer: Response) -> ResponseProof:
    """Verify the response proof as the client would."""
    key = symmetric_key(
        secret(VERSION).secret.reveal(),
        algorithm="HS256",
        issuer=ISSUER,
        audience=AUDIENCE,
        client_id=CLIENT,
        jkt=world.jkt,
        version=VERSION,
        r=R,
    )
    return verify_response_proof(
        answer.values("DPoP-Response"),
        MacKey("HS256", key).response_key(),
        AnsweredRequest.of(
            dict(request.headers)["DPoP"],
            target=request.target,
            content=content_digest(request.body),
        ),
        status=answer.status,
        fields=answer.headers,
        content=answer.body,
        now=world.clock.now,
    )


def assert_unsigned(answer: Response, status: int) -> None:
    assert answer.status == status
    assert answer.values("DPoP-Response") == []


@adapters
@kinds
@pytest.mark.requirement("R2151", "R2152", "R1901", "R2161")
def test_an_answer_has_a_proof_when_it_is_asked_for(
    world: World, adapter: str, kind: str
) -> None:
    app = world.app(adapter)
    for change in (
        {},
        {"target": "/accounts?a=b"},
        {"method": "POST", "body": b"content"},
        {"method": "POST", "body": b"content", "target": "/accounts?"},
    ):
        request = asking(world, kind, **change)
        answer = send(app, request.environ())
        assert verify(world, request, answer).status == 200
    assert_unsigned(send(app, asking(world, kind, {}).environ()), 200)
    assert_unsigned(send(app, asking(world, kind, {"rsp": False}).environ()), 200)


@adapters
@pytest.mark.requirement("R2161")
def test_a_proof_is_for_one_request_and_one_answer(world: World, adapter: str) -> None:
    app = world.app(adapter)
    one, other = asking(world), asking(world)
    answer = send(app, one.environ())
    verify(world, one, answer)
    for request, changed in (
        (other, answer),
        (replace(one, target="/accounts?x"), answer),
        (replace(one, body=b"x"), answer),
        (one, replace(answer, status=201)),
        (one, replace(answer, body=b"{}")),
        (one, replace(answer, headers=[*answer.headers, ("Location", "/")])),
    ):
        with pytest.raises(ResponseProofError):
            verify(world, request, changed)


@adapters
@kinds
@pytest.mark.requirement("R2152")
def test_refusals_after_mac_and_token_have_one(
    world: World, adapter: str, kind: str
) -> None:
    world.use_nonces = True
    stale = {"now": world.clock.now - 4000}
    cases: list[tuple[str, Request, dict[str, Any]]] = [
        ("use_dpop_nonce", asking(world, kind, proof={"nonce": None}), {}),
        ("insufficient_scope", asking(world, kind), {"scope": "admin"}),
        ("invalid_dpop_proof", asking(world, kind, proof=stale), {}),
        ("invalid_dpop_proof", asking(world, kind, ASKING | {"cd": "x"}), {}),
        (
            "invalid_dpop_proof",
            asking(world, kind),
            {"route": RoutePolicy(request_digest=True)},
        ),
    ]
    if kind == "symmetric":
        policy = {"route": RoutePolicy(asymmetric=True)}
        cases.append(("use_dpop_asymmetric", asking(world), policy))
        other = {"url": AUDIENCE + "/other"}
        cases.append(("invalid_dpop_proof", asking(world, proof=other), {}))
    for error, request, setting in cases:
        before = {name: getattr(world, name) for name in setting}
        for name, value in setting.items():
            setattr(world, name, value)
        answer = send(world.app(adapter), request.environ())
        for name, value in before.items():
            setattr(world, name, value)
        assert answer.challenges["DPoP"].get("error") == error
        assert verify(world, request, answer).status == answer.status
    assert len(world.store) == 0


@adapters
@kinds
@pytest.mark.requirement("R2153")
def test_the_refusal_of_a_replay_has_none(
    world: World, adapter: str, kind: str
) -> None:
    app = world.app(adapter)
    request = asking(world, kind)
    verify(world, request, send(app, request.environ()))
    assert_unsigned(send(app, request.environ()), 401)


@adapters
@kinds
@pytest.mark.requirement("R2153")
def test_a_replay_is_one_when_its_nonce_is_too_old_as_well(
    world: World, adapter: str, kind: str
) -> None:
    """Else its demand for a nonce would have the client send the request again."""
    world.use_nonces = True
    app = world.app(adapter)
    used = asking(world, kind, proof={"nonce": world.nonce(age=2)})
    unused = asking(world, kind, proof={"nonce": world.nonce(age=2)})
    verify(world, used, send(app, used.environ()))
    world.clock.advance(45)  # another minute, and within the time of the proofs
    replay = send(app, used.environ())
    assert replay.challenges["DPoP"].get("error") == "use_dpop_nonce"
    assert_unsigned(replay, 401)
    first = send(app, unused.environ())
    assert first.challenges["DPoP"].get("error") == "use_dpop_nonce"
    verify(world, unused, first)
    assert_unsigned(send(app, unused.environ()), 401)


@adapters
@pytest.mark.requirement("R2153")
def test_a_demand_for_a_nonce_is_not_proved_when_nobody_remembers(
    world: World, adapter: str
) -> None:
    world.use_nonces = True
    app = world.app(adapter)
    request = asking(world, proof={"nonce": world.nonce()})
    world.clock.advance(4000)
    answer = send(app, request.environ() | {})
    assert_unsigned(answer, 401)
    assert len(world.store) == 0


@adapters
@kinds
@pytest.mark.requirement("R2153")
def test_a_proof_of_the_future_is_not_remembered_for_a_demand(
    world: World, adapter: str, kind: str
) -> None:
    """It would be for as long as its sender likes."""
    world.use_nonces = True
    app = world.app(adapter)
    for ahead, remembered in [(31, 0), (10**9, 0), (30, 1)]:
        times = {"nonce": "too-old", "now": world.clock.now + ahead}
        answer = send(app, asking(world, kind, proof=times).environ())
        assert answer.challenges["DPoP"].get("error") == "use_dpop_nonce"
        assert len(answer.values("DPoP-Response")) == remembered
        assert len(world.store) == remembered


@adapters
def test_a_proof_that_asks_for_nothing_is_not_used_up_by_a_demand(
    world: World, adapter: str
) -> None:
    world.use_nonces = True
    request = asking(world, claims={}, proof={"nonce": "too-old"})
    assert send(world.app(adapter), request.environ()).status == 401
    assert len(world.store) == 0


@adapters
@pytest.mark.requirement("R2153")
def test_a_key_that_has_expired_signs_nothing(world: World, adapter: str) -> None:
    app = world.app(adapter)
    token = world.symmetric_token(exp=world.clock.now + 100)
    request = asking(world, token=token)
    verify(world, request, send(app, request.environ()))
    world.clock.advance(100)
    for kind, status in (("symmetric", 401), ("asymmetric", 200)):
        late = asking(world, kind, token=token)
        assert_unsigned(send(app, late.environ()), status)


@adapters
@pytest.mark.requirement("R2153")
def test_step_up_is_demanded_of_proofs_for_that_route_only(
    world: World, adapter: str
) -> None:
    """Else a proof that was used on another route could have it demanded here."""
    other = asking(world, proof={"url": AUDIENCE + "/other"})
    world.route = RoutePolicy(asymmetric=True)
    answer = send(world.app(adapter), other.environ())
    assert answer.challenges["DPoP"].get("error") == "invalid_dpop_proof"


@adapters
def test_an_outage_of_the_replay_store_could_hide_a_replay(
    world: World, adapter: str
) -> None:
    def fail(*_args: object, **_kwargs: object) -> bool:
        raise OSError

    app = world.app(adapter)
    world.store.add = fail  # type: ignore[method-assign]
    assert_unsigned(send(app, asking(world).environ()), 503)


@adapters
@pytest.mark.requirement("R1902")
def test_nothing_is_signed_before_mac_and_token_are_verified(
    world: World, adapter: str
) -> None:
    app = world.app(adapter)
    good = asking(world)
    (_, authorization), (_, proof) = good.headers
    forged = authorization[:-8] + "AAAAAAAA"
    expired = world.symmetric_token()
    foreign = world.proof(
        authorization.partition(" ")[2], key=world.other_key, claims=ASKING
    )
    for headers in (
        [("Authorization", authorization), ("DPoP", proof[:-8] + "AAAAAAAA")],
        [("Authorization", forged), ("DPoP", proof)],
        [("Authorization", authorization), ("DPoP", foreign)],
        [("Authorization", forged), ("DPoP", proof), ("DPoP", proof)],
        [("Authorization", authorization)],
    ):
        assert_unsigned(send(app, replace(good, headers=headers).environ()), 401)
    # A forged token with a good MAC, from somebody who edits his own token.
    for kind in ("symmetric", "asymmetric"):
        edited = expired[:-8] + "AAAAAAAA"
        request = asking(world, kind, token=edited)
        assert_unsigned(send(app, request.environ()), 401)
    verify(world, good, send(app, good.environ()))


@adapters
@pytest.mark.requirement("R1510", "R2152")
def test_a_revoked_key_signs_nothing(world: World, adapter: str) -> None:
    app = world.app(adapter)
    world.keyring.replace(ring(secret(VERSION, "revoked")))
    assert_unsigned(send(app, asking(world).environ()), 401)
    assert_unsigned(send(app, asking(world, "asymmetric").environ()), 200)


@adapters
@pytest.mark.requirement("R2151")
def test_a_token_without_a_key_signs_nothing(world: World, adapter: str) -> None:
    app = world.app(adapter)
    request = asking(world, "asymmetric", token=world.token())
    assert_unsigned(send(app, request.environ()), 200)
    world.symmetric, world._verifier = False, None
    plain = asking(world, "asymmetric")
    assert_unsigned(send(world.app(adapter), plain.environ()), 200)


@adapters
def test_the_key_of_an_hs512_token_signs_with_hs256(world: World, adapter: str) -> None:
    token = world.symmetric_token(alg="HS512")
    request = asking(world, "asymmetric", token=token)
    answer = send(world.app(adapter), request.environ())
    assert answer.status == 200
    key = symmetric_key(
        secret(VERSION).secret.reveal(),
        algorithm="HS512",
        issuer=ISSUER,
        audience=AUDIENCE,
        client_id=CLIENT,
        jkt=world.jkt,
        version=VERSION,
        r=R,
    )
    verify_response_proof(
        answer.values("DPoP-Response"),
        MacKey("HS512", key).response_key(),
        AnsweredRequest.of(
            dict(request.headers)["DPoP"],
            target="/accounts",
            content=content_digest(b""),
        ),
        status=200,
        fields=answer.headers,
        content=answer.body,
        now=world.clock.now,
    )


@adapters
def test_the_key_of_another_r_is_another_key(world: World, adapter: str) -> None:
    token = world.symmetric_token(r=b64url_encode(bytes(32)))
    request = asking(world, "asymmetric", token=token)
    with pytest.raises(ResponseProofError, match="key"):
        verify(world, request, send(world.app(adapter), request.environ()))


@adapters
def test_content_over_the_limit_is_refused_and_cannot_be_signed(
    world: World, adapter: str
) -> None:
    world.route = RoutePolicy(max_content=10)
    app = world.app(adapter)
    short = asking(world, method="POST", body=b"a" * 10)
    verify(world, short, send(app, short.environ()))
    long = asking(world, method="POST", body=b"a" * 11)
    assert_unsigned(send(app, long.environ()), 413)


@adapters
@pytest.mark.requirement("R2162")
def test_head_is_answered_with_the_digest_of_nothing(
    world: World, adapter: str
) -> None:
    request = asking(world, method="HEAD")
    answer = send(world.app(adapter), request.environ())
    answer = replace(answer, body=b"")  # a server sends none
    assert verify(world, request, answer).status == 200


Body = Callable[[Any], Iterable[bytes]]


def behind(world: World, status: str, fields: list[tuple[str, str]], body: Body) -> Any:
    """Return an application that answers so, behind the middleware."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        return body(start_response(status, list(fields)))

    return DPoPMiddleware(
        app, verifier=world.verifier, find_token=world.validator, public_url=AUDIENCE
    )


def generated(*pieces: bytes) -> Body:
    return lambda _write: iter(pieces)


@pytest.mark.requirement("R2162")
@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_answers_without_content(world: World, status: str) -> None:
    request = asking(world)
    app = behind(world, status, [("ETag", '"1"')], generated())
    assert verify(world, request, send(app, request.environ())).status == int(
        status[:3]
    )


@pytest.mark.requirement("R2164")
@pytest.mark.parametrize(
    ("fields", "body", "signed"),
    [
        ([], lambda _write: [b"a", b"b"], True),
        ([], lambda _write: [], True),
        ([("Content-Length", "2")], generated(b"a", b"", b"b"), True),
        ([("Content-Length", "0")], generated(), True),
        ([], generated(b"a", b"b"), False),
        ([("Content-Length", "3")], generated(b"a", b"b"), False),
        ([("Content-Length", "1")], generated(b"a", b"b"), False),
        ([("Content-Length", "x")], lambda _write: [b"a"], False),
        ([("Content-Length", "9" * 5000)], generated(b"a"), False),
        ([("Content-Length", "1"), ("Content-Length", "1")], generated(b"a"), False),
        ([], lambda _write: [b"a" * MAX_ANSWER], True),
        ([], lambda _write: [b"a" * (MAX_ANSWER + 1)], False),
        ([("Content-Length", "5")], generated(b"a" * (MAX_ANSWER + 1)), False),
        ([], lambda write: [write(b"a") or b"b"], False),
        ([("ETag", "a" * 70_000)], lambda _write: [b"a"], False),
        ([("DPoP-Response", "a.b.c")], lambda _write: [b"a"], True),
    ],
)
def test_answers_of_known_length_have_a_proof_and_streams_pass(
    world: World, fields: list[tuple[str, str]], body: Body, signed: bool
) -> None:
    request = asking(world)
    environ = request.environ()
    plain = asking(world, claims={}).environ()
    app = behind(world, "200 OK", fields, body)
    answer = send(app, environ)
    assert answer.body == send(app, plain).body
    if signed:
        verify(world, request, answer)
    else:
        assert_unsigned(answer, 200)


def test_a_stream_is_not_read_before_it_is_sent(world: World) -> None:
    read: list[int] = []

    def stream(_write: Any) -> Iterator[bytes]:
        for number in range(3):
            read.append(number)
            yield b"a"

    sent: list[str] = []
    app = behind(world, "200 OK", [], stream)
    body = app(asking(world).environ(), lambda status, _headers: sent.append(status))
    assert sent == ["200 OK"]
    assert read == []
    assert b"".join(body) == b"aaa"


def test_an_answer_that_starts_with_its_first_piece(world: World) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "2")])
        yield b"a"
        yield b"b"

    lazy = DPoPMiddleware(
        app, verifier=world.verifier, find_token=world.validator, public_url=AUDIENCE
    )
    request = asking(world)
    answer = send(lazy, request.environ())
    assert answer.body == b"ab"
    verify(world, request, answer)


@pytest.mark.parametrize("claims", [{}, ASKING])
def test_the_application_is_closed(world: World, claims: dict[str, Any]) -> None:
    class Closing(list[bytes]):
        closed = 0

        def close(self) -> None:
            Closing.closed += 1

    app = behind(world, "200 OK", [], lambda _write: Closing([b"a"]))
    send(app, asking(world, claims=claims).environ())
    assert Closing.closed == 1


@pytest.mark.parametrize("claims", [{}, ASKING])
def test_the_application_is_closed_when_its_answer_breaks_off(
    world: World, claims: dict[str, Any]
) -> None:
    class Failing:
        closed = 0

        def __iter__(self) -> Iterator[bytes]:
            yield b"a"
            raise OSError

        def close(self) -> None:
            Failing.closed += 1

    answer = behind(
        world, "200 OK", [("Content-Length", "2")], lambda _write: Failing()
    )
    with pytest.raises(OSError):  # noqa: PT011 - of any kind
        send(answer, asking(world, claims=claims).environ())
    assert Failing.closed == 1


def test_an_error_after_the_start_replaces_it(world: World) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        try:
            raise ValueError
        except ValueError as error:
            info = (type(error), error, error.__traceback__)
            start_response("500 Internal Server Error", [], info)
        return [b"sorry"]

    failing = DPoPMiddleware(
        app, verifier=world.verifier, find_token=world.validator, public_url=AUDIENCE
    )
    request = asking(world)
    answer = send(failing, request.environ())
    assert verify(world, request, answer).status == 500


@pytest.mark.requirement("R2154")
def test_two_layers_sign_once_and_the_outer_one_does(world: World) -> None:
    for app in (
        SignedAnswers(world.app("wsgi")),
        DPoPMiddleware(
            world.app("flask"),
            verifier=world.verifier,
            find_token=world.validator,
            public_url=AUDIENCE,
        ),
    ):
        request = asking(world)
        verify(world, request, send(app, request.environ()))


@pytest.mark.requirement("R2162")
def test_what_is_changed_between_two_layers_is_covered(world: World) -> None:
    for inner in (
        world.app("wsgi"),
        world.app("flask"),
        SignedAnswers(world.app("wsgi")),
    ):

        def changing(environ: Any, start: Any, inner: Any = inner) -> Iterable[bytes]:
            def changed(status: str, fields: Any, *more: Any) -> Any:
                return start(status, [("Content-Type", "text/plain")], *more)

            return [b"".join(inner(environ, changed)).upper()]

        request = asking(world)
        answer = send(SignedAnswers(changing), request.environ())
        assert answer.body.startswith(b'{"CLIENT"') or answer.body.startswith(
            b'{"KIND"'
        )
        verify(world, request, answer)


@pytest.mark.requirement("R2162")
def test_what_is_changed_between_two_layers_of_asgi_is_covered(world: World) -> None:
    for inner in (world.asgi_app(), asgi_answers.SignedAnswers(world.asgi_app())):

        async def changing(
            scope: Any, receive: Any, send: Any, inner: Any = inner
        ) -> None:
            async def changed(message: Any) -> None:
                body = message.get("body", b"").upper()
                await send({**message, "body": body} if body else message)

            await inner(scope, receive, changed)

        app = under_wsgi(asgi_answers.SignedAnswers(changing))
        request = asking(world)
        answer = send(app, request.environ())
        assert answer.body.startswith(b'{"KIND"')
        verify(world, request, answer)


def test_a_handshake_has_no_answer_to_sign() -> None:
    seen = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(scope)

    handshake, nobody = {"type": "websocket"}, cast("Any", None)
    asyncio.run(asgi_answers.SignedAnswers(app)(handshake, nobody, nobody))
    assert seen == [handshake]


def test_a_flask_application_without_signed_answers_signs_none(world: World) -> None:
    app = Flask("unsigned")
    app.add_url_rule(
        "/accounts", view_func=world.protector()("accounts")(lambda: "answer")
    )
    assert_unsigned(send(app, asking(world).environ()), 200)


@adapters
@pytest.mark.requirement("R2163")
def test_the_fields_of_the_application_are_covered(world: World, adapter: str) -> None:
    world.answer_headers = [("ETag", '"1"'), ("Location", "/a"), ("X-Other", "1")]
    request = asking(world)
    answer = send(world.app(adapter), request.environ())
    verify(world, request, answer)
    for name in ("ETag", "Location"):
        rest = [field for field in answer.headers if field[0].lower() != name.lower()]
        with pytest.raises(ResponseProofError):
            verify(world, request, replace(answer, headers=rest))


@adapters
def test_a_next_nonce_comes_with_the_proof(world: World, adapter: str) -> None:
    world.use_nonces = True
    request = asking(world, proof={"nonce": world.nonce(age=1)})
    answer = send(world.app(adapter), request.environ())
    assert answer.only("DPoP-Nonce") == world.nonce()
    verify(world, request, answer)


@pytest.mark.requirement("R2151")
def test_an_opaque_token_can_have_a_key_too(world: World) -> None:
    token = world.validator(world.symmetric_token())
    verifier = ProofVerifier(
        world.store,
        keyring=world.keyring,
        issuer=ISSUER,
        audience=AUDIENCE,
        token_form="opaque",
        clock=world.clock,
    )
    app = DPoPMiddleware(
        lambda _environ, start: (start("200 OK", []) and []) or [b"answer"],
        verifier=verifier,
        find_token={"opaque": token}.get,
        public_url=AUDIENCE,
    )
    for kind in ("symmetric", "asymmetric"):
        request = asking(world, kind, token="opaque")
        verify(world, request, send(app, request.environ()))
    good = asking(world, token="opaque")
    (authorization, (_, proof)) = good.headers
    headers = [authorization, ("DPoP", proof[:-8] + "AAAAAAAA")]
    assert_unsigned(send(app, replace(good, headers=headers).environ()), 401)


def test_hq_and_cd_beside_rsp(world: World) -> None:
    claims = ASKING | {"cd": content_digest(b"x"), "hq": query_digest("/?a")}
    request = asking(
        world, claims=claims, method="POST", body=b"x", target="/accounts?a"
    )
    verify(world, request, send(world.app("wsgi"), request.environ()))
