"""Remembered tokens: within its window a token is not checked anew, after it it is."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from joserfc.jwk import ECKey, Key

from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.confirmation import AccessToken
from dpop_ext.core.key_set import StaticKeys
from dpop_ext.errors import AccessTokenError, StoreError
from dpop_ext.resource_server import AccessTokenValidator, IntrospectionTokenValidator
from dpop_ext.resource_server.single_flight import SingleFlight
from dpop_ext.symmetric.deny_list import Denial, DenyList
from dpop_ext.symmetric.secret_ring import SecretRing
from tests.garbage import errors_left_by
from tests.patience import PATIENCE
from tests.resource_server.world import (
    AUDIENCE,
    CLIENT,
    ISSUER,
    VERSION,
    R,
    Request,
    World,
    ring,
    secret,
    send,
)


class Keys:
    """The issuer's keys, which can be withdrawn, and how often one was asked for."""

    def __init__(self, key: ECKey) -> None:
        self.key = key
        self.withdrawn = False
        self.asked = 0

    def find(self, kid: str | None, *, algorithm: str) -> Key:
        self.asked += 1
        if self.withdrawn:
            raise AccessTokenError
        keys = StaticKeys({"keys": [self.key.as_dict(private=False)]})
        return keys.find(kid, algorithm=algorithm)


@pytest.fixture
def keys(world: World) -> Keys:
    return Keys(world.issuer_key)


@pytest.fixture
def validator(world: World, keys: Keys) -> AccessTokenValidator:
    return AccessTokenValidator(ISSUER, AUDIENCE, jwks=keys, clock=world.clock)


def test_a_token_is_verified_once_within_a_minute(
    world: World, keys: Keys, validator: AccessTokenValidator
) -> None:
    text = world.token()
    first = validator(text)
    world.clock.advance(59)
    assert validator(text) == first
    assert keys.asked == 1
    world.clock.advance(1)
    assert validator(text) == first
    assert keys.asked == 2


def test_it_can_be_switched_off(world: World, keys: Keys) -> None:
    validator = AccessTokenValidator(
        ISSUER, AUDIENCE, jwks=keys, remember=0, clock=world.clock
    )
    text = world.token()
    validator(text)
    keys.withdrawn = True
    with pytest.raises(AccessTokenError):
        validator(text)


@pytest.mark.requirement("J-8")
def test_a_token_ends_within_the_window_when_its_key_is_withdrawn(
    world: World, keys: Keys, validator: AccessTokenValidator
) -> None:
    text = world.token()
    validator(text)
    keys.withdrawn = True
    # It is in use all the time: that must not prolong its stay.
    for _ in range(3):
        world.clock.advance(19)
        validator(text)
    world.clock.advance(3)
    for _ in range(2):
        with pytest.raises(AccessTokenError):
            validator(text)


@pytest.mark.requirement("J-8")
def test_a_remembered_token_expires_to_the_second(
    world: World, validator: AccessTokenValidator
) -> None:
    text = world.token(exp=world.clock.now + 20)
    validator(text)
    world.clock.advance(19)
    validator(text)
    world.clock.advance(1)
    with pytest.raises(AccessTokenError):
        validator(text)


def test_a_clock_that_was_set_back_does_not_prolong_the_window(
    world: World, keys: Keys, validator: AccessTokenValidator
) -> None:
    text = world.token()
    validator(text)
    keys.withdrawn = True
    world.clock.advance(-1)
    with pytest.raises(AccessTokenError):
        validator(text)


def test_what_failed_is_not_remembered(
    world: World, keys: Keys, validator: AccessTokenValidator
) -> None:
    text = world.token()
    keys.withdrawn = True
    with pytest.raises(AccessTokenError):
        validator(text)
    keys.withdrawn = False
    assert validator(text).client_id == CLIENT


