"""Requests that are decided in one step: which they are, and what ends with what."""

from __future__ import annotations

import enum
import json
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import pytest
from authlib.integrations.flask_oauth2 import current_token, token_authenticated
from flask import Flask, g
from flask import request as flask_request
from joserfc.jwk import ECKey

import dpop_ext.core.jws_signature
from dpop_ext.client.ticket_request import TicketRequest
from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.policy import ProofPolicy
from dpop_ext.errors import AccessTokenError
from dpop_ext.integrations.flask_oauth2 import ResourceProtector, current_proof
from dpop_ext.integrations.wsgi import DPoPMiddleware
from dpop_ext.resource_server import (
    AccessTokenValidator,
    DPoPTokenValidator,
    IntrospectionTokenValidator,
)
from dpop_ext.resource_server.answer import AnswerSlot
from dpop_ext.resource_server.credentials import ResourceRequest
from dpop_ext.resource_server.gate import Gate
from dpop_ext.resource_server.refusal import AccessRefusedError, Refusal
from dpop_ext.resource_server.route_policy import RoutePolicy
from dpop_ext.stores.logouts import MemoryLogoutStore
from dpop_ext.stores.memory import MemoryReplayStore
from dpop_ext.stores.ticket_keys import RotatingTicketKeys
from dpop_ext.symmetric.deny_list import Denial, DenyList
from dpop_ext.symmetric.response import ASKS
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.secret_ring import AudienceSecret, SecretRing
from dpop_ext.tickets import Tickets
from dpop_ext.verifier import ProofVerifier
from tests.resource_server.world import (
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
    unproxied,
)

KINDS: Final = ("symmetric", "asymmetric")
#: Flask, and a gate behind the least of adapters.
adapters = pytest.mark.parametrize("adapter", ["flask", "wsgi"])
kinds = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(autouse=True)
def with_symmetric_proofs(world: World) -> None:
    world.symmetric = True


class Calls:
    """Counts the calls of one method of one object."""

    def __init__(self, owner: Any, name: str) -> None:
        self.count = 0
        self._call = getattr(owner, name)
        setattr(owner, name, self)

    def __call__(self, *values: Any, **names: Any) -> Any:
        self.count += 1
        return self._call(*values, **names)


class Known:
    """A server that has served requests with one token, by both kinds of proof."""

    def __init__(
        self,
        world: World,
        adapter: str,
        *,
        app: Any = None,
        token: str | None = None,
        request: dict[str, Any] | None = None,
    ) -> None:
        self.world = world
        self.app = app or world.app(adapter)
        self.token = token or world.symmetric_token()
        self.opened = Calls(world.verifier, "open")
        for kind in KINDS:
            answer = self.get(kind, **(request or {}))
            assert answer.status == 200, answer.body

    def make(
        self, kind: str, *, more: tuple[tuple[str, str], ...] = (), **changes: Any
    ) -> Request:
        wire = {
            name: changes.pop(name)
            for name in ("method", "target", "body")
            if name in changes
        }
        changes = {"jti": secrets.token_urlsafe(12)} | changes
        make = self.world.symmetric_proof if kind == "symmetric" else self.world.proof
        proof = make(self.token, method=wire.get("method", "GET"), **changes)
        fields = [("Authorization", f"DPoP {self.token}"), ("DPoP", proof), *more]
        return Request(headers=fields, **wire)

    def send(self, request: Request) -> Response:
        return send(self.app, request.environ())

    def get(self, kind: str, **changes: Any) -> Response:
        return self.send(self.make(kind, **changes))

    def is_quick(self, kind: str, **changes: Any) -> bool:
        """Tell whether a good request is served without the steps."""
        before = self.opened.count
        assert self.get(kind, **changes).status == 200
        return self.opened.count == before


# --- which requests they are


