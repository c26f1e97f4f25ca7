"""IntrospectionTokenValidator: what is believed of an answer, and what is sent."""

from __future__ import annotations

import base64
import json
import logging
import threading
import traceback
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.error import URLError
from urllib.parse import parse_qs

import pytest
from joserfc.jwk import ECKey

from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.jose import parse_compact_jws
from dpop_ext.core.jws_signature import verify_signature
from dpop_ext.errors import AccessTokenError, StoreError
from dpop_ext.integrations.wsgi import DPoPMiddleware
from dpop_ext.resource_server import IntrospectionTokenValidator, question
from dpop_ext.resource_server.transport import StatusError
from dpop_ext.stores.circuit import CircuitBreaker
from dpop_ext.verifier import ProofVerifier
from tests.conftest import Clock
from tests.patience import PATIENCE
from tests.resource_server.world import (
    AUDIENCE,
    CLIENT,
    ISSUER,
    R,
    Request,
    World,
    send,
)

ENDPOINT = "https://as.example.com/introspect"


class Server:
    """Answers introspection requests and remembers them."""

    def __init__(self, world: World) -> None:
        self.answer: Any = {
            "active": True,
            "iss": ISSUER,
            "aud": AUDIENCE,
            "client_id": CLIENT,
            "exp": world.clock.now + 300,
            "scope": "accounts",
            "token_type": "DPoP",
            "cnf": {"jkt": world.jkt},
        }
        self.failure: Exception | None = None
        self.requests: list[tuple[str, bytes, Mapping[str, str]]] = []

    def __call__(self, url: str, *, data: bytes, headers: Mapping[str, str]) -> bytes:
        self.requests.append((url, data, headers))
        if self.failure:
            raise self.failure
        if isinstance(self.answer, bytes):
            return self.answer
        present = {n: v for n, v in self.answer.items() if v is not ...}
        return json.dumps(present).encode()


@pytest.fixture
def server(world: World) -> Server:
    return Server(world)