@pytest.mark.requirement("J-8", "T5")
@pytest.mark.parametrize("place", [0, 40, -1, -2])
def test_a_text_that_differs_anywhere_is_another_token(
    world: World, validator: AccessTokenValidator, place: int
) -> None:
    text = world.token()
    validator(text)
    other = "B" if text[place] == "A" else "A"
    forged = text[:place] + other + text[place:][1:]
    with pytest.raises(AccessTokenError):
        validator(forged)


@pytest.mark.parametrize("text", ["", "\ud800", "é", "a.b.c"])
def test_what_is_no_token_is_refused_as_ever(
    validator: AccessTokenValidator, text: str
) -> None:
    with pytest.raises(AccessTokenError):
        validator(text)


def test_an_outage_is_no_answer_to_remember(world: World) -> None:
    class Down:
        def find(self, kid: str | None, *, algorithm: str) -> Key:
            raise StoreError

    validator = AccessTokenValidator(ISSUER, AUDIENCE, jwks=Down(), clock=world.clock)
    text = world.token()
    for _ in range(2):
        with pytest.raises(StoreError):
            validator(text)


def test_the_scope_is_checked_on_each_request(world: World) -> None:
    text = world.token(scope="accounts")
    assert send(world.wsgi_app(), _request(world, text).environ()).status == 200
    world.scope = "transfers"
    assert send(world.wsgi_app(), _request(world, text).environ()).status == 403


@pytest.mark.requirement("B-2")
def test_the_binding_is_checked_on_each_request(world: World) -> None:
    text = world.token()
    assert send(world.wsgi_app(), _request(world, text).environ()).status == 200
    stolen = _request(world, text, key=world.other_key).environ()
    assert send(world.wsgi_app(), stolen).status == 401


@pytest.mark.requirement("R1510", "R2012")
def test_a_token_that_is_denied_by_its_jti_ends_at_once(
    world: World, keys: Keys, validator: AccessTokenValidator
) -> None:
    world.validator, world.symmetric = validator, True
    text, app = world.symmetric_token(), world.wsgi_app()

    def call() -> list[int]:
        proofs = world.symmetric_proof(text), world.proof(text)
        return [send(app, _with(text, proof).environ()).status for proof in proofs]

    assert call() == [200, 200]
    denial = Denial(token_id="token-1", expires_at=world.clock.now + 300)
    world.keyring.replace(
        SecretRing(
            [secret(VERSION)],
            issuer=ISSUER,
            audience=AUDIENCE,
            denied=DenyList([denial]),
        )
    )
    assert call() == [401, 401]
    # Until the last moment it was not verified anew.
    assert keys.asked == 1


def test_a_secret_that_is_revoked_ends_symmetric_proofs_at_once(
    world: World, keys: Keys, validator: AccessTokenValidator
) -> None:
    world.validator, world.symmetric = validator, True
    text, app = world.symmetric_token(), world.wsgi_app()
    proofs = [world.symmetric_proof(text) for _ in range(2)]
    assert send(app, _with(text, proofs[0]).environ()).status == 200
    world.keyring.replace(ring(secret(VERSION, "revoked"), secret(VERSION + 1)))
    assert send(app, _with(text, proofs[1]).environ()).status == 401
    assert send(app, _with(text, world.proof(text)).environ()).status == 200
    assert keys.asked == 1


def test_nobody_can_change_the_claims_that_requests_share(
    world: World, validator: AccessTokenValidator
) -> None:
    token = validator(world.token())
    with pytest.raises(TypeError):
        token.claims["scope"] = "everything"  # type: ignore[index]


@pytest.mark.parametrize("remember", [-1, -0.5, float("nan")])
def test_a_window_is_a_number_of_seconds(world: World, remember: float) -> None:
    with pytest.raises(ValueError, match="not negative"):
        AccessTokenValidator(
            ISSUER, AUDIENCE, jwks={"keys": [{}]}, remember=remember, clock=world.clock
        )