@adapters
@kinds
@pytest.mark.parametrize(
    "setting",
    [
        *[{}, {"use_nonces": True}, {"token_form": "opaque"}, {"accept_bearer": True}],
        *[{"realm": "r"}, {"scope": "transfers"}],
        {"client_certificate": lambda environ: None},
    ],
)
def test_a_request_with_a_known_token_and_a_known_key_is_usual(
    world: World, adapter: str, kind: str, setting: dict[str, Any]
) -> None:
    known = Known(replace(world, **setting), adapter)
    assert [known.is_quick(kind) for _ in range(3)] == [True] * 3


@adapters
@kinds
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
def test_every_method_is_usual(
    world: World, adapter: str, kind: str, method: str
) -> None:
    assert Known(world, adapter).is_quick(kind, method=method)


@pytest.mark.requirement("N-2", "N-3", "N-8", "N-11", "N-18", "C-9")
@kinds
@pytest.mark.parametrize(
    ("public_url", "target", "url", "usual"),
    [
        ("https://API.Example.com:443", "/accounts", f"{AUDIENCE}/accounts", True),
        (f"{AUDIENCE}/v1/", "/accounts", f"{AUDIENCE}/v1/accounts", True),
        (f"{AUDIENCE}/a%2Fb", "/accounts", f"{AUDIENCE}/a%2Fb/accounts", True),
        ("http://localhost:8000", "/accounts", "http://localhost:8000/accounts", True),
        ("https://[::1]:8443", "/accounts", "https://[::1]:8443/accounts", False),
        (f"{AUDIENCE}/./x/%61", "/accounts", f"{AUDIENCE}/x/a/accounts", False),
        (AUDIENCE, "/accounts?a=b#c", f"{AUDIENCE}/accounts", True),
        (AUDIENCE, "//accounts", f"{AUDIENCE}//accounts", True),
        (AUDIENCE, "/", f"{AUDIENCE}/", True),
        (AUDIENCE, "/a;b:c@d~e", f"{AUDIENCE}/a;b:c@d~e", True),
        (AUDIENCE, "/a,b", f"{AUDIENCE}/a,b", False),
        (AUDIENCE, "/a#b", f"{AUDIENCE}/a", False),
        (AUDIENCE, "/%61", f"{AUDIENCE}/a", False),
        (AUDIENCE, "/a%2fb", f"{AUDIENCE}/a%2Fb", False),
        (AUDIENCE, "/b/../a", f"{AUDIENCE}/a", False),
        (AUDIENCE, "/.well-known/x", f"{AUDIENCE}/.well-known/x", False),
        (AUDIENCE, "https://x.example/a?b", f"{AUDIENCE}/a", False),
    ],
)
def test_targets_are_compared_as_by_the_steps(
    world: World, kind: str, public_url: str, target: str, url: str, usual: bool
) -> None:
    """Those that need not be normalised are usual; all of them are served."""
    gates = Gates(world, public_url=public_url)
    text = world.symmetric_token()
    gates.warm(text, url=url, target=target)
    outcome = gates.same(kind, text, url=url, target=target)
    assert not isinstance(outcome, Refusal)
    assert gates.was_quick == usual
    for other in (url + "/", url + "x", url.replace("a", "b", 1)):
        refusal = gates.same(kind, text, url=other, target=target)
        assert isinstance(refusal, Refusal)
        assert refusal.reason == "target_mismatch"


@kinds
@pytest.mark.parametrize(
    "target",
    [
        *["*", "", "?a", "accounts", "/a b", "/é", "/a\\b", "/%", "/%zz", "http:/a"],
        # Such a URL could be made of what clients call the server.
        *[":8443/accounts", ".example/accounts", "x/accounts"],
    ],
)
def test_targets_of_nothing_are_refused_as_by_the_steps(
    world: World, kind: str, target: str
) -> None:
    gates = Gates(world)
    text = world.symmetric_token()
    gates.warm(text)
    for url in (f"{AUDIENCE}/accounts", AUDIENCE + target.partition("?")[0]):
        try:
            outcome = gates.same(kind, text, url=url, target=target)
        except ValueError:
            continue  # no client makes such a proof
        assert isinstance(outcome, Refusal)


