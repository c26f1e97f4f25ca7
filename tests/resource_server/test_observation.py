"""Proofs that are observed: whatever they are, a valid token is served."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from flask import Flask, request

from dpop_ext import ProofSigner
from dpop_ext.core.confirmation import AccessToken
from dpop_ext.core.nonce import NonceIssuer
from dpop_ext.core.request_digest import content_digest
from dpop_ext.errors import StoreError
from dpop_ext.integrations.flask_oauth2 import (
    ResourceProtector,
    current_observation,
)
from dpop_ext.integrations.httpx_client import DPoPAuth
from dpop_ext.integrations.wsgi_request import resource_request
from dpop_ext.resource_server import AccessTokenValidator
from dpop_ext.resource_server.bearer_validator import RejectBoundTokens
from dpop_ext.resource_server.gate import VerifiedRequest
from dpop_ext.resource_server.observation import ObservedRequest
from dpop_ext.resource_server.observer import Observer
from dpop_ext.resource_server.observing_gate import ObservingGate
from dpop_ext.resource_server.route_policy import RoutePolicy
from dpop_ext.symmetric.deny_list import Denial, DenyList
from dpop_ext.symmetric.secret_ring import SecretRing
from dpop_ext.verified_proof import VerifiedProof
from tests.conftest import Clock
from tests.resource_server.world import (
    ADAPTERS,
    AUDIENCE,
    CLIENT,
    ISSUER,
    VERSION,
    Request,
    Rows,
    World,
    secret,
    send,
)

each_adapter = pytest.mark.parametrize("adapter", ADAPTERS)

Make = Callable[[World], list[tuple[str, str]]]


@pytest.fixture
def world(world: World, clock: Clock) -> World:
    world.accept_bearer = True
    world.observer = Observer(clock=clock)
    return world


def dpop(world: World, text: str | None = None, **proof: Any) -> list[tuple[str, str]]:
    text = world.token() if text is None else text
    return [("Authorization", f"DPoP {text}"), ("DPoP", world.proof(text, **proof))]


def bearer(text: str) -> list[tuple[str, str]]:
    return [("Authorization", f"Bearer {text}")]


def expired(world: World) -> dict[str, Any]:
    return {"iat": world.clock.now - 400, "exp": world.clock.now - 100}


#: What is sent, the status without an observer, and with one what was seen or the
#: status of a refusal that stays.
CASES: dict[str, tuple[Make, int, str | int]] = {
    "nothing": (lambda w: [], 401, 401),
    "a good proof": (dpop, 200, "ok"),
    "an unbound token as Bearer": (lambda w: bearer(w.unbound_token()), 200, "bearer"),
    "a bound token as Bearer": (
        lambda w: bearer(w.token()),
        401,
        "bound_token_as_bearer",
    ),
    "a bound token as Bearer with a proof": (
        lambda w: bearer(w.token()) + dpop(w)[1:],
        401,
        "bound_token_as_bearer",
    ),
    "no proof": (lambda w: dpop(w)[:1], 401, "malformed_proof"),
    "two proofs": (lambda w: dpop(w) + dpop(w)[1:], 401, "malformed_proof"),
    "no proof at all": (
        lambda w: [*dpop(w)[:1], ("DPoP", "rubbish")],
        401,
        "malformed_proof",
    ),
    "a proof for another URL": (
        lambda w: dpop(w, url=f"{AUDIENCE}/other"),
        401,
        "target_mismatch",
    ),
    "a proof for another token": (
        lambda w: dpop(w)[:1] + dpop(w, w.token(jti="other"))[1:],
        401,
        "token_mismatch",
    ),
    "an old proof": (
        lambda w: dpop(w, now=w.clock.now - 1000),
        401,
        "stale_proof",
    ),
    "another key": (lambda w: dpop(w, key=w.other_key), 401, "key_mismatch"),
    "an unbound token": (lambda w: dpop(w, w.unbound_token()), 401, "unbound_token"),
    # What makes a token invalid, or insufficient, is no matter of proofs.
    "an expired token": (lambda w: dpop(w, w.token(**expired(w))), 401, 401),
    "an expired token as Bearer": (
        lambda w: bearer(w.unbound_token(**expired(w))),
        401,
        401,
    ),
    "an expired token without a proof": (
        lambda w: dpop(w, w.token(**expired(w)))[:1],
        401,
        401,
    ),
    "a token for somebody else": (
        lambda w: dpop(w, w.token(aud="https://other.example")),
        401,
        401,
    ),
    "no token": (lambda w: bearer("x"), 401, 401),
    "a binding that cannot be read": (
        lambda w: bearer(w.token(cnf={"jkt": "short"})),
        401,
        401,
    ),
    "a certificate that is not shown": (
        lambda w: dpop(w, w.token(cnf={"jkt": w.jkt, "x5t#S256": w.jkt})),
        401,
        401,
    ),
    "a certificate that is not shown, as Bearer": (
        lambda w: bearer(w.token(cnf={"jkt": w.jkt, "x5t#S256": w.jkt})),
        401,
        401,
    ),
    "a scope that does not do": (lambda w: dpop(w, w.token(scope="x")), 403, 403),
    "a scope that does not do, and no proof": (
        lambda w: dpop(w, w.token(scope="x"))[:1],
        401,
        403,
    ),
    "two tokens": (lambda w: dpop(w) + bearer(w.token()), 400, 400),
    "another scheme": (lambda w: [("Authorization", "Basic YTpi")], 401, 401),
}


# The two ways in which it is decided.
@pytest.mark.parametrize("adapter", ["flask", "wsgi"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.requirement("D-1", "D-8", "P-16")
def test_a_valid_token_is_served_and_what_it_lacks_is_counted(
    world: World, adapter: str, case: str
) -> None:
    make, enforced, seen = CASES[case]
    fields = make(world)
    answer = send(world.app(adapter), Request(headers=fields).environ())
    (tally,) = world.observer.tallies() if world.observed else (None,)  # type: ignore[union-attr]
    if isinstance(seen, int):
        assert (answer.status, world.served, tally) == (seen, 0, None)
        assert not world.observer.tallies()  # type: ignore[union-attr]
    else:
        assert (answer.status, world.served) == (200, 1)
        # Nobody takes it for a proof, not even a good one.
        assert answer.json == {"kind": None, "client": CLIENT}
        assert world.observed == [seen]
        assert tally is not None
        assert tally.reasons == {seen: 1}
    world.observer = None
    answer = send(world.app(adapter), Request(headers=make(world)).environ())
    assert answer.status == enforced


@each_adapter
@pytest.mark.requirement("X-15")
def test_a_replay_is_counted_and_served(world: World, adapter: str) -> None:
    app, fields = world.app(adapter), dpop(world)
    for _ in range(3):
        assert send(app, Request(headers=fields).environ()).status == 200
    assert world.observed == ["ok", "replayed_proof", "replayed_proof"]
    # It was used up: whoever enforces refuses it.
    world.observer = None
    refused = send(world.app(adapter), Request(headers=fields).environ())
    assert refused.status == 401


@each_adapter
@pytest.mark.requirement("Q-12")
def test_a_client_learns_the_nonce_from_what_it_is_served(
    world: World, adapter: str
) -> None:
    world.use_nonces = True
    app = world.app(adapter)
    answer = send(app, Request(headers=dpop(world, nonce=None)).environ())
    nonce = answer.only("DPoP-Nonce")
    assert (answer.status, world.observed) == (200, ["use_dpop_nonce"])
    assert "no-store" in answer.only("Cache-Control")
    answer = send(app, Request(headers=dpop(world, nonce=nonce)).environ())
    assert (answer.status, world.observed[1:]) == (200, ["ok"])
    assert answer.values("DPoP-Nonce") == []


@each_adapter
def test_a_server_that_is_not_called_what_its_clients_call_it_sees_so(
    world: World, adapter: str
) -> None:
    """Behind a proxy, without public_url: what stops all requests else."""
    world.public_url = None
    for fields in (dpop(world), bearer(world.unbound_token())):
        asked = Request(headers=fields, scheme="http", host="inner:8000")
        assert send(world.app(adapter), asked.environ()).status == 200
    assert world.observed == ["invalid_request"] * 2


@each_adapter
def test_a_symmetric_proof_is_observed_too(world: World, adapter: str) -> None:
    world.symmetric = True
    app, text = world.app(adapter), world.symmetric_token()
    for proof in (world.symmetric_proof(text), "a.b.c"):
        fields = [("Authorization", f"DPoP {text}"), ("DPoP", proof)]
        assert send(app, Request(headers=fields).environ()).status == 200
    unknown = world.symmetric_token(v=VERSION + 1)
    proof = world.symmetric_proof(unknown)
    fields = [("Authorization", f"DPoP {unknown}"), ("DPoP", proof)]
    assert send(app, Request(headers=fields).environ()).status == 200
    assert world.observed == ["ok", "malformed_proof", "unknown_key"]


@each_adapter
def test_a_store_that_does_not_answer_is_no_fault_of_a_client(
    world: World, adapter: str
) -> None:
    class Broken:
        def add(self, key: bytes, *, expires_at: int, now: int) -> bool:
            raise StoreError

    world.store = Broken()  # type: ignore[assignment]
    answer = send(world.app(adapter), Request(headers=dpop(world)).environ())
    assert (answer.status, world.observed) == (200, ["store_unavailable"])

    class OutOfReach(AccessTokenValidator):
        def __call__(self, text: str) -> AccessToken:
            raise StoreError

    # But nobody is served whose token could not be verified.
    keys = {"keys": [world.issuer_key.as_dict(private=False)]}
    world.validator = OutOfReach(ISSUER, AUDIENCE, jwks=keys, clock=world.clock)
    answer = send(world.app(adapter), Request(headers=dpop(world)).environ())
    assert (answer.status, world.served) == (503, 1)


@each_adapter
def test_a_denied_token_is_refused(world: World, adapter: str) -> None:
    world.symmetric = True
    denial = Denial(token_id="token-1", expires_at=world.clock.now + 300)
    world.keyring.replace(
        SecretRing(
            [secret(VERSION)],
            issuer=ISSUER,
            audience=AUDIENCE,
            denied=DenyList([denial]),
        )
    )
    app = world.app(adapter)
    for fields in (dpop(world), dpop(world)[:1], bearer(world.token())):
        assert send(app, Request(headers=fields).environ()).status == 401
    assert world.served == 0


@each_adapter
@pytest.mark.requirement("P-3")
def test_a_client_of_which_proofs_are_demanded_is_not_observed(
    world: World, adapter: str
) -> None:
    world.observer = Observer(enforce=["other", CLIENT], clock=world.clock)
    app, good = world.app(adapter), dpop(world)
    for fields, status in [
        (good, 200),
        (good, 401),
        (dpop(world)[:1], 401),
        (dpop(world, key=world.other_key), 401),
        (bearer(world.token()), 401),
        (bearer(world.unbound_token()), 401),
    ]:
        answer = send(app, Request(headers=fields).environ())
        assert answer.status == status
        if status == 200:
            assert answer.json["kind"] == "asymmetric"
    fields = bearer(world.unbound_token(client_id="client-2"))
    assert send(app, Request(headers=fields).environ()).status == 200
    assert world.observed == [None, "bearer"]
    assert [tally.client for tally in world.observer.tallies()] == ["client-2"]


@each_adapter
@pytest.mark.requirement("P-3")
def test_whoever_is_enforced_is_answered_as_by_a_server_without_bearer(
    world: World, adapter: str
) -> None:
    world.observer = Observer(enforce=[CLIENT], clock=world.clock)
    enforcing = world.app(adapter)
    observer, world.observer, world.accept_bearer = world.observer, None, False
    strict = world.app(adapter)
    for case, (make, _, _) in CASES.items():
        for scheme in ("https", "http"):
            answers = [
                send(app, Request(headers=make(world), scheme=scheme).environ()).status
                for app in (enforcing, strict)
            ]
            assert answers[0] == answers[1], case
    assert not observer.tallies()


@each_adapter
@pytest.mark.requirement("P-3")
def test_nobody_is_served_while_it_is_not_known_whether_proofs_are_demanded(
    world: World, adapter: str
) -> None:
    def broken(token: AccessToken) -> bool:
        raise OSError("no connection")

    world.observer = Observer(enforce=broken, clock=world.clock)
    app = world.app(adapter)
    for fields in (dpop(world), dpop(world)[:1], bearer(world.unbound_token())):
        answer = send(app, Request(headers=fields).environ())
        assert (answer.status, world.served) == (503, 0)
    assert not world.observer.tallies()


@each_adapter
@pytest.mark.requirement("P-3")
def test_a_route_that_demands_something_of_a_proof_is_not_observed(
    world: World, adapter: str
) -> None:
    world.route = RoutePolicy(asymmetric=True)
    app, good = world.app(adapter), dpop(world)
    for fields, status in [
        (good, 200),
        (good, 401),
        (dpop(world)[:1], 401),
        (bearer(world.unbound_token()), 401),
    ]:
        assert send(app, Request(headers=fields).environ()).status == status
    assert world.observed == [None]


def test_content_that_is_gone_is_no_request_to_serve(world: World) -> None:
    """What was read for a digest and is too long cannot be given back."""
    claims = {"cd": content_digest(b"x" * 2_000_000)}
    asked = Request(headers=dpop(world, claims=claims), body=b"x" * 2_000_000)
    assert send(world.wsgi_app(), asked.environ()).status == 413
    asked = Request(headers=dpop(world, claims=claims), body=b"y")
    assert send(world.wsgi_app(), asked.environ()).status == 200
    assert world.observed == ["digest_mismatch"]


@each_adapter
def test_an_answer_to_a_bad_proof_is_not_proved(world: World, adapter: str) -> None:
    world.symmetric = True
    app, text = world.app(adapter), world.symmetric_token()
    claims = {"rsp": True}
    good = world.symmetric_proof(text, claims=claims)
    old = world.symmetric_proof(text, claims=claims, now=world.clock.now - 1000)
    for proof, number in [(good, 1), (good, 0), (old, 0)]:
        fields = [("Authorization", f"DPoP {text}"), ("DPoP", proof)]
        answer = send(app, Request(headers=fields).environ())
        assert (answer.status, len(answer.values("DPoP-Response"))) == (200, number)
    assert world.observed == ["ok", "replayed_proof", "stale_proof"]


def test_layers_that_both_observe_count_a_request_once(world: World) -> None:
    outer = world.wsgi_app()
    outer._app = world.wsgi_app()
    assert send(outer, Request(headers=dpop(world)).environ()).status == 200
    (tally,) = world.observer.tallies()  # type: ignore[union-attr]
    assert (tally.reasons, world.observed) == ({"ok": 1}, ["ok"])


def test_a_validator_that_rejects_bound_tokens_is_overruled_while_they_are_observed(
    world: World,
) -> None:
    class Strict(RejectBoundTokens, Rows):
        pass

    make = world.protector

    def protector() -> ResourceProtector:
        made = make()
        made._token_validators["bearer"] = Strict(world.validator)
        return made

    world.protector = protector  # type: ignore[method-assign]
    asked = Request(headers=bearer(world.token()))
    assert send(world.flask_app(), asked.environ()).status == 200
    assert world.observed == ["bound_token_as_bearer"]
    world.observer = None
    assert send(world.flask_app(), asked.environ()).status == 401


def test_only_who_accepts_bearer_can_observe(world: World) -> None:
    world.accept_bearer = False
    for make in (
        world.wsgi_app,
        world.asgi_app,
        world.fastapi_app,
        world.django_app,
    ):
        with pytest.raises(ValueError, match="accepts Bearer"):
            make()
    protector = world.protector()
    with (
        Flask(__name__).test_request_context(),
        pytest.raises(RuntimeError, match="accepts Bearer"),
    ):
        protector.acquire_token()


def test_an_observed_request_is_no_verified_one(world: World) -> None:
    gate = ObservingGate(
        world.verifier,
        world.validator,
        observer=Observer(clock=world.clock),
        accept_bearer=True,
    )
    asked = (Request(headers=dpop(world)).environ() for _ in range(2))
    seen = gate.observe(resource_request(next(asked), token_in_form=False))
    assert isinstance(seen, ObservedRequest)
    assert (seen.reason, seen.token.client_id) == ("ok", CLIENT)
    assert not any(
        isinstance(getattr(seen, name), VerifiedProof) for name in seen.__slots__
    )
    # Views that know unbound Bearer tokens need not be changed.
    assert seen.proof is None
    # And the strict decision is still there.
    verified = gate.check(resource_request(next(asked), token_in_form=False))
    assert isinstance(verified, VerifiedRequest)
    assert isinstance(verified.proof, VerifiedProof)


def test_that_nothing_is_enforced_is_logged_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "dpop_ext"):
        world.observer = Observer(clock=world.clock)
        app = world.wsgi_app()
        for _ in range(3):
            send(app, Request(headers=dpop(world)[:1]).environ())
    events = [vars(record)["event"] for record in caplog.records]
    assert events == ["not_enforced"]
    assert caplog.records[0].levelno == logging.WARNING


@each_adapter
@pytest.mark.parametrize("observes", [True, False])
@pytest.mark.requirement("Q-4", "Q-11", "Q-12")
def test_a_stranger_is_told_the_nonce(
    world: World, adapter: str, observes: bool
) -> None:
    asked = Request(headers=[], method="POST").environ()
    answer = send(world.app(adapter), asked)
    assert (answer.status, answer.values("DPoP-Nonce")) == (401, [])
    world.use_nonces, world._verifier = True, None
    world.observer = world.observer if observes else None
    answer = send(world.app(adapter), asked)
    assert answer.status == 401
    assert answer.only("DPoP-Nonce") == world.nonce()
    assert answer.only("Cache-Control") == "no-store"
    assert world.served == 0


def test_a_store_without_secrets_tells_strangers_no_nonce(world: World) -> None:
    class Broken(NonceIssuer):
        def issue(self, **_: Any) -> str:
            raise StoreError

    world.use_nonces, world.nonces = True, Broken([bytes(range(32))])
    answer = send(world.app("wsgi"), Request(headers=[]).environ())
    assert (answer.status, answer.values("DPoP-Nonce")) == (401, [])


def test_a_client_that_asks_for_a_nonce_has_nothing_executed(world: World) -> None:
    # With the token, which is all that this server demands.
    world.use_nonces = True
    app = Flask("observing")
    done: list[tuple[bytes, str]] = []

    @app.route("/upload", methods=["PUT"])
    @world.protector()("accounts")  # type: ignore[untyped-decorator]
    def upload() -> str:
        assert current_observation
        done.append((request.get_data(), current_observation.reason))
        return ""

    auth = DPoPAuth(ProofSigner(world.key, clock=world.clock), world.token())
    transport = httpx.WSGITransport(app)
    with httpx.Client(auth=auth, transport=transport) as http:
        for _ in range(2):
            answer = http.put(
                f"{AUDIENCE}/upload",
                content=iter([b"all"]),
                headers={"Content-Length": "3"},
            )
            assert answer.status_code == 200
    assert done == [(b"all", "ok"), (b"all", "ok")]