class Server:
    """An introspection endpoint."""

    def __init__(self, world: World) -> None:
        self.asked = 0
        self.answer: dict[str, Any] = {
            "active": True,
            "aud": AUDIENCE,
            "scope": "accounts transfers",
            "exp": world.clock.now + 300,
        }

    def __call__(self, url: str, *, data: bytes, headers: Mapping[str, str]) -> bytes:
        self.asked += 1
        return json.dumps(self.answer).encode()


def _introspection(
    world: World, server: Server, remember: float, **options: Any
) -> Any:
    return IntrospectionTokenValidator(
        "https://as.example.com/introspect",
        client_id="api",
        client_secret="secret",
        issuer=ISSUER,
        audience=AUDIENCE,
        remember=remember,
        clock=world.clock,
        **({"post": server} | options),
    )


@pytest.mark.requirement("J-4")
@pytest.mark.parametrize("remember", [0, 5])
def test_introspection_sees_a_revoked_token_within_its_window(
    world: World, remember: float
) -> None:
    server = Server(world)
    introspect = _introspection(world, server, remember)
    introspect("opaque")
    server.answer = {"active": False}
    if remember:
        world.clock.advance(remember - 1)
        introspect("opaque")
        assert server.asked == 1
        world.clock.advance(1)
    with pytest.raises(AccessTokenError):
        introspect("opaque")


def test_introspection_sees_a_lesser_scope_within_its_window(world: World) -> None:
    server = Server(world)
    introspect = _introspection(world, server, 5)
    assert introspect("opaque").scope == "accounts transfers"
    server.answer["scope"] = "accounts"
    world.clock.advance(5)
    assert introspect("opaque").scope == "accounts"


@pytest.mark.requirement("J-4", "R1501")
@pytest.mark.parametrize("kind", ["symmetric", "asymmetric"])
@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"active": False}, 401),
        ({"scope": "transfers"}, 403),
        ({"aud": "https://other.example.com"}, 401),
        ({"cnf": {"jkt": "A" * 43}}, 401),
        ({"cnf": None}, 401),
        # Nothing tells of it: the time alone.
        ({"exp": 5}, 401),
    ],
)
def test_a_request_ends_with_the_window_however_warm_all_caches_are(
    world: World, kind: str, change: dict[str, Any], status: int
) -> None:
    """Also those of keys, which are filled by the same token."""
    server = Server(world)
    dsk = {"alg": "HS256", "v": VERSION, "r": b64url_encode(R)}
    server.answer |= {"iss": ISSUER, "client_id": CLIENT}
    server.answer["cnf"] = {"jkt": world.jkt, "dsk": dsk}
    if "exp" in change:
        change = {"exp": world.clock.now + change["exp"]}
        server.answer |= change
    world.validator = _introspection(world, server, 5)
    world.symmetric, world.token_form = True, "opaque"
    app = world.wsgi_app()

    def call() -> int:
        make = world.symmetric_proof if kind == "symmetric" else world.proof
        return send(app, _with("opaque", make("opaque")).environ()).status

    assert [call(), call()] == [200, 200]
    server.answer |= change
    world.clock.advance(4)
    assert call() == 200
    assert server.asked == 1
    world.clock.advance(1)
    assert [call(), call()] == [status, status]


def test_introspection_does_not_outlast_the_token(world: World) -> None:
    server = Server(world)
    server.answer["exp"] = world.clock.now + 2
    introspect = _introspection(world, server, 60)
    assert isinstance(introspect("opaque"), AccessToken)
    world.clock.advance(2)
    with pytest.raises(AccessTokenError):
        introspect("opaque")


def test_requests_at_once_with_one_token_share_one_question(world: World) -> None:
    server = Server(world)
    asked, answer = threading.Event(), threading.Event()

    def post(url: str, *, data: bytes, headers: Mapping[str, str]) -> bytes:
        asked.set()
        assert answer.wait(PATIENCE)
        return server(url, data=data, headers=headers)

    introspect = _introspection(world, server, 5, post=post)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(introspect, "opaque")
        assert asked.wait(PATIENCE)
        others = [pool.submit(introspect, "opaque") for _ in range(7)]
        other_token = pool.submit(introspect, "another")
        answer.set()
        tokens = [future.result(PATIENCE) for future in [first, *others]]
        assert other_token.result(PATIENCE) is not tokens[0]
    assert all(token is tokens[0] for token in tokens)
    assert server.asked == 2