@pytest.mark.parametrize("public_url", [f"{AUDIENCE}/a%", f"{AUDIENCE}/a%4"])
def test_a_public_url_with_a_bad_escape_refuses_as_the_steps_do(
    world: World, public_url: str
) -> None:
    text = world.symmetric_token()
    # Another gate knows the token.
    Gates(world).warm(text)
    gates = Gates(world, public_url=public_url)
    for url in (f"{AUDIENCE}/accounts", f"{public_url}/accounts"):
        refusal = gates.same("symmetric", text, url=url)
        assert isinstance(refusal, Refusal)
        assert refusal.reason == "target_mismatch"


@pytest.mark.requirement("P-5", "P-6", "P-8", "C-1", "J-15")
@kinds
@pytest.mark.parametrize(
    "changed",
    [
        lambda token, proof: ((f"dpop {token}",), (proof,)),
        lambda token, proof: ((f"DPoP  {token}",), (proof,)),
        lambda token, proof: ((f" DPoP {token}\t",), (proof,)),
        lambda token, proof: ((f"DPoP\t{token}",), (proof,)),
        lambda token, proof: ((f"DPoP {token} ",), (proof,)),
        lambda token, proof: ((f"DPoP {token},",), (proof,)),
        lambda token, proof: ((f"DPoP {token}, DPoP {token}",), (proof,)),
        lambda token, proof: ((f"DPoP {token}",) * 2, (proof,)),
        lambda token, proof: ((f"DPoP {token}=",), (proof,)),
        lambda token, proof: ((f"DPoP {token}{'a' * 17_000}",), (proof,)),
        lambda token, proof: (("DPoP ",), (proof,)),
        lambda token, proof: (("DPoP \ud800",), (proof,)),
        lambda token, proof: ((f"Bearer {token}",), (proof,)),
        lambda token, proof: ((), (proof,)),
        lambda token, proof: ((f"DPoP {token}",), ()),
        lambda token, proof: ((f"DPoP {token}",), ("",)),
        lambda token, proof: ((f"DPoP {token}",), (proof,) * 2),
        lambda token, proof: ((f"DPoP {token}",), (f"{proof},{proof}",)),
        lambda token, proof: ((f"DPoP {token}",), (f" {proof}",)),
        lambda token, proof: ((f"DPoP {token}",), (f"{proof}\t",)),
    ],
)
def test_fields_that_are_written_otherwise_get_the_answer_of_the_steps(
    world: World, kind: str, changed: Callable[[str, str], Any]
) -> None:
    gates = Gates(world)
    text = world.symmetric_token()
    gates.warm(text)
    good = gates.request(kind, text)
    authorization, proofs = changed(text, good.proofs[0])
    request = replace(good, authorization=authorization, proofs=proofs)
    assert isinstance(gates.compare(request), Refusal) or not gates.was_quick


class Scope(enum.StrEnum):
    ACCOUNTS = "accounts"
    PAYMENTS = "payments"


@pytest.mark.requirement("J-14", "P-3")
@kinds
@pytest.mark.parametrize(
    ("scopes", "usual"),
    [
        *[((), True), ([], True), ("accounts", True), (["accounts"], True)],
        *[(("payments", "transfers"), True), ([Scope.ACCOUNTS], True)],
        *[([Scope.PAYMENTS, "accounts"], False), ("accounts transfers", False)],
        *[(["accounts transfers"], False), ("", False), ([""], False), (" ", False)],
        *[({"accounts"}, False), (frozenset(), False), ({}, False), (None, False)],
        *[(["payments"], False), ("payments", False), (["account"], False)],
        *[("accounts payments", False), ([None, "accounts"], False), (0, False)],
        *[(["payments", None], False), ([["accounts"]], False), (b"accounts", False)],
    ],
)
def test_scopes_of_any_kind_mean_what_they_mean_to_the_steps(
    world: World, kind: str, scopes: Any, usual: bool
) -> None:
    gates = Gates(world)
    text = world.symmetric_token()
    gates.warm(text)
    gates.compare(gates.request(kind, text), scopes=scopes)
    assert gates.was_quick == usual


