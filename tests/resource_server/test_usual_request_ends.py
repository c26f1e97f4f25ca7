"""Requests that are decided in one step: what ends with what, and other parts."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from joserfc.jwk import ECKey

from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.policy import ProofPolicy
from dpop_ext.errors import AccessTokenError
from dpop_ext.integrations.flask_oauth2 import ResourceProtector
from dpop_ext.resource_server import (
    AccessTokenValidator,
    DPoPTokenValidator,
    IntrospectionTokenValidator,
)
from dpop_ext.resource_server.credentials import ResourceRequest
from dpop_ext.resource_server.gate import Gate
from dpop_ext.resource_server.refusal import Refusal
from dpop_ext.stores.memory import MemoryReplayStore
from dpop_ext.symmetric.deny_list import Denial
from dpop_ext.symmetric.secret_ring import SecretRing
from dpop_ext.verified_proof import VerifiedProof
from dpop_ext.verifier import ProofVerifier
from tests.resource_server.known_server import (
    KINDS,
    Calls,
    Gates,
    Known,
    adapters,
    denying,
    flask_app,
    kinds,
    made,
    make_validator,
    other_secret,
    outcome_of,
)
from tests.resource_server.world import (
    AUDIENCE,
    CLIENT,
    ISSUER,
    VERSION,
    R,
    World,
    ring,
    secret,
)


@pytest.fixture(autouse=True)
def with_symmetric_proofs(world: World) -> None:
    world.symmetric = True


# --- what ends with what


@pytest.mark.requirement("R1506", "R1507", "R1510", "R2011", "R2012", "R2023")
@adapters
@kinds
@pytest.mark.parametrize(
    ("rings", "error", "sym_error"),
    [
        (lambda now: ring(secret(VERSION, "revoked")), "invalid_token", "stale_key"),
        (lambda now: made(secret(VERSION), revoked=[7]), "invalid_token", "stale_key"),
        (lambda now: ring(secret(VERSION - 1)), "use_dpop_asymmetric", "unknown_key"),
        (
            lambda now: made(secret(VERSION), good_until=now),
            *("use_dpop_asymmetric", "unknown_key"),
        ),
        # Another secret under the same version.
        (lambda now: ring(other_secret()), "invalid_dpop_proof", None),
        (
            lambda now: denying(Denial(token_id="token-1", expires_at=now + 1)),
            *("denied", None),
        ),
        (lambda now: denying(Denial(r=R, expires_at=now + 1)), "denied", None),
    ],
)
def test_what_became_of_secret_and_token_counts_for_the_next_request(
    world: World,
    adapter: str,
    kind: str,
    rings: Callable[[int], SecretRing],
    error: str,
    sym_error: str | None,
) -> None:
    known = Known(world, adapter)
    assert known.is_quick(kind)
    before = world.keyring.load()
    world.keyring.replace(rings(world.clock.now))
    for _ in range(2):
        answer = known.get(kind)
        if kind == "asymmetric" and error != "denied":
            assert answer.status == 200
            continue
        challenge = answer.challenges["DPoP"]
        assert answer.status == 401
        expected = "invalid_token" if error == "denied" else error
        assert challenge.get("error") == expected
        assert challenge.get("sym_error") == sym_error
    world.keyring.replace(before)
    assert known.get(kind).status == 200
    assert known.is_quick(kind)


@pytest.mark.requirement("J-8")
@adapters
@kinds
@pytest.mark.parametrize("seconds", [299, 299.9, 300, 400])
def test_a_token_is_not_good_beyond_its_expiry(
    world: World, adapter: str, kind: str, seconds: float
) -> None:
    world.validator = make_validator(world, remember=3600)
    known = Known(world, adapter)
    world.clock.advance(seconds)
    assert known.get(kind).status == (200 if seconds < 300 else 401)


@adapters
@kinds
def test_a_clock_that_was_set_back_makes_the_token_be_verified_anew(
    world: World, adapter: str, kind: str
) -> None:
    known = Known(world, adapter)
    verified = Calls(world.validator._signature, "verify")
    world.clock.advance(-20)
    assert (known.get(kind).status, verified.count) == (200, 1)
    assert known.get(kind).status == 200
    assert (known.is_quick(kind), verified.count) == (True, 1)


@adapters
@kinds
@pytest.mark.parametrize("remember", [0, 10])
def test_a_token_is_verified_as_often_as_it_is_to_be(
    world: World, adapter: str, kind: str, remember: int
) -> None:
    world.validator = make_validator(world, remember=remember)
    known = Known(world, adapter)
    verified = Calls(world.validator._signature, "verify")
    world.clock.advance(9)
    assert known.get(kind).status == 200
    assert verified.count == (0 if remember else 1)
    world.clock.advance(1)
    assert known.get(kind).status == 200
    assert verified.count == (1 if remember else 2)


class Issuer:
    """Answers introspection requests."""

    def __init__(self, world: World) -> None:
        dsk = {"alg": "HS256", "v": VERSION, "r": b64url_encode(R)}
        self.asked = 0
        self.answer: dict[str, Any] = {
            "active": True,
            "iss": ISSUER,
            "aud": AUDIENCE,
            "client_id": CLIENT,
            "exp": world.clock.now + 300,
            "scope": "accounts",
            "cnf": {"jkt": world.jkt, "dsk": dsk},
        }
        world.token_form = "opaque"
        validator: Any = IntrospectionTokenValidator(
            "https://as.example.com/introspect",
            client_id="api",
            client_secret="secret",
            issuer=ISSUER,
            audience=AUDIENCE,
            remember=10,
            post=self,
            clock=world.clock,
        )
        world.validator = validator

    def __call__(self, url: str, *, data: bytes, headers: Any) -> bytes:
        self.asked += 1
        return json.dumps(self.answer).encode()


@pytest.mark.requirement("B-7", "J-4", "P-2")
@adapters
@kinds
@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"active": False}, 401),
        ({"scope": "other"}, 403),
        ({"cnf": {"jkt": "A" * 43}}, 401),
        ({"cnf": {"jkt": "A" * 43, "dsk": {"alg": "HS256", "v": 7, "r": ""}}}, 401),
        ({"cnf": None}, 401),
        ({"exp": 1_790_000_010}, 401),
    ],
)
def test_what_the_issuer_says_later_counts_once_it_is_asked_again(
    world: World, adapter: str, kind: str, changes: dict[str, Any], status: int
) -> None:
    issuer = Issuer(world)
    known = Known(world, adapter, token="opaque")
    said, issuer.answer = issuer.answer, issuer.answer | changes
    world.clock.advance(9)
    assert (known.is_quick(kind), issuer.asked) == (True, 1)
    world.clock.advance(1)
    assert (known.get(kind).status, issuer.asked) == (status, 2)
    # And again, now that this is what is known.
    assert known.get(kind).status == status
    # What was good once more is usual once more.
    issuer.answer = said
    world.clock.advance(10)
    assert known.get(kind).status == 200
    assert known.is_quick(kind)


@pytest.mark.parametrize("turns", range(5))
def test_a_secret_that_is_revoked_during_a_request(world: World, turns: int) -> None:
    """Whoever looks at it before is served; nobody is who looks at it after."""
    gates = Gates(world)
    text = world.symmetric_token()
    gates.warm(text)
    held, loads = world.keyring.load(), 0

    def load() -> SecretRing:
        nonlocal loads
        loads += 1
        return held if loads <= turns else ring(secret(VERSION, "revoked"))

    world.keyring.load = load  # type: ignore[method-assign]
    outcome = outcome_of(gates.known, gates.request("symmetric", text))
    if loads > turns:
        assert isinstance(outcome, Refusal)
        assert outcome.reason == "stale_key"
    else:
        assert not isinstance(outcome, Refusal)
        assert outcome_of(gates.known, gates.request("symmetric", text))


def test_requests_at_once_with_a_ring_that_changes(world: World) -> None:
    """No thread is refused for the change, and none served by what was revoked."""
    gates = Gates(world)
    text = world.symmetric_token()
    gates.warm(text)
    requests = [
        [gates.request(kind, text) for kind in KINDS * 40] for _thread in range(4)
    ]
    failed: list[Any] = []

    def serve(mine: list[ResourceRequest]) -> None:
        failed.extend(
            outcome
            for each in mine
            if isinstance(outcome := outcome_of(gates.known, each), Refusal)
        )

    threads = [threading.Thread(target=serve, args=(mine,)) for mine in requests]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        world.keyring.replace(ring(secret(VERSION)))
    for thread in threads:
        thread.join()
    assert failed == []
    world.keyring.replace(ring(secret(VERSION, "revoked")))
    outcome = outcome_of(gates.known, gates.request("symmetric", text))
    assert isinstance(outcome, Refusal)


@pytest.mark.requirement("R2241")
@adapters
def test_one_client_that_failed_keeps_no_other_from_it(
    world: World, adapter: str
) -> None:
    known = Known(world, adapter)
    good = known.token
    # A token that was changed, under a good MAC.
    known.token = good[:-6] + "AAAAAA"
    for _ in range(20):
        assert known.get("symmetric").status == 401
    assert known.get("symmetric").values("Retry-After")
    known.token = good
    refused = known.get("symmetric")
    assert (refused.status, refused.only("Retry-After")) == (401, "60")
    assert known.get("asymmetric").status == 200
    # Of another client, with the same server.
    other = replace(world, key=world.other_key)
    other._verifier, other.validator = world.verifier, world.validator
    others = Known(other, adapter, app=known.app)
    assert [others.is_quick(kind) for kind in KINDS] == [True, True]
    world.clock.advance(60)
    known.token = world.symmetric_token()
    assert known.get("symmetric").status == 200


# --- other parts than usual


@pytest.mark.parametrize("part", ["clock", "keyring", "nonces", "store"])
@adapters
@kinds
def test_a_part_that_fails_is_no_fault_of_the_server(
    world: World, adapter: str, kind: str, part: str
) -> None:
    known = Known(replace(world, use_nonces=part == "nonces"), adapter)
    request = known.make(kind)

    def fail(*_values: Any, **_names: Any) -> Any:
        raise RuntimeError

    parts: dict[str, Any] = {
        "clock": (type(world.clock), "__call__"),
        "keyring": (known.world.keyring, "load"),
        "nonces": (type(known.world.nonces), "verify"),
        "store": (world.store, "add"),
    }
    owner, name = parts[part]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, fail)
        answer = known.send(request)
    expected = {"clock": 401, "keyring": 503, "nonces": 401, "store": 503}[part]
    if (part, kind) == ("keyring", "asymmetric"):
        expected = 200
    assert answer.status == expected
    assert known.get(kind).status == 200


@pytest.mark.parametrize("part", ["keyring", "nonces"])
@adapters
@kinds
def test_a_proof_whose_time_ran_out_while_a_part_was_waited_for_is_not_spent(
    world: World, adapter: str, kind: str, part: str
) -> None:
    known = Known(replace(world, use_nonces=part == "nonces"), adapter)
    request = known.make(kind)
    before = known.opened.count, len(known.world.store)
    owner: Any = type(getattr(known.world, part))
    name = {"keyring": "load", "nonces": "verify"}[part]
    call = getattr(owner, name)

    def wait(*values: Any, **names: Any) -> Any:
        world.clock.advance(120)
        return call(*values, **names)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, wait)
        answer = known.send(request)
    assert answer.json["error"] == "invalid_dpop_proof"
    assert (known.opened.count, len(known.world.store)) == before


@adapters
@kinds
def test_nothing_fails_once_the_proof_is_used_up(
    world: World, adapter: str, kind: str
) -> None:
    """Not even the clock."""
    known = Known(world, adapter)
    request = known.make(kind)
    add = world.store.add

    def fail() -> float:
        raise RuntimeError

    def add_and_stop_the_clock(*values: Any, **names: Any) -> bool:
        added = add(*values, **names)
        patch.setattr(type(world.clock), "__call__", lambda clock: fail())
        return added

    for opened in (False, True):
        if opened:
            # Not a usual request.
            request = known.make(kind, url=f"{AUDIENCE}/%61", target="/%61")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(world.store, "add", add_and_stop_the_clock)
            assert known.send(request).status == 200


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("policy", ProofPolicy(max_age=1, leeway=0), "stale_proof"),
        ("policy", ProofPolicy(algorithms=("PS256",)), "unsupported_key"),
        ("policy", ProofPolicy(max_length=200), "malformed_proof"),
        ("nonces", "its own", "use_dpop_nonce"),
    ],
)
def test_what_is_set_later_counts_from_then_on(
    world: World, name: str, value: Any, reason: str
) -> None:
    gates = Gates(world)
    text = world.symmetric_token()
    gates.warm(text)
    setattr(world.verifier, name, world.nonces if name == "nonces" else value)
    for kind in KINDS:
        request = gates.request(kind, text, now=world.clock.now - 2)
        outcome = outcome_of(gates.known, request)
        if (kind, reason) == ("symmetric", "unsupported_key"):
            assert not isinstance(outcome, Refusal)
            continue
        assert isinstance(outcome, Refusal)
        assert outcome.reason == reason


def test_a_store_that_is_set_later_remembers_the_proofs(world: World) -> None:
    gates = Gates(world)
    text = world.symmetric_token()
    gates.warm(text)
    store = world.verifier.replay_store = MemoryReplayStore()
    added = Calls(store, "add")
    gates.known.check(gates.request("symmetric", text))
    assert (gates.was_quick, added.count) == (True, 1)


class Picky(AccessTokenValidator):
    """A validator that knows more about tokens than ours."""

    asked = 0

    def __call__(self, text: str) -> Any:
        Picky.asked += 1
        return super().__call__(text)


class Lenient(ProofVerifier):
    """A verifier with times of its own for each client."""

    def get_policy(self, token: Any) -> ProofPolicy:
        return ProofPolicy(max_age=1 if token else 600)


@adapters
@kinds
def test_what_a_subclass_of_the_validator_does_is_not_left_out(
    world: World, adapter: str, kind: str
) -> None:
    world.validator = Picky(
        ISSUER,
        AUDIENCE,
        jwks={"keys": [world.issuer_key.as_dict(private=False)]},
        clock=world.clock,
    )
    known = Known(world, adapter)
    before = Picky.asked
    assert not known.is_quick(kind)
    assert Picky.asked > before


@adapters
@kinds
def test_what_a_subclass_of_the_verifier_does_is_not_left_out(
    world: World, adapter: str, kind: str
) -> None:
    world._verifier = Lenient(
        world.store,
        keyring=world.keyring,
        issuer=ISSUER,
        audience=AUDIENCE,
        clock=world.clock,
    )
    known = Known(world, adapter)
    assert known.get(kind, now=world.clock.now - 30).status == 401
    assert not known.is_quick(kind)


@adapters
@kinds
def test_a_subclass_may_do_more_when_a_proof_is_used_up(
    world: World, adapter: str, kind: str
) -> None:
    class Counting(ProofVerifier):
        count = 0

        def spend(self, verified: VerifiedProof) -> None:
            self.count += 1
            super().spend(verified)

    world._verifier = verifier = Counting(
        world.store,
        keyring=world.keyring,
        issuer=ISSUER,
        audience=AUDIENCE,
        clock=world.clock,
    )
    known = Known(world, adapter)
    before = verifier.count
    assert known.get(kind).status == 200
    assert verifier.count == before + 1


@kinds
@pytest.mark.parametrize("part", ["protector", "validator"])
def test_what_a_subclass_in_flask_does_is_not_left_out(
    world: World, kind: str, part: str
) -> None:
    class Protector(ResourceProtector):
        def validate_request(self, *values: Any, **names: Any) -> Any:
            world.served += 1
            return super().validate_request(*values, **names)

    class Validator(DPoPTokenValidator):
        def get_access_token(self, token: Any) -> Any:
            world.served += 1
            return super().get_access_token(token)

    known = Known(
        world,
        "",
        app=flask_app(
            world,
            "accounts",
            protector=Protector if part == "protector" else ResourceProtector,
            validator=Validator if part == "validator" else DPoPTokenValidator,
        ),
    )
    before = world.served
    assert not known.is_quick(kind)
    assert world.served == before + 1


def test_a_function_of_the_application_is_asked_each_time(world: World) -> None:
    asked: list[str] = []

    def find(text: str) -> Any:
        asked.append(text)
        if len(asked) > 4:
            raise AccessTokenError
        return world.validator(text)

    gate = Gate(world.verifier, find, public_url=AUDIENCE)
    gates = Gates(world, known=gate)
    text = world.symmetric_token()
    gates.warm(text)
    assert len(asked) == 4
    for kind in KINDS:
        assert isinstance(outcome_of(gate, gates.request(kind, text)), Refusal)


def test_gates_on_one_verifier_each_ask_their_own_validator(world: World) -> None:
    gates = Gates(world)
    text = world.symmetric_token()
    gates.warm(text)
    stranger = AccessTokenValidator(
        ISSUER,
        AUDIENCE,
        jwks={"keys": [ECKey.generate_key("P-256").as_dict(private=False)]},
        clock=world.clock,
    )
    other = Gate(world.verifier, stranger, public_url=AUDIENCE)
    same = Gate(world.verifier, make_validator(world, remember=60), public_url=AUDIENCE)
    for kind in KINDS * 2:
        refusal = outcome_of(other, gates.request(kind, text))
        assert isinstance(refusal, Refusal)
        assert refusal.error == "invalid_token"
        for gate in (same, gates.known):
            assert not isinstance(outcome_of(gate, gates.request(kind, text)), Refusal)