@pytest.fixture
def introspect(world: World, server: Server) -> IntrospectionTokenValidator:
    return IntrospectionTokenValidator(
        ENDPOINT,
        client_id="api:1",
        client_secret="s/e c",
        issuer=ISSUER,
        audience=AUDIENCE,
        post=server,
        clock=world.clock,
    )


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (StatusError("the answer has the status 401"), "has the status 401"),
        (
            URLError(OSError(111, "Connection refused")),
            "URLError: 'Connection refused'",
        ),
        (OSError("something secret"), "OSError"),
    ],
)
def test_who_looks_into_the_log_learns_why_there_is_no_answer(
    introspect: IntrospectionTokenValidator,
    server: Server,
    failure: Exception,
    text: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server.failure = failure
    with pytest.raises(StoreError):
        introspect("token")
    (record,) = caplog.records
    assert vars(record)["event"] == "introspection_failed"
    assert record.getMessage().endswith(text)
    assert f"'{ENDPOINT}'" in record.getMessage()
    assert "secret" not in record.getMessage()


@pytest.mark.requirement("B-7", "J-4")
def test_an_active_token_is_read(
    world: World, introspect: IntrospectionTokenValidator
) -> None:
    token = introspect("opaque")
    assert token.confirmation is not None
    assert token.confirmation.jkt == world.jkt
    assert (token.issuer, token.client_id, token.scope) == (ISSUER, CLIENT, "accounts")


@pytest.mark.requirement("J-4")
def test_the_server_authenticates_as_itself_and_sends_the_token_alone(
    server: Server, introspect: IntrospectionTokenValidator
) -> None:
    introspect("opaque+/=")
    ((url, data, headers),) = server.requests
    assert url == ENDPOINT
    assert parse_qs(data.decode()) == {
        "token": ["opaque+/="],
        "token_type_hint": ["access_token"],
    }
    scheme, _, credentials = headers["Authorization"].partition(" ")
    assert scheme == "Basic"
    assert base64.b64decode(credentials) == b"api%3A1:s%2Fe+c"
    assert "DPoP" not in headers


@pytest.mark.requirement("J-4", "F-11")
def test_a_revoked_token_is_refused_at_once(
    server: Server, introspect: IntrospectionTokenValidator
) -> None:
    introspect("opaque")
    server.answer = {"active": False}
    with pytest.raises(AccessTokenError):
        introspect("opaque")


@pytest.mark.requirement("J-4", "B-8", "B-1")
@pytest.mark.parametrize(
    "changes",
    [
        {"active": "true"},
        {"active": 1},
        {"active": None},
        {"active": ...},
        {"active": [True]},
        {"iss": "https://other.example"},
        {"iss": 1},
        {"aud": "https://other.example"},
        {"aud": ...},
        {"exp": "soon"},
        {"exp": 1_790_000_000},
        {"nbf": 1_790_000_061},
        {"scope": ["accounts"]},
        {"client_id": 1},
        {"cnf": ...},
        {"cnf": None},
        {"cnf": {}},
        {"cnf": {"jkt": "x"}},
        {"cnf": {"x5t#S256": "a" * 43}},
        {"cnf": ..., "token_type": "dpop"},
    ],
)
def test_what_cannot_be_relied_on_is_refused(
    server: Server, introspect: IntrospectionTokenValidator, changes: dict[str, Any]
) -> None:
    server.answer |= changes
    with pytest.raises(AccessTokenError):
        introspect("opaque")


@pytest.mark.requirement("B-1")
def test_an_unbound_token_is_known_to_be_unbound(
    server: Server, introspect: IntrospectionTokenValidator
) -> None:
    server.answer |= {"cnf": ..., "token_type": "Bearer"}
    assert introspect("opaque").confirmation is None


@pytest.mark.parametrize("member", ["iss", "client_id", "exp"])
@pytest.mark.requirement("R1501", "R2232")
def test_a_symmetric_key_needs_all_that_goes_into_it(
    world: World,
    server: Server,
    introspect: IntrospectionTokenValidator,
    member: str,
) -> None:
    server.answer[member] = ...
    introspect("opaque")
    dsk = {"alg": "HS256", "v": 7, "r": b64url_encode(R)}
    server.answer["cnf"] = {"jkt": world.jkt, "dsk": dsk}
    with pytest.raises(AccessTokenError):
        introspect("opaque")


@pytest.mark.parametrize(
    "answer", [b"", b"null", b"[]", b'{"active":true,"active":true}', b"\xff", b"{"]
)
@pytest.mark.requirement("X-15")
def test_an_answer_that_is_none_decides_nothing(
    server: Server, introspect: IntrospectionTokenValidator, answer: bytes
) -> None:
    server.answer = answer
    with pytest.raises(StoreError):
        introspect("opaque")


@pytest.mark.parametrize("failure", [OSError(), TimeoutError(), RuntimeError()])
@pytest.mark.requirement("X-15")
def test_when_the_server_is_down_nothing_is_decided(
    server: Server, introspect: IntrospectionTokenValidator, failure: Exception
) -> None:
    server.failure = failure
    with pytest.raises(StoreError):
        introspect("opaque")


def test_a_server_that_lets_us_wait_is_not_asked_for_a_while(
    world: World,
    server: Server,
    introspect: IntrospectionTokenValidator,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(question, "SLOW", 0)
    introspect._circuit = CircuitBreaker(failures=2, seconds=1, clock=world.clock)
    server.failure = TimeoutError()
    for _ in range(9):
        with pytest.raises(StoreError):
            introspect("opaque")
    assert len(server.requests) == 2
    # Nor is each of the others in the log as one that was asked.
    assert len(caplog.records) == 2
    server.failure = None
    world.clock.advance(1)
    assert introspect("opaque").scope == "accounts"
    introspect("opaque")
    assert len(server.requests) == 4


def test_a_token_that_makes_the_server_fail_at_once_keeps_no_other_from_it(
    server: Server, introspect: IntrospectionTokenValidator
) -> None:
    server.failure = ConnectionResetError()
    for _ in range(9):
        with pytest.raises(StoreError):
            introspect("opaque")
    server.failure = None
    assert introspect("another").scope == "accounts"
    assert len(server.requests) == 10


@pytest.mark.requirement("X-15")
def test_failures_at_once_between_those_that_are_waited_for_change_nothing(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    circuit = CircuitBreaker(failures=2, seconds=1, max_calls=1, clock=clock)

    def fail(*, slowly: bool) -> None:
        def ask() -> None:
            raise TimeoutError

        monkeypatch.setattr(question, "SLOW", 0 if slowly else 60)
        with pytest.raises(TimeoutError):
            question.put(ask, circuit=circuit)

    for slowly in (True, False, False, True):
        fail(slowly=slowly)
    with pytest.raises(StoreError, match="lately"):
        question.put(lambda: "", circuit=circuit)
    # Once it is open they let others through, until the next that is waited for.
    clock.advance(1)
    fail(slowly=False)
    fail(slowly=False)
    fail(slowly=True)
    with pytest.raises(StoreError, match="lately"):
        question.put(lambda: "", circuit=circuit)
    # An answer closes it.
    clock.advance(1)
    assert question.put(lambda: "answer", circuit=circuit) == "answer"
    fail(slowly=True)
    assert question.put(lambda: "answer", circuit=circuit) == "answer"


@pytest.mark.requirement("X-15")
def test_a_question_that_failed_is_not_in_its_own_traceback() -> None:
    def fail() -> None:
        raise StatusError(400)

    with pytest.raises(StatusError) as caught:
        question.put(fail, circuit=CircuitBreaker())
    frames = [frame for frame, _ in traceback.walk_tb(caught.tb)]
    assert frames[-1].f_code is fail.__code__
    kept = [frame.f_locals for frame in frames if frame.f_globals is vars(question)]
    assert kept
    assert all(caught.value not in values.values() for values in kept)


def test_so_many_questions_wait_for_an_answer_and_no_more(world: World) -> None:
    answering = Server(world)
    waits, goes_on = threading.Event(), threading.Event()

    def post(url: str, **sent: Any) -> bytes:
        waits.set()
        goes_on.wait(PATIENCE)
        return answering(url, **sent)

    introspect = IntrospectionTokenValidator(
        ENDPOINT,
        client_id="api:1",
        client_secret="s",
        issuer=ISSUER,
        audience=AUDIENCE,
        post=post,
        circuit=CircuitBreaker(max_calls=1),
        clock=world.clock,
    )
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(introspect, "first")
        assert waits.wait(PATIENCE)
        with pytest.raises(StoreError):
            introspect("second")
        goes_on.set()
        assert first.result(PATIENCE).scope == "accounts"
    assert len(answering.requests) == 1
    introspect("second")


@pytest.mark.parametrize(
    "text",
    ["a" * (16 * 1024 + 1), "t\xf6ken", "\ud800", "", "=", "a b", "a,b", "a\r\n"],
)
def test_what_cannot_be_a_token_is_not_asked_about(
    server: Server, introspect: IntrospectionTokenValidator, text: str
) -> None:
    with pytest.raises(AccessTokenError):
        introspect(text)
    assert not server.requests


@pytest.mark.requirement("G-1")
@pytest.mark.parametrize("endpoint", ["http://as.example.com/introspect", "/x", ""])
def test_the_endpoint_is_https(endpoint: str) -> None:
    with pytest.raises(ValueError, match="https"):
        IntrospectionTokenValidator(
            endpoint, client_id="a", client_secret="b", issuer=ISSUER, audience=AUDIENCE
        )


def test_the_secret_is_not_shown(introspect: IntrospectionTokenValidator) -> None:
    assert "s/e" not in repr(introspect)


@pytest.mark.requirement("B-7", "R1501")
def test_an_opaque_token_works_with_both_kinds_of_proof(
    world: World, server: Server, introspect: IntrospectionTokenValidator
) -> None:
    dsk = {"alg": "HS256", "v": 7, "r": b64url_encode(R)}
    server.answer["cnf"] = {"jkt": world.jkt, "dsk": dsk}
    verifier = ProofVerifier(
        world.store,
        keyring=world.keyring,
        issuer=ISSUER,
        audience=AUDIENCE,
        token_form="opaque",
        clock=world.clock,
    )

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [environ["dpop_ext.proof"].kind.encode()]

    protected = DPoPMiddleware(
        app, verifier=verifier, find_token=introspect, public_url=AUDIENCE
    )

    def call(proof: str) -> Any:
        headers = [("Authorization", "DPoP opaque"), ("DPoP", proof)]
        return send(protected, Request(headers=headers).environ())

    assert call(world.proof("opaque")).body == b"asymmetric"
    assert call(world.symmetric_proof("opaque")).body == b"symmetric"
    head, _, tag = world.symmetric_proof("opaque").rpartition(".")
    forged = f"{head}.{'A' if tag[0] != 'A' else 'B'}{tag[1:]}"
    assert call(forged).challenges["DPoP"].get("error") == "invalid_dpop_proof"
    server.failure = OSError()
    assert call(world.proof("opaque")).status == 503


def test_an_opaque_token_for_a_verifier_that_expects_jwts_is_named_in_the_log(
    world: World,
    introspect: IntrospectionTokenValidator,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its setting is what there is to change, and not the token."""
    verifier = ProofVerifier(
        world.store,
        keyring=world.keyring,
        issuer=ISSUER,
        audience=AUDIENCE,
        clock=world.clock,
    )
    protected = DPoPMiddleware(
        lambda environ, start: [],
        verifier=verifier,
        find_token=introspect,
        public_url=AUDIENCE,
    )
    proof = world.symmetric_proof("opaque")
    headers = [("Authorization", "DPoP opaque"), ("DPoP", proof)]
    with caplog.at_level(logging.INFO, "dpop_ext"):
        assert send(protected, Request(headers=headers).environ()).status == 401
    assert "reason=invalid_token cause=token_form" in caplog.text


@pytest.mark.requirement("J-4")
def test_a_request_with_a_bad_proof_causes_no_introspection(
    world: World, server: Server, introspect: IntrospectionTokenValidator
) -> None:
    protected = DPoPMiddleware(
        lambda environ, start: [],
        verifier=world.verifier,
        find_token=introspect,
        public_url=AUDIENCE,
    )
    headers = [("Authorization", "DPoP opaque"), ("DPoP", world.proof("other"))]
    assert send(protected, Request(headers=headers).environ()).status == 401
    assert not server.requests


@pytest.mark.requirement("J-4")
def test_the_server_can_sign_who_it_is(
    world: World, server: Server, ec_key: ECKey
) -> None:
    find = IntrospectionTokenValidator(
        ENDPOINT,
        client_id="api:1",
        signing_key=ec_key,
        issuer=ISSUER,
        audience=AUDIENCE,
        post=server,
        clock=world.clock,
    )
    assertions = []
    for token in "one", "two":
        find(token)
        _, data, headers = server.requests[-1]
        assert "Authorization" not in headers
        form = {name: value for name, (value,) in parse_qs(data.decode()).items()}
        assert form["token"] == token
        jws = parse_compact_jws(form["client_assertion"], max_length=4096)
        verify_signature(jws, ec_key, algorithm="ES256")
        assertions.append(jws.payload)
    assert assertions[0]["jti"] != assertions[1]["jti"]
    assert {name: assertions[0][name] for name in ("iss", "sub", "aud", "exp")} == {
        "iss": "api:1",
        "sub": "api:1",
        "aud": ISSUER,
        "exp": world.clock.now + 60,
    }


@pytest.mark.parametrize("neither_or_both", [{}, {"client_secret": "s"}])
def test_one_way_to_say_who_it_is_is_needed(
    neither_or_both: dict[str, str], ec_key: ECKey
) -> None:
    values: dict[str, Any] = dict(neither_or_both)
    if values:
        values["signing_key"] = ec_key
    with pytest.raises(ValueError, match="either"):
        IntrospectionTokenValidator(
            ENDPOINT, client_id="api", issuer=ISSUER, audience=AUDIENCE, **values
        )