@kinds
def test_scopes_that_can_be_read_once_are_not_used_up(world: World, kind: str) -> None:
    gates = Gates(world)
    text = world.symmetric_token()
    gates.warm(text)
    request = gates.request(kind, text)
    assert gates.known.check(request, scopes=iter(["x", "accounts"]))
    with pytest.raises(AccessRefusedError) as caught:
        gates.known.check(gates.request(kind, text), scopes=iter(["payments"]))
    assert caught.value.refusal.scope == "payments"


def test_a_function_that_forgets_the_scopes_lets_nobody_in(world: World) -> None:
    scopes: Any = lambda environ: None if world.served else ["accounts"]  # noqa: E731

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b""]

    known = Known(
        world,
        "",
        app=DPoPMiddleware(
            app,
            verifier=world.verifier,
            find_token=world.validator,
            public_url=AUDIENCE,
            scopes=scopes,
        ),
    )
    world.served = 1
    for kind in KINDS:
        with pytest.raises(TypeError):
            known.get(kind)


@kinds
@pytest.mark.parametrize("scopes", [None, "accounts", ["x", "transfers"], [], ()])
def test_scopes_of_a_view_are_usual_as_well(
    world: World, kind: str, scopes: Any
) -> None:
    known = Known(world, "", app=_flask(world, scopes))
    assert known.is_quick(kind)


@adapters
@kinds
def test_a_token_of_another_scope_is_refused_by_the_steps(
    world: World, adapter: str, kind: str
) -> None:
    known = Known(world, adapter)
    dsk = {"alg": "HS256", "v": VERSION, "r": b64url_encode(R)}
    known.token = world.token(scope="other", cnf={"jkt": world.jkt, "dsk": dsk})
    for _ in range(3):
        answer = known.get(kind)
        assert answer.status == 403
        assert answer.challenges["DPoP"].get("error") == "insufficient_scope"
    assert (known.world.served, known.opened.count) == (2, 5)


@adapters
@kinds
@pytest.mark.parametrize("route", [{"asymmetric": True}, {"request_digest": True}])
def test_a_route_that_demands_more_is_not_usual(
    world: World, adapter: str, kind: str, route: dict[str, bool]
) -> None:
    known = Known(world, adapter)
    app = replace(world, route=RoutePolicy(**route))
    app._verifier = world.verifier
    app.validator = world.validator
    strict = app.app(adapter)
    before = known.opened.count
    answer = send(strict, known.make(kind).environ())
    assert (known.opened.count - before) == 1
    is_served = kind == "asymmetric" and "asymmetric" in route
    assert answer.status == (200 if is_served else 401)


@adapters
@kinds
@pytest.mark.parametrize(
    ("claims", "status"),
    [({"cd": "x"}, 401), ({"hq": "x"}, 401), ({"exp": 1}, 401), ({ASKS: "x"}, 401)],
)
def test_what_a_proof_says_beside_is_heard(
    world: World, adapter: str, kind: str, claims: dict[str, Any], status: int
) -> None:
    assert Known(world, adapter).get(kind, claims=claims).status == status


@adapters
@kinds
def test_an_answer_that_is_to_be_proved_is(
    world: World, adapter: str, kind: str
) -> None:
    answer = Known(world, adapter).get(kind, claims={ASKS: True})
    assert answer.status == 200
    assert answer.values("DPoP-Response")


@adapters
def test_who_asks_for_a_ticket_gets_one_and_its_proofs_are_usual(
    world: World, adapter: str
) -> None:
    tickets = Tickets(
        keys=RotatingTicketKeys(clock=world.clock), logouts=MemoryLogoutStore()
    )
    known = Known(replace(world, tickets=tickets), adapter)
    asking = TicketRequest(resource=AUDIENCE, jkt=world.jkt)
    request = known.make("asymmetric", claims=asking.claims())
    answer = known.send(request)
    ticket = asking.read(
        answer.values("DPoP-Ticket"), proof=request.headers[1][1], now=world.clock.now
    )
    assert ticket is not None

    def use() -> int:
        proof = world.encapsulated_proof(
            known.token, key=ticket.key, ticket=ticket.ticket
        )
        fields = [("Authorization", f"DPoP {known.token}"), ("DPoP", proof)]
        return known.send(Request(headers=fields)).status

    before = known.opened.count
    assert [use() for _ in range(3)] == [200] * 3
    assert known.opened.count == before + 1
    known.world.verifier.log_out(jkt=world.jkt)
    assert use() == 401
    assert all(known.is_quick(kind) for kind in KINDS)


