"""Requests that are decided in one step: which they are, and what a refusal costs."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from authlib.integrations.flask_oauth2 import current_token, token_authenticated
from flask import Flask, g
from flask import request as flask_request

import dpop_ext.core.jws_signature
from dpop_ext.client.ticket_request import TicketRequest
from dpop_ext.core.base64url import b64url_encode
from dpop_ext.integrations.flask_oauth2 import current_proof
from dpop_ext.integrations.wsgi import DPoPMiddleware
from dpop_ext.resource_server import (
    DPoPTokenValidator,
)
from dpop_ext.resource_server.answer import AnswerSlot
from dpop_ext.resource_server.refusal import AccessRefusedError, Refusal
from dpop_ext.resource_server.route_policy import RoutePolicy
from dpop_ext.stores.logouts import MemoryLogoutStore
from dpop_ext.stores.memory import MemoryReplayStore
from dpop_ext.stores.ticket_keys import RotatingTicketKeys
from dpop_ext.symmetric.response import ASKS
from dpop_ext.tickets import Tickets
from dpop_ext.verifier import ProofVerifier
from tests.resource_server.cases import FORM
from tests.resource_server.known_server import (
    KINDS,
    Calls,
    Gates,
    Known,
    adapters,
    flask_app,
    kinds,
    outcome_of,
)
from tests.resource_server.world import (
    AUDIENCE,
    ISSUER,
    VERSION,
    R,
    Request,
    World,
    send,
    unproxied,
)


@pytest.fixture(autouse=True)
def with_symmetric_proofs(world: World) -> None:
    world.symmetric = True


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
    # A function of the application that Flask does not call on the quick way.
    quick = adapter != "flask" or "client_certificate" not in setting
    assert [known.is_quick(kind) for _ in range(3)] == [quick] * 3


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


@pytest.mark.requirement("P-4")
@adapters
@kinds
def test_a_known_token_needs_its_proof_and_a_proof_its_token(
    world: World, adapter: str, kind: str
) -> None:
    known = Known(world, adapter)
    for field in known.make(kind).headers:
        assert known.send(Request(headers=[field])).status == 401


@pytest.mark.requirement("P-8")
@adapters
@kinds
def test_a_known_token_is_alone_in_its_request(
    world: World, adapter: str, kind: str
) -> None:
    known = Known(world, adapter)
    assert known.get(kind, target="/accounts?a=b").status == 200
    query = known.get(kind, target="/accounts?access_token=x")
    form = known.get(kind, method="POST", more=(FORM,), body=b"access_token=x")
    assert (query.status, form.status) == (400, 400)


@kinds
@pytest.mark.parametrize("name", ["REQUEST_URI", "PATH_INFO"])
def test_a_target_that_the_server_names_otherwise_is_usual(
    world: World, kind: str, name: str
) -> None:
    known = Known(world, "flask")
    before = known.opened.count
    environ = known.make(kind).environ(RAW_URI="", REQUEST_URI="")
    answer = send(known.app, environ | {name: "/accounts"})
    assert (answer.status, known.opened.count) == (200, before)


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
    known = Known(world, "", app=flask_app(world, scopes))
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