@pytest.mark.parametrize("error", [AccessTokenError, StoreError])
def test_requests_at_once_share_a_refusal_and_the_next_asks_anew(
    world: World, error: type[Exception]
) -> None:
    server = Server(world)
    if error is AccessTokenError:
        server.answer = {"active": False}
    asked, answer = threading.Event(), threading.Event()

    def post(url: str, *, data: bytes, headers: Mapping[str, str]) -> bytes:
        asked.set()
        assert answer.wait(PATIENCE)
        if error is StoreError and server.answer["active"] is not None:
            server.asked += 1
            raise OSError
        return server(url, data=data, headers=headers)

    introspect = _introspection(world, server, 5, post=post)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(introspect, "opaque")
        assert asked.wait(PATIENCE)
        flights = introspect._flights._flights
        (flight,) = flights.values()
        others = [pool.submit(introspect, "opaque") for _ in range(3)]
        answer.set()
        for future in [first, *others]:
            with pytest.raises(error):
                future.result(PATIENCE)
    assert flight.done()
    assert not flights
    before = server.asked
    with pytest.raises(error):
        introspect("opaque")
    assert server.asked == before + 1


def test_a_shared_refusal_is_no_work_for_the_garbage_collector() -> None:
    flights = SingleFlight[None]()

    def refuse() -> None:
        raise AccessTokenError

    def lead() -> None:
        with pytest.raises(AccessTokenError):
            flights.run(b"token", refuse)

    def follow() -> None:
        flights._flights[b"token"] = Future()
        flights._flights[b"token"].set_exception(AccessTokenError())
        with pytest.raises(AccessTokenError):
            flights.run(b"token", refuse)
        flights._flights.clear()

    assert not errors_left_by(lead)
    assert not errors_left_by(follow)


def test_without_a_window_every_request_asks_for_itself(world: World) -> None:
    server = Server(world)
    barrier = threading.Barrier(2)

    def post(url: str, *, data: bytes, headers: Mapping[str, str]) -> bytes:
        # Both are under way at once.
        barrier.wait(PATIENCE)
        return server(url, data=data, headers=headers)

    introspect = _introspection(world, server, 0, post=post)
    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(introspect, "opaque") for _ in range(2)]:
            assert future.result(PATIENCE).scope == "accounts transfers"
    assert server.asked == 2


def test_invented_tokens_are_asked_about_at_a_limited_rate(world: World) -> None:
    server = Server(world)
    introspect = _introspection(world, server, 0, rate=3)
    introspect("opaque")
    server.answer = {"active": False}
    for number in range(2):
        with pytest.raises(AccessTokenError):
            introspect(f"invented-{number}")
    with pytest.raises(StoreError):
        introspect("invented-2")
    assert server.asked == 3
    # Who was here before is not held up by that.
    server.answer = Server(world).answer
    for _ in range(5):
        introspect("opaque")
    world.clock.advance(1)
    introspect("new")


def test_a_token_that_is_no_longer_active_has_no_privilege(world: World) -> None:
    server = Server(world)
    introspect = _introspection(world, server, 0, rate=1)
    introspect("opaque")
    server.answer = {"active": False}
    with pytest.raises(AccessTokenError):
        introspect("opaque")
    with pytest.raises(StoreError):
        introspect("opaque")


def test_a_rate_is_one_in_a_second_at_least(world: World) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        _introspection(world, Server(world), 0, rate=0.5)


def _request(world: World, text: str, **changes: Any) -> Request:
    return _with(text, world.proof(text, jti=None, **changes))


def _with(text: str, proof: str) -> Request:
    return Request(headers=[("Authorization", f"DPoP {text}"), ("DPoP", proof)])