@pytest.mark.requirement("B-9", "J-19")
@adapters
def test_a_token_that_is_bound_to_a_certificate_too_needs_it_each_time(
    world: World, adapter: str
) -> None:
    shown = b64url_encode(bytes(range(32)))
    seen = [shown]
    finder: Any = lambda environ: seen[0]  # noqa: E731
    world = replace(world, client_certificate=finder)
    dsk = {"alg": "HS256", "v": VERSION, "r": b64url_encode(R)}
    cnf = {"jkt": world.jkt, "x5t#S256": shown, "dsk": dsk}
    known = Known(world, adapter, token=world.token(cnf=cnf))
    # With the certificate in the binding the key is derived all the same.
    assert not known.is_quick("asymmetric")
    seen[0] = "A" * 43
    for kind in KINDS:
        assert known.get(kind).status == 401


# --- what ends with what


@pytest.mark.requirement("R1506", "R1507", "R1510", "R2011", "R2012", "R2023", "X-14")
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


@pytest.mark.requirement("X-14", "X-17", "J-8")
@adapters
@kinds
@pytest.mark.parametrize("seconds", [299, 299.9, 300, 400])
def test_a_token_is_not_good_beyond_its_expiry(
    world: World, adapter: str, kind: str, seconds: float
) -> None:
    world.validator = _validator(world, remember=3600)
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
    world.validator = _validator(world, remember=remember)
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


# --- what a refusal costs, and what it leaves


