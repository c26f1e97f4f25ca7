"""What each request is answered with, by every adapter alike."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dpop_ext.core.policy import RFC9449
from dpop_ext.errors import ProofError, StoreError
from dpop_ext.integrations.wsgi import DPoPMiddleware
from dpop_ext.resource_server.route_policy import RoutePolicy
from dpop_ext.stores.memory import MemoryReplayStore
from dpop_ext.stores.quota import KeyQuota
from dpop_ext.symmetric.deny_list import Denial, DenyList
from dpop_ext.symmetric.secret_ring import SecretRing
from tests.patience import PATIENCE
from tests.resource_server.cases import CASES, Case, proof_with, symmetric, with_proof
from tests.resource_server.world import (
    ADAPTERS,
    AUDIENCE,
    ISSUER,
    VERSION,
    Request,
    Response,
    World,
    ring,
    secret,
    send,
)

TEXT = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+")

adapters = pytest.mark.parametrize("adapter", ADAPTERS)


def arrange(world: World, **setting: Any) -> World:
    return replace(world, **setting)


def check_refusal(case: Case, world: World, response: Response) -> None:
    """Check everything that is the same for all refusals."""
    assert response.only("Content-Type") == "application/json"
    assert response.only("Cache-Control") == "no-store"
    challenges = response.challenges
    assert list(challenges) == (["Bearer", "DPoP"] if world.accept_bearer else ["DPoP"])
    for challenge in challenges.values():
        assert all(TEXT.fullmatch(value) for value in challenge.params.values())
    dpop = challenges["DPoP"].params
    assert dpop["algs"].split() == list(RFC9449.algorithms)
    assert dpop.get("sym_algs") == ("HS256 HS512" if world.symmetric else None)
    assert dpop.get("error") == case.error
    assert dpop.get("sym_error") == case.sym_error
    if world.accept_bearer:
        assert challenges["Bearer"].params.get("error") == case.bearer_error
    error = case.error or case.bearer_error
    if error is None:
        assert response.json == {}
    else:
        named = challenges["DPoP" if case.error else "Bearer"].params
        assert response.json["error"] == error
        assert response.json["error_description"] == named["error_description"]
    scope = world.scope if error == "insufficient_scope" else None
    assert response.json.get("scope") == scope


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case.name, marks=pytest.mark.requirement(*case.ids))
        for case in CASES
    ],
)
@pytest.mark.requirement(
    "P-3", "P-9", "P-10", "P-12", "Q-4", "X-27", "T10", "R1503", "R1512"
)
@pytest.mark.requirement("U-31")
def test_the_answer_is_the_one_of_the_table(case: Case, world: World) -> None:
    answers = {adapter: answer_of(case, world, adapter) for adapter in ADAPTERS}
    for adapter, answer in answers.items():
        assert comparable(answer) == comparable(answers["wsgi"]), adapter


def answer_of(case: Case, world: World, adapter: str) -> Response:
    """Return what one adapter answers, once it was compared with the table."""
    world = arrange(world, store=MemoryReplayStore(), **case.setting)
    app = world.app(adapter)
    request = case.request(world)
    response = send(app, request.environ())
    assert response.status == case.status, adapter
    assert world.served == (1 if case.status == 200 else 0), adapter
    assert len(world.store) == case.spent, adapter
    assert len(response.values("DPoP-Nonce")) == int(case.nonce), adapter
    if case.nonce:
        assert response.only("DPoP-Nonce") == world.nonce()
        assert "no-store" in response.only("Cache-Control")
    assert bool(response.values("Retry-After")) == case.retry_after, adapter
    if case.status != 200:
        check_refusal(case, world, response)
        shown = str(response.headers) + response.body.decode()
        for _, value in request.headers:
            assert len(value) < 8 or value not in shown
    return response


def comparable(response: Response) -> tuple[int, dict[str, str], object]:
    """Return all of an answer, but for how a framework writes the JSON of a view.

    Django has one line for each field, which says the same as several.
    """
    names = {name.lower() for name, _ in response.headers}
    is_ours = response.status != 200
    if not is_ours:
        names.discard("content-length")
    fields = {name: ", ".join(response.values(name)) for name in names}
    return response.status, fields, response.body if is_ours else response.json


@adapters
@pytest.mark.requirement("X-15", "W-4", "P-16", "U-16")
def test_a_proof_is_good_once(adapter: str, world: World) -> None:
    app = world.app(adapter)
    request = with_proof(World.token)(world)
    assert send(app, request.environ()).status == 200
    again = send(app, request.environ())
    assert again.status == 401
    assert again.challenges["DPoP"].get("error") == "invalid_dpop_proof"
    assert world.served == 1


@adapters
@pytest.mark.requirement("X-15")
def test_of_parallel_uses_of_one_proof_exactly_one_succeeds(
    adapter: str, world: World
) -> None:
    app = world.app(adapter)
    request = with_proof(World.token)(world)
    statuses: list[int] = []
    barrier = threading.Barrier(32)

    def use() -> None:
        barrier.wait(PATIENCE)
        statuses.append(send(app, request.environ()).status)

    threads = [threading.Thread(target=use) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] + [401] * 31
    assert world.served == 1


@adapters
@pytest.mark.requirement("Q-19")
def test_parallel_requests_do_not_get_each_others_proof(
    adapter: str, world: World
) -> None:
    world = arrange(world, symmetric=True)
    app = world.app(adapter)
    token = world.symmetric_token()
    kinds: list[tuple[str, str]] = []
    barrier = threading.Barrier(16)

    def use(kind: str) -> None:
        make: Callable[..., str] = getattr(
            world, "proof" if kind == "asymmetric" else "symmetric_proof"
        )
        headers = [("Authorization", f"DPoP {token}"), ("DPoP", make(token))]
        barrier.wait(PATIENCE)
        answer = send(app, Request(headers=headers).environ())
        kinds.append((kind, answer.json["kind"]))

    threads = [
        threading.Thread(target=use, args=(("asymmetric", "symmetric")[i % 2],))
        for i in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kinds) == 16
    assert all(sent == seen for sent, seen in kinds)


class BrokenStore:
    def __init__(self, failure: Exception) -> None:
        self.failure = failure

    def __len__(self) -> int:
        return 0

    def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
        raise self.failure


@adapters
@pytest.mark.parametrize("failure", [StoreError(), OSError(), KeyError("secret")])
@pytest.mark.requirement("X-15", "U-19")
def test_a_store_that_does_not_answer_gives_503(
    adapter: str, world: World, failure: Exception
) -> None:
    world = arrange(world, store=BrokenStore(failure))
    response = send(world.app(adapter), with_proof(World.token)(world).environ())
    assert response.status == 503
    assert response.json["error"] == "temporarily_unavailable"
    assert int(response.only("Retry-After")) > 0
    assert response.only("Cache-Control") == "no-store"
    assert not response.values("WWW-Authenticate")
    assert world.served == 0


@adapters
def test_a_key_whose_share_of_the_store_is_used_up_gets_429(
    adapter: str, world: World
) -> None:
    world = arrange(world, quota=KeyQuota(1))
    app = world.app(adapter)
    request = with_proof(World.token)
    assert send(app, request(world).environ()).status == 200
    response = send(app, request(world).environ())
    assert response.status == 429
    assert response.json["error"] == "temporarily_unavailable"
    assert int(response.only("Retry-After")) > 0
    assert not response.values("WWW-Authenticate")
    assert world.served == 1
    assert len(world.store) == 1


@adapters
@pytest.mark.requirement("P-17", "R2094")
@pytest.mark.parametrize("failure", [ValueError("x"), KeyError("x"), RecursionError()])
def test_an_unforeseen_exception_about_a_token_is_invalid_token(
    adapter: str, world: World, failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(text: str) -> Any:
        raise failure

    monkeypatch.setattr(
        type(world.validator), "__call__", lambda self, text: fail(text)
    )
    response = send(world.app(adapter), with_proof(World.token)(world).environ())
    assert response.status == 401
    assert response.challenges["DPoP"].get("error") == "invalid_token"
    assert world.served == 0


@adapters
@pytest.mark.requirement("P-17")
@pytest.mark.parametrize("step", ["open", "verify"])
def test_an_unforeseen_exception_about_a_proof_is_invalid_dpop_proof(
    adapter: str, world: World, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("something that was sent")

    monkeypatch.setattr(world.verifier, step, fail)
    response = send(world.app(adapter), with_proof(World.token)(world).environ())
    assert response.status == 401
    assert response.challenges["DPoP"].get("error") == "invalid_dpop_proof"
    assert b"sent" not in response.body
    assert world.served == 0


@adapters
@pytest.mark.requirement("P-16")
def test_every_fault_of_a_symmetric_proof_has_one_text(
    adapter: str, world: World
) -> None:
    world = arrange(world, symmetric=True)
    app = world.app(adapter)
    bodies = set()
    for case in CASES:
        if case.name.startswith("symmetric proof:") and "known type" not in case.name:
            bodies.add(send(app, case.request(world).environ()).body)
    proof = world.symmetric_proof(token := world.symmetric_token())
    headers = [("Authorization", f"DPoP {token}"), ("DPoP", proof)]
    assert send(app, Request(headers=headers).environ()).status == 200
    bodies.add(send(app, Request(headers=headers).environ()).body)
    (body,) = bodies
    assert ProofError.description.encode() in body


@adapters
@pytest.mark.requirement("P-12", "J-3")
def test_realm_and_metadata_go_into_every_challenge(adapter: str, world: World) -> None:
    url = AUDIENCE + "/.well-known/oauth-protected-resource"
    world = arrange(
        world, realm="accounts of A", resource_metadata=url, accept_bearer=True
    )
    response = send(world.app(adapter), Request(headers=[]).environ())
    assert len(response.challenges) == 2
    for challenge in response.challenges.values():
        assert challenge.get("realm") == "accounts of A"
        assert challenge.get("resource_metadata") == url


@adapters
@pytest.mark.requirement("N-18")
@pytest.mark.parametrize(
    "changes",
    [
        {"HTTP_HOST": "evil.example"},
        {"HTTP_HOST": ""},
        {"HTTP_HOST": "a.example,b.example"},
        {"HTTP_X_FORWARDED_HOST": "evil.example", "HTTP_X_FORWARDED_PROTO": "http"},
        {"HTTP_FORWARDED": "host=evil.example;proto=http"},
        {"HTTP_X_FORWARDED_PREFIX": "/evil"},
        {"wsgi.url_scheme": "http"},
        {"RAW_URI": "http://evil.example/accounts"},
        {"RAW_URI": "https://evil.example/accounts?x"},
    ],
)
def test_with_a_public_url_nothing_forged_changes_the_target(
    adapter: str, world: World, changes: dict[str, Any]
) -> None:
    app = world.app(adapter)
    environ = with_proof(World.token)(world).environ(**changes)
    assert send(app, environ).status == 200
    evil = with_proof(
        World.token, proof=lambda w, t: w.proof(t, url="https://evil.example/accounts")
    )
    assert send(app, evil(world).environ(**changes)).status == 401


@adapters
@pytest.mark.requirement("N-18", "C-9")
def test_without_a_public_url_the_target_is_what_the_server_saw(
    adapter: str, world: World
) -> None:
    world = arrange(world, public_url=None)
    app = world.app(adapter)
    request = with_proof(
        World.token,
        proof=lambda w, t: w.proof(t, url="https://h.example:8443/accounts"),
    )
    environ = request(world).environ(HTTP_HOST="h.example:8443")
    assert send(app, environ).status == 200
    assert send(app, request(world).environ(HTTP_HOST="h.example")).status == 401


@adapters
@pytest.mark.requirement("G-1")
def test_plain_http_is_served_on_loopback_only(adapter: str, world: World) -> None:
    world = arrange(world, public_url=None)
    app = world.app(adapter)
    for host, status in [
        ("127.0.0.1:9001", 200),
        ("localhost", 200),
        ("[::1]:9001", 200),
        ("api.example.com", 400),
        ("127.0.0.1.example.com", 400),
    ]:
        request = with_proof(
            World.token, proof=proof_with(url=f"http://{host}/accounts")
        )
        environ = request(world).environ(
            **{"wsgi.url_scheme": "http", "HTTP_HOST": host}
        )
        assert send(app, environ).status == status


@adapters
@pytest.mark.requirement("G-1")
def test_a_bearer_token_over_plain_http_is_refused_too(
    adapter: str, world: World
) -> None:
    world = arrange(world, public_url=None, accept_bearer=True)
    app = world.app(adapter)
    headers = [("Authorization", f"Bearer {world.unbound_token()}")]
    for scheme, status in [("https", 200), ("http", 400)]:
        environ = Request(headers=headers, scheme=scheme).environ()
        assert send(app, environ).status == status
    assert world.served == 1


@pytest.mark.requirement("D-2", "U-31")
@pytest.mark.parametrize(
    "setting",
    [{}, {"accept_bearer": True, "route": RoutePolicy(asymmetric=True)}],
    ids=["DPoP alone", "a route that demands a proof"],
)
def test_a_bearer_token_where_a_proof_is_demanded_gets_one_answer(
    world: World, setting: dict[str, Any]
) -> None:
    world = arrange(world, public_url=None, **setting)
    for token in (world.unbound_token(), world.token(), world.unbound_token(exp=0)):
        for scheme, status in [("https", 401), ("http", 400)]:
            headers = [("Authorization", f"Bearer {token}")]
            environ = Request(headers=headers, scheme=scheme).environ
            first, *others = (send(world.app(one), environ()) for one in ADAPTERS)
            assert first.status == status
            for other in others:
                assert comparable(other) == comparable(first)
    assert world.served == 0


@adapters
@pytest.mark.requirement("C-9")
@pytest.mark.parametrize(
    "changes",
    [
        {"HTTP_HOST": ""},
        {"HTTP_HOST": "a b"},
        {"HTTP_HOST": "[::1"},
        {"HTTP_HOST": "api.example.com,api.example.com"},
        {"RAW_URI": "*"},
        {"RAW_URI": "api.example.com:443"},
        {"RAW_URI": "/caf\xe9"},
        {"RAW_URI": "/a\\b"},
    ],
)
def test_a_target_that_makes_no_url_is_a_malformed_request(
    adapter: str, world: World, changes: dict[str, Any]
) -> None:
    world = arrange(world, public_url=None)
    environ = with_proof(World.token)(world).environ(**changes)
    response = send(world.app(adapter), environ)
    assert response.status == 400
    assert response.json["error_description"] == "The request target is malformed."
    assert world.served == 0


#: Paths on the wire, and what a proof may call them.
RAW = [
    ("/a%2Fb", "/a%2Fb", 200),
    ("/a%2fb", "/a%2Fb", 200),
    ("/a%2Fb", "/a/b", 401),
    ("/a/b", "/a%2Fb", 401),
    ("/%7Euser", "/~user", 200),
    ("/a/%2e%2e/b", "/b", 200),
    ("/a%20b", "/a%20b", 200),
    ("/caf%C3%A9", "/caf%c3%a9", 200),
    ("/a@b", "/a%40b", 401),
]


@adapters
@pytest.mark.requirement("C-9", "N-6", "N-5", "N-7", "U-4")
@pytest.mark.parametrize("name", ["RAW_URI", "REQUEST_URI"])
@pytest.mark.parametrize(("target", "htu", "status"), RAW)
def test_the_raw_target_is_compared(
    adapter: str, world: World, name: str, *, target: str, htu: str, status: int
) -> None:
    request = with_proof(
        World.token, proof=lambda w, t: w.proof(t, url=AUDIENCE + htu), target=target
    )(world)
    environ = request.environ()
    environ[name] = environ.pop("RAW_URI")
    assert send(world.app(adapter), environ).status == status


@adapters
@pytest.mark.requirement("C-9", "N-6")
@pytest.mark.parametrize(
    ("target", "htu", "status"),
    [
        ("/a/b", "/a/b", 200),
        ("/a%20b", "/a%20b", 200),
        ("/caf%C3%A9", "/caf%c3%a9", 200),
        ("/a%25b", "/a%25b", 200),
        ("/a;b@c:d", "/a;b@c:d", 200),
        # What decoding loses cannot be told from what it stood for.
        ("/a%2Fb", "/a%2Fb", 401),
        ("/a%40b", "/a%40b", 401),
        ("/a%3Bb", "/a%3Bb", 401),
    ],
)
def test_without_a_raw_target_a_lost_escape_is_refused(
    adapter: str, world: World, target: str, htu: str, status: int
) -> None:
    request = with_proof(
        World.token, proof=lambda w, t: w.proof(t, url=AUDIENCE + htu), target=target
    )(world)
    environ = request.environ()
    del environ["RAW_URI"]
    response = send(world.app(adapter), environ)
    assert response.status == status
    if status == 401:
        assert response.challenges["DPoP"].get("error") == "invalid_dpop_proof"


@adapters
@pytest.mark.requirement("Q-11", "Q-4")
@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ([], "no-store"),
        ([("Cache-Control", "private, max-age=60")], "private, max-age=60, no-store"),
        ([("Cache-Control", "no-store, max-age=0")], "no-store, max-age=0"),
        ([("cache-control", "No-Store")], "No-Store"),
    ],
)
def test_an_answer_with_a_nonce_is_never_stored(
    adapter: str, world: World, sent: list[tuple[str, str]], expected: str
) -> None:
    world = arrange(world, use_nonces=True, answer_headers=sent)
    request = with_proof(
        World.token, proof=lambda w, t: w.proof(t, nonce=w.nonce(age=1))
    )(world)
    response = send(world.app(adapter), request.environ())
    assert response.only("DPoP-Nonce") == world.nonce()
    assert response.only("Cache-Control") == expected


@adapters
@pytest.mark.requirement("Q-4")
def test_a_nonce_of_the_application_stays_the_only_one(
    adapter: str, world: World
) -> None:
    world = arrange(world, use_nonces=True, answer_headers=[("DPoP-Nonce", "mine")])
    request = with_proof(
        World.token, proof=lambda w, t: w.proof(t, nonce=w.nonce(age=1))
    )(world)
    response = send(world.app(adapter), request.environ())
    assert response.only("DPoP-Nonce") == "mine"


@pytest.mark.requirement("X-15", "Q-4", "U-17")
def test_a_protected_view_behind_the_middleware_sees_no_replay(world: World) -> None:
    world = arrange(world, use_nonces=True)
    app = DPoPMiddleware(
        DPoPMiddleware(
            world.flask_app(),
            verifier=world.verifier,
            find_token=world.validator,
            public_url=AUDIENCE,
        ),
        verifier=world.verifier,
        find_token=world.validator,
        public_url=AUDIENCE,
    )
    request = with_proof(
        World.token, proof=lambda w, t: w.proof(t, nonce=w.nonce(age=1))
    )(world)
    response = send(app, request.environ())
    assert response.status == 200
    assert response.only("DPoP-Nonce") == world.nonce()
    assert len(world.store) == 1
    again = send(app, request.environ())
    assert again.status == 401
    assert world.served == 1


@pytest.mark.requirement("P-3")
def test_the_inner_layer_still_checks_scope(world: World) -> None:
    world = arrange(world, scope="admin")
    app = DPoPMiddleware(
        world.flask_app(),
        verifier=world.verifier,
        find_token=world.validator,
        public_url=AUDIENCE,
    )
    response = send(app, with_proof(World.token)(world).environ())
    assert response.status == 403
    assert world.served == 0


@adapters
@pytest.mark.requirement("R1510", "R1506", "R2011", "T2")
def test_revoking_a_secret_works_at_once_and_the_token_stays_good(
    adapter: str, world: World
) -> None:
    world = arrange(world, symmetric=True)
    app = world.app(adapter)
    token = symmetric(world)

    def call(proof: str) -> Response:
        headers = [("Authorization", f"DPoP {token}"), ("DPoP", proof)]
        return send(app, Request(headers=headers).environ())

    assert call(world.symmetric_proof(token)).json["kind"] == "symmetric"
    world.keyring.replace(ring(secret(7, "revoked"), secret(8)))
    assert call(world.symmetric_proof(token)).status == 401
    assert call(world.proof(token)).json["kind"] == "asymmetric"


@adapters
@pytest.mark.requirement("R1510", "R2012")
def test_a_denied_token_is_refused_as_bearer_too(adapter: str, world: World) -> None:
    world.accept_bearer = world.symmetric = True
    token = world.unbound_token()
    app = world.app(adapter)
    headers = [("Authorization", f"Bearer {token}")]
    assert send(app, Request(headers=headers).environ()).status == 200
    denial = Denial(token_id="token-1", expires_at=world.clock.now + 300)
    world.keyring.replace(
        SecretRing(
            [secret(VERSION)],
            issuer=ISSUER,
            audience=AUDIENCE,
            denied=DenyList([denial]),
        )
    )
    response = send(app, Request(headers=headers).environ())
    assert response.status == 401
    assert response.challenges["Bearer"].params["error"] == "invalid_token"