@pytest.fixture
def signatures(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each check of an ES256 signature by the key of a proof."""
    checked: list[int] = []
    verify = dpop_ext.core.jws_signature._verify_es256

    def count(key: Any, message: bytes, signature: bytes) -> bool:
        checked.append(len(message))
        return verify(key, message, signature)

    monkeypatch.setattr(dpop_ext.core.jws_signature, "_verify_es256", count)
    return checked


@pytest.mark.requirement("C-6", "C-13", "R1503")
@adapters
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        *[({"now": 1_789_999_000}, "stale_proof"), ({"nonce": None}, "use_dpop_nonce")],
        *[({"nonce": "x"}, "use_dpop_nonce"), ({"url": AUDIENCE}, "target_mismatch")],
        *[({"access_token": "other"}, "token_mismatch"), ({}, "bad_signature")],
        *[({"jti": "used"}, "replayed_proof"), ({"jti": "x" * 257}, "malformed_proof")],
        *[({"claims": {"cd": "x"}}, "digest_mismatch")],
    ],
)
def test_the_signature_of_a_refused_proof_is_checked_once(
    world: World,
    adapter: str,
    signatures: list[int],
    caplog: pytest.LogCaptureFixture,
    changes: dict[str, Any],
    reason: str,
) -> None:
    known = Known(replace(world, use_nonces=True), adapter)
    assert known.get("asymmetric", jti="used").status == 200
    text = known.token
    token = changes.get("access_token", text)
    values = {"jti": "new"} | changes | {"access_token": token}
    proof = known.world.proof(values.pop("access_token"), **values)
    if not changes:
        other = known.make("asymmetric").headers[1][1]
        proof = f"{proof.rpartition('.')[0]}.{other.rpartition('.')[2]}"
    signatures.clear()
    added = Calls(world.store, "add")
    caplog.set_level("INFO", "dpop_ext.resource_server")
    caplog.clear()
    fields = [("Authorization", f"DPoP {text}"), ("DPoP", proof)]
    answer = known.send(Request(headers=fields))
    assert (answer.status, len(signatures)) == (401, 1)
    lines = [each for each in caplog.messages if each.startswith("refused")]
    assert len(lines) == 1
    assert f"reason={reason} " in lines[0]
    assert added.count == (reason == "replayed_proof")
    # Nothing was used up by it.
    if reason != "replayed_proof":
        assert known.get("asymmetric", jti="new").status == 200


@pytest.mark.requirement("P-12", "R1509")
@kinds
def test_a_forger_learns_nothing_else_than_from_the_steps(
    world: World, kind: str
) -> None:
    gates = Gates(world)
    text = world.symmetric_token()
    gates.warm(text)
    good, other = gates.request(kind, text), gates.request(kind, text)
    last = other.proofs[0].rpartition(".")[2]
    forged = f"{good.proofs[0].rpartition('.')[0]}.{last}"
    refusal = gates.compare(replace(good, proofs=(forged,)))
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "bad_signature"
    assert gates.was_quick
    later = gates.compare(gates.request(kind, text, url=AUDIENCE))
    assert (later.description == refusal.description) == (kind == "symmetric")
    assert not isinstance(outcome_of(gates.known, good), Refusal)


@kinds
@pytest.mark.parametrize(
    "changes",
    [
        *[{}, {"now": 1_789_999_000}, {"nonce": None}, {"nonce": "x"}],
        *[{"url": AUDIENCE}, {"url": f"{AUDIENCE}/Accounts"}, {"method": "POST"}],
        *[{"access_token": "other"}, {"claims": {"cd": "x"}}, {"jti": "x" * 257}],
    ],
)
def test_the_log_says_the_same_of_a_refusal(
    world: World, kind: str, changes: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    gates = Gates(replace(world, use_nonces=True))
    text = world.symmetric_token()
    gates.warm(text)
    request = gates.request(kind, text)
    if changes:
        token = changes.get("access_token", text)
        more = {name: changes[name] for name in changes if name != "access_token"}
        proof = gates.request(kind, token, **more).proofs[0]
    else:
        other = gates.request(kind, text).proofs[0].rpartition(".")[2]
        proof = f"{request.proofs[0].rpartition('.')[0]}.{other}"
    caplog.set_level("DEBUG", "dpop_ext.resource_server")
    caplog.clear()
    assert isinstance(gates.compare(replace(request, proofs=(proof,))), Refusal)
    lines = [
        (record.levelno, record.getMessage(), getattr(record, "fields", None))
        for record in caplog.records
    ]
    half = len(lines) // 2
    assert lines[:half] == lines[half:]
    assert half == (2 if {"url", "method"} & changes.keys() else 1)


@kinds
def test_a_good_proof_is_checked_and_used_up_once(
    world: World, kind: str, signatures: list[int]
) -> None:
    gates = Gates(world)
    text = world.symmetric_token()
    gates.warm(text)
    signatures.clear()
    added = Calls(world.store, "add")
    request = gates.request(kind, text)
    assert not isinstance(outcome_of(gates.known, request), Refusal)
    assert (len(signatures), added.count) == (int(kind == "asymmetric"), 1)
    refusal = outcome_of(gates.known, replace(request, spent=set()))
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "replayed_proof"
    assert (len(signatures), added.count) == (2 * (kind == "asymmetric"), 2)


@pytest.mark.requirement("X-15")
@kinds
def test_layers_of_one_application_use_a_proof_up_once(world: World, kind: str) -> None:
    gates = Gates(world)
    text = world.symmetric_token()
    gates.warm(text)
    request = gates.request(kind, text)
    slot = request.answer = AnswerSlot()
    added = Calls(world.store, "add")
    # A gateway's question leaves no trace.
    unspent = gates.known.verify(request)
    assert (gates.was_quick, added.count, request.spent) == (True, 0, set())
    first, second = gates.known.check(request), gates.known.check(request)
    assert first == second
    assert (unspent.token, unspent.proof) == first[:2]
    assert (gates.was_quick, added.count, slot.signer) == (True, 1, None)
    with pytest.raises(AccessRefusedError, match="replayed_proof"):
        gates.known.check(replace(request, spent=set()))


@pytest.mark.requirement("X-15")
@adapters
@kinds
def test_a_view_below_a_middleware_sees_no_replay(
    world: World, adapter: str, kind: str
) -> None:
    outer = ProofVerifier(
        world.store,
        keyring=world.keyring,
        issuer=ISSUER,
        audience=AUDIENCE,
        clock=world.clock,
    )
    app = DPoPMiddleware(
        world.app(adapter),
        verifier=outer,
        find_token=world.validator,
        public_url=AUDIENCE,
    )
    known, opened = Known(world, "", app=app), Calls(outer, "open")
    assert [known.is_quick(kind) for _ in range(2)] == [True] * 2
    assert opened.count == 0
    request = known.make(kind)
    assert known.send(request).status == 200
    # Only that one request used it up.
    assert known.send(request).status == 401


@pytest.mark.requirement("C-10")
@adapters
@kinds
def test_a_client_with_an_older_nonce_gets_a_new_one(
    world: World, adapter: str, kind: str
) -> None:
    known = Known(replace(world, use_nonces=True), adapter)
    fresh, old = known.world.nonce(), known.world.nonce(age=1)
    assert known.is_quick(kind, nonce=old)
    assert known.get(kind, nonce=old).only("DPoP-Nonce") == fresh
    assert known.get(kind, nonce=fresh).values("DPoP-Nonce") == []


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
        app=_flask(
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
    same = Gate(world.verifier, _validator(world, remember=60), public_url=AUDIENCE)
    for kind in KINDS * 2:
        refusal = outcome_of(other, gates.request(kind, text))
        assert isinstance(refusal, Refusal)
        assert refusal.error == "invalid_token"
        for gate in (same, gates.known):
            assert not isinstance(outcome_of(gate, gates.request(kind, text)), Refusal)


# --- Flask


@kinds
def test_a_view_of_flask_is_told_the_same(world: World, kind: str) -> None:
    app = Flask("resource-server")
    protect = world.protector()
    told: list[Any] = []

    @app.post("/accounts")
    @protect("accounts")  # type: ignore[untyped-decorator]
    def view() -> str:
        token, proof = unproxied(current_token), unproxied(current_proof)
        told.append((token, proof, {name: getattr(g, name) for name in g}))
        return f"{flask_request.json}"

    def note(_sender: Any, token: Any) -> None:
        told.append(token)

    json_field = (("Content-Type", "application/json"),)
    request: dict[str, Any] = {"method": "POST", "body": b"[1]", "more": json_field}
    known = Known(world, "", app=app, request=request)
    sent = known.make(kind, **request)
    with token_authenticated.connected_to(note):
        assert known.send(sent).body == b"[1]"
        # Now by the steps, for a server that knows nothing.
        new = replace(world, store=MemoryReplayStore())
        dpop = DPoPTokenValidator(new.validator, new.verifier, public_url=AUDIENCE)
        protect._token_validators["dpop"] = dpop
        assert known.send(sent).body == b"[1]"
    assert known.opened.count == 2
    assert told[-4:-2] == told[-2:]


@kinds
@pytest.mark.parametrize("status", [200, 401])
def test_a_script_of_another_origin_reads_what_it_may(
    world: World, kind: str, status: int
) -> None:
    known = Known(replace(world, use_nonces=True), "flask")
    nonce = known.world.nonce() if status == 200 else "x"
    origin = (("Origin", "https://app.example"),)
    answer = known.get(kind, nonce=nonce, more=origin)
    assert answer.status == status
    assert "DPoP-Nonce" in answer.only("Access-Control-Expose-Headers")


@pytest.mark.requirement("P-8")
@adapters
@kinds
@pytest.mark.parametrize(
    "content",
    ["application/x-www-form-urlencoded", "Application/X-WWW-Form-Urlencoded;a=b"],
)
def test_a_second_token_in_a_form_is_seen(
    world: World, adapter: str, kind: str, content: str
) -> None:
    known = Known(world, adapter)
    more = (("Content-Type", content),)
    request: dict[str, Any] = {"method": "POST", "more": more}
    assert known.get(kind, body=b"access_token=x", **request).status == 400
    assert known.get(kind, body=b"other=x", **request).status == 200
    assert known.get(kind, target="/accounts?access_token=x").status == 400


def _flask(
    world: World,
    scopes: Any,
    *,
    protector: Any = ResourceProtector,
    validator: Any = DPoPTokenValidator,
) -> Flask:
    """Return an application with one view that demands nothing but *scopes*."""
    app = Flask("resource-server")
    protect = protector()
    protect.register_token_validator(
        validator(world.validator, world.verifier, public_url=AUDIENCE)
    )

    @app.get("/accounts")
    @protect(scopes)  # type: ignore[untyped-decorator]
    def view() -> str:
        return "served"

    return app


# --- a gate, beside one that has seen nothing


@dataclass
class Gates:
    """A gate that gets to know a token, and one that knows nothing."""

    world: World
    public_url: str = AUDIENCE
    known: Any = None

    def __post_init__(self) -> None:
        self.opened = Calls(self.world.verifier, "open")
        if self.known is None:
            self.known = self.make(self.world)

    def make(self, world: World) -> Gate:
        return Gate(world.verifier, world.validator, public_url=self.public_url)

    def warm(self, text: str, **changes: Any) -> None:
        for kind in KINDS * 2:
            request = self.request(kind, text, **changes)
            assert not isinstance(outcome_of(self.known, request), Refusal)
        self.opened.count = 0

    @property
    def was_quick(self) -> bool:
        """Whether no request took the steps since this was asked."""
        count, self.opened.count = self.opened.count, 0
        return count == 0

    def request(
        self, kind: str, text: str, *, target: str = "/accounts", **changes: Any
    ) -> ResourceRequest:
        make = self.world.symmetric_proof if kind == "symmetric" else self.world.proof
        proof = make(text, **({"jti": secrets.token_urlsafe(12)} | changes))
        return ResourceRequest(
            method="GET",
            scheme="http",
            host="unknown.example",
            raw_target=target,
            authorization=(f"DPoP {text}",),
            proofs=(proof,),
        )

    def same(self, kind: str, text: str, **changes: Any) -> Any:
        return self.compare(self.request(kind, text, **changes))

    def compare(self, request: ResourceRequest, scopes: Any = ()) -> Any:
        """Return what comes of a request, which is the same at both gates."""
        new = replace(self.world, store=MemoryReplayStore())
        new.keyring.replace(self.world.keyring.load())
        expected = outcome_of(self.make(new), replace(request, spent=set()), scopes)
        found = outcome_of(self.known, request, scopes)
        assert found == expected
        return found


def outcome_of(gate: Gate, request: ResourceRequest, scopes: Any = ()) -> Any:
    """Return token and proof, the refusal, or the class of another error."""
    try:
        served = gate.check(request, scopes=scopes)
    except AccessRefusedError as error:
        return error.refusal
    except Exception as error:  # noqa: BLE001 - of wrong arguments
        return type(error)
    return served.token, tuple(served.proof or ()), served.ticket


def made(*entries: Any, **options: Any) -> SecretRing:
    return SecretRing(entries, issuer=ISSUER, audience=AUDIENCE, **options)


def denying(denial: Denial) -> SecretRing:
    return made(secret(VERSION), denied=DenyList([denial]))


def other_secret() -> AudienceSecret:
    value = SecretBytes(bytes(range(3, 35)))
    other: AudienceSecret = replace(secret(VERSION), secret=value)
    return other


def _validator(world: World, *, remember: float) -> AccessTokenValidator:
    return AccessTokenValidator(
        ISSUER,
        AUDIENCE,
        jwks={"keys": [world.issuer_key.as_dict(private=False)]},
        remember=remember,
        clock=world.clock,
    )
