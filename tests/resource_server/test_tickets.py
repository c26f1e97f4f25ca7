"""Tickets from a resource server: who gets one, with which answers, how often."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import Any

import pytest
from flask import Flask, abort
from joserfc.jwk import ECKey, OKPKey

from dpop_ext.client.ticket_request import TicketRequest
from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.jws_signature import sign_compact
from dpop_ext.core.structured_field import parse_dictionary
from dpop_ext.errors import KeyDeliveryError, StoreError
from dpop_ext.integrations.wsgi import DPoPMiddleware
from dpop_ext.resource_server import protected_resource_metadata
from dpop_ext.stores.logouts import MemoryLogoutStore
from dpop_ext.stores.ticket_keys import RotatingTicketKeys
from dpop_ext.symmetric.delivery import KEY_ALGORITHMS
from dpop_ext.symmetric.proof import make_symmetric_proof
from dpop_ext.symmetric.ticket import parse_ticket
from dpop_ext.symmetric.ticket_delivery import DeliveredTicket, wrap_ticket
from dpop_ext.tickets import Tickets
from tests import post_quantum
from tests.patience import PATIENCE
from tests.resource_server.world import (
    ADAPTERS,
    AUDIENCE,
    CLIENT,
    ISSUER,
    Request,
    Response,
    World,
    send,
)

ISSUER_MODULE = "dpop_ext.resource_server.ticket_issuer"

pytestmark = pytest.mark.parametrize("adapter", ADAPTERS)


@dataclass
class Shop:
    """A world with tickets, and what a client does there."""

    world: World
    adapter: str

    def __post_init__(self) -> None:
        self.app = self.world.app(self.adapter)

    def request(self) -> TicketRequest:
        return TicketRequest(resource=AUDIENCE, jkt=self.world.jkt)

    def send(self, token: str, proof: str, **changes: Any) -> Response:
        headers = [("Authorization", f"DPoP {token}"), ("DPoP", proof)]
        return send(self.app, Request(headers=headers, **changes).environ())

    def ask(
        self, token: str | None = None, dsk: Any = None, **changes: Any
    ) -> tuple[Response, TicketRequest, str]:
        """Send a request that asks for a ticket, or has *dsk* as its claim."""
        token = token or self.world.token()
        request = self.request()
        claims = request.claims() if dsk is None else {"dsk": dsk}
        proof = self.world.proof(token, claims=claims, **changes)
        return self.send(token, proof), request, proof

    def get(self, token: str | None = None) -> DeliveredTicket:
        """Return a ticket."""
        answer, request, proof = self.ask(token)
        assert answer.status == 200
        ticket = request.read(
            answer.values("DPoP-Ticket"), proof=proof, now=self.world.clock.now
        )
        assert ticket is not None
        return ticket

    def use(
        self, ticket: DeliveredTicket, token: str | None = None, **changes: Any
    ) -> Response:
        token = token or self.world.token()
        values: dict[str, Any] = {
            "algorithm": ticket.algorithm,
            "method": "GET",
            "url": AUDIENCE + "/accounts",
            "now": self.world.clock.now,
            "access_token": token,
            "ticket": ticket.ticket,
        }
        return self.send(token, make_symmetric_proof(ticket.key, **(values | changes)))


def count(answers: list[Response]) -> int:
    """Count the answers with a ticket."""
    return sum(bool(answer.values("DPoP-Ticket")) for answer in answers)


@pytest.fixture
def shop(world: World, adapter: str) -> Shop:
    world.tickets = Tickets(
        keys=RotatingTicketKeys(clock=world.clock), logouts=MemoryLogoutStore()
    )
    return Shop(world, adapter)


@pytest.mark.requirement("R1803", "R1806", "R2136", "R2137", "R2138")
def test_the_answer_to_the_first_request_brings_a_ticket_for_the_next(
    shop: Shop,
) -> None:
    answer, request, proof = shop.ask()

    assert answer.status == 200
    assert answer.json["kind"] == "asymmetric"
    assert answer.only("Cache-Control") == "no-store"
    assert answer.only("Vary") == "DPoP"
    field = parse_dictionary(answer.values("DPoP-Ticket"))
    assert set(field) == {"tkt", "key", "exp", "alg"}
    assert field["exp"] == shop.world.clock.now + 300
    assert field["alg"] == "HS256"
    ticket = request.read(
        answer.values("DPoP-Ticket"), proof=proof, now=shop.world.clock.now
    )
    assert ticket is not None
    assert parse_ticket(ticket.ticket).expires_at == ticket.expires_at

    for number in range(3):
        # Another token each time.
        token = shop.world.token(jti=f"token-{number}")
        used = shop.use(ticket, token)
        assert (used.status, used.json["kind"]) == (200, "symmetric")
        assert not used.values("DPoP-Ticket")


@post_quantum.needed
@pytest.mark.requirement("R2308", "R2309")
def test_the_key_of_a_ticket_is_delivered_to_a_post_quantum_key(shop: Shop) -> None:
    def ask() -> tuple[Response, TicketRequest, str]:
        request = TicketRequest(
            resource=AUDIENCE, jkt=shop.world.jkt, key_algorithm="HPKE-9-KE"
        )
        token = shop.world.token()
        proof = shop.world.proof(token, claims=request.claims())
        return shop.send(token, proof), request, proof

    answer, _, _ = ask()
    assert answer.status == 200
    assert not answer.values("DPoP-Ticket")
    assert shop.world.tickets is not None
    shop.world.tickets = replace(
        shop.world.tickets, key_algorithms=(*KEY_ALGORITHMS, "HPKE-9-KE")
    )
    shop.world._verifier = None
    shop.app = shop.world.app(shop.adapter)
    answer, request, proof = ask()
    ticket = request.read(
        answer.values("DPoP-Ticket"), proof=proof, now=shop.world.clock.now
    )
    assert ticket is not None
    used = shop.use(ticket, shop.world.token(jti="another"))
    assert (used.status, used.json["kind"]) == (200, "symmetric")
    with pytest.raises(ValueError, match="key_algorithms"):
        replace(shop.world.tickets, key_algorithms=("RSA1_5",))


def test_nobody_gets_a_ticket_without_asking(shop: Shop) -> None:
    token = shop.world.token()
    answer = shop.send(token, shop.world.proof(token))

    assert answer.status == 200
    assert not answer.values("DPoP-Ticket")
    assert not answer.values("Vary")


def test_without_tickets_the_claim_means_nothing(world: World, adapter: str) -> None:
    answer, _, _ = Shop(world, adapter).ask()

    assert answer.status == 200
    assert not answer.values("DPoP-Ticket")


@pytest.mark.requirement("T12")
def test_a_ticket_is_for_the_client_that_asked(shop: Shop) -> None:
    ticket = shop.get()
    other = shop.world.token(client_id="client-2")
    stolen = shop.world.token(cnf={"jkt": shop.world.other_key.thumbprint()})

    for token in (other, stolen):
        answer = shop.use(ticket, token)
        assert answer.status == 401
        assert answer.challenges["DPoP"].get("error") == "invalid_dpop_proof"
    assert shop.use(ticket).status == 200


@pytest.mark.requirement("T12")
def test_an_edited_ticket_is_refused(shop: Shop) -> None:
    ticket = shop.get()
    raw = parse_ticket(ticket.ticket).raw
    for at in range(len(raw)):
        edited = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        answer = shop.use(replace(ticket, ticket=b64url_encode(edited)))
        challenge = answer.challenges["DPoP"]
        assert answer.status == 401
        if challenge.get("sym_error") is None:
            assert challenge.get("error") == "invalid_dpop_proof"
        else:
            assert challenge.get("error") == "use_dpop_asymmetric"
            assert challenge.get("sym_error") == "stale_ticket"


@pytest.mark.requirement("R2131")
def test_a_ticket_that_has_ended_is_stale(shop: Shop) -> None:
    ticket = shop.get()
    shop.world.clock.advance(299)
    assert shop.use(ticket).status == 200
    shop.world.clock.advance(1)
    answer = shop.use(ticket)

    assert answer.status == 401
    assert answer.challenges["DPoP"].get("error") == "use_dpop_asymmetric"
    assert answer.challenges["DPoP"].get("sym_error") == "stale_ticket"
    assert answer.challenges["DPoP"].get("sym_algs") is not None
    assert not answer.values("DPoP-Ticket")
    assert shop.ask()[0].values("DPoP-Ticket")


@pytest.mark.requirement("R2132")
def test_a_logout_ends_tickets_and_gives_none_that_would_be_refused(
    shop: Shop,
) -> None:
    ticket = shop.get()
    shop.world.verifier.log_out(jkt=shop.world.jkt)

    assert shop.use(ticket).challenges["DPoP"].get("sym_error") == "stale_ticket"
    assert not shop.ask()[0].values("DPoP-Ticket")
    shop.world.clock.advance(6)
    assert shop.use(shop.get()).status == 200


@pytest.mark.requirement("R2153")
@pytest.mark.parametrize("ending", ["log-out", "outage"])
def test_a_ticket_that_was_ended_signs_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    """Else who holds an answer back could have the request sent once more."""
    ticket = shop.get()
    jti = "used-and-sent-again"
    assert shop.use(ticket, claims={"rsp": True}, jti=jti).values("DPoP-Response")
    if ending == "log-out":
        shop.world.verifier.log_out(jkt=shop.world.jkt)
    else:
        monkeypatch.setattr(MemoryLogoutStore, "find", Down.find)
    replay = shop.use(ticket, claims={"rsp": True}, jti=jti)
    assert replay.challenges["DPoP"].get("sym_error") == "stale_ticket"
    assert not replay.values("DPoP-Response")


@pytest.mark.requirement("R1802")
def test_no_ticket_goes_out_with_an_error(shop: Shop) -> None:
    world = shop.world
    token = world.token(scope="other")
    answers = [
        shop.ask(token)[0],
        shop.ask(method="PUT")[0],
        shop.ask(world.token(exp=world.clock.now))[0],
        shop.ask(key=world.other_key)[0],
    ]

    assert [answer.status for answer in answers] == [403, 401, 401, 401]
    assert count(answers) == 0
    assert count([shop.ask()[0]]) == 1


@pytest.mark.requirement("R1802")
@pytest.mark.parametrize(
    ("status", "has_ticket"),
    [(200, True), (204, True), (303, True), (400, False), (404, False), (500, False)],
)
def test_whether_an_answer_is_an_error_is_for_the_application_to_say(
    shop: Shop, status: int, has_ticket: bool
) -> None:
    world = shop.world
    if shop.adapter == "flask":
        app = Flask("other")

        @app.get("/accounts")
        @world.protector()("accounts")  # type: ignore[untyped-decorator]
        def view() -> Any:
            if status == 404:
                abort(404)
            if status == 500:
                raise RuntimeError
            return "", status

        shop.app = app
    else:

        def inner(environ: Any, start_response: Any) -> list[bytes]:
            start_response(f"{status} Whatever", [])
            return []

        shop.app = DPoPMiddleware(
            inner,
            verifier=world.verifier,
            find_token=world.validator,
            public_url=world.public_url,
        )
    answer, _, _ = shop.ask()

    assert answer.status == status
    assert bool(answer.values("DPoP-Ticket")) is has_ticket


@pytest.mark.requirement("R1804")
def test_one_key_gets_three_tickets_and_then_one_a_minute(shop: Shop) -> None:
    clock = shop.world.clock
    answers = [shop.ask()[0] for _ in range(6)]
    assert [answer.status for answer in answers] == [200] * 6
    assert [bool(answer.values("DPoP-Ticket")) for answer in answers] == [
        *([True] * 3),
        *([False] * 3),
    ]
    clock.advance(59)
    assert count([shop.ask()[0]]) == 0
    clock.advance(1)
    assert count([shop.ask()[0] for _ in range(3)]) == 1
    clock.advance(180)
    assert count([shop.ask()[0] for _ in range(6)]) == 3


@pytest.mark.requirement("R1804")
def test_over_the_limit_nothing_is_encrypted(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    encryptions = []
    original = wrap_ticket

    def counting(*arguments: Any, **options: Any) -> str:
        encryptions.append(1)
        return original(*arguments, **options)

    monkeypatch.setattr(ISSUER_MODULE + ".wrap_ticket", counting)
    for _ in range(50):
        shop.ask()

    assert len(encryptions) == 3


@pytest.mark.requirement("R1804")
def test_many_requests_at_once_are_counted_exactly(shop: Shop) -> None:
    token = shop.world.token()
    barrier = threading.Barrier(12, timeout=PATIENCE)
    answers: list[Response] = []

    def ask() -> None:
        barrier.wait()
        answers.append(shop.ask(token)[0])

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)

    assert [answer.status for answer in answers] == [200] * 12
    assert count(answers) == 3


@pytest.mark.requirement("R2135")
def test_no_ticket_for_a_token_that_allows_none(shop: Shop) -> None:
    jkt = shop.world.jkt
    assert shop.ask(shop.world.token(cnf={"jkt": jkt, "sym": True}))[0].values(
        "DPoP-Ticket"
    )
    none = shop.world.token(cnf={"jkt": jkt, "sym": False})
    answer, _, _ = shop.ask(none)

    assert answer.status == 200
    assert not answer.values("DPoP-Ticket")
    # Nor does one that the client has from another token.
    used = shop.use(shop.get(), none)
    assert used.challenges["DPoP"].get("sym_error") == "stale_ticket"


def test_a_symmetric_proof_gets_no_ticket_nor_does_a_ticket_prolong_itself(
    shop: Shop,
) -> None:
    ticket = shop.get()
    token = shop.world.token()
    proof = make_symmetric_proof(
        ticket.key,
        algorithm="HS256",
        method="GET",
        url=AUDIENCE + "/accounts",
        now=shop.world.clock.now,
        access_token=token,
        ticket=ticket.ticket,
        claims=shop.request().claims(),
    )
    answer = shop.send(token, proof)

    assert answer.status == 200
    assert not answer.values("DPoP-Ticket")


def public(key: Any) -> dict[str, Any]:
    return dict(key.as_dict(private=False))


ODD_N: list[Any] = [None, "", "A" * 42, "A" * 44, 5, [], "+" * 43]
ODD_JWK: list[Any] = [None, {}, [], "x", {"kty": "oct"}]
X25519 = OKPKey.generate_key("X25519")
GOOD: dict[str, Any] = {
    "algs": ["HS256"],
    "jwk": public(X25519),
    "kalgs": ["ECDH-ES"],
    "encs": ["A256GCM"],
    "n": b64url_encode(bytes(range(32))),
    "mode": "wrap",
}


@pytest.mark.requirement("R2136")
@pytest.mark.parametrize(
    "dsk",
    [
        *(None, 1, "wrap", [], {}, True, {"mode": "wrap"}),
        *({**GOOD, "mode": mode} for mode in ("ecdhe", "", None, 1, ["wrap"])),
        *({**GOOD, "n": n} for n in ODD_N),
        *({**GOOD, "algs": algs} for algs in (None, [], ["HS384"], "HS256", ["none"])),
        *({**GOOD, "jwk": jwk} for jwk in ODD_JWK),
        {**GOOD, "jwk": X25519.as_dict(private=True)},
        {**GOOD, "jwk": {**public(X25519), "x": "A" * 43}},
        {**GOOD, "jwk": {**public(X25519), "pad": "x" * 4200}},
        {**GOOD, "jwk": public(OKPKey.generate_key("Ed25519"))},
        {**GOOD, "kalgs": ["RSA1_5"]},
        {**GOOD, "kalgs": ["dir", "PBES2-HS256+A128KW"]},
        {**GOOD, "encs": ["A128CBC-HS256"]},
        {**GOOD, "k_jwe": "a.b.c.d.e"},
        {**{name: GOOD[name] for name in GOOD if name != "n"}, "k_jwe": "a.b.c.d.e"},
        *({name: GOOD[name] for name in GOOD if name != out} for out in ("jwk", "n")),
        {name: GOOD[name] for name in GOOD if name != "mode"},
    ],
)
def test_what_is_not_understood_gets_no_ticket_and_an_answer_all_the_same(
    shop: Shop, dsk: Any
) -> None:
    answer, _, _ = shop.ask(dsk=dsk) if dsk is not None else shop.ask(dsk=[])

    assert answer.status == 200
    assert not answer.values("DPoP-Ticket")
    assert shop.ask(dsk=GOOD)[0].values("DPoP-Ticket")


def test_the_key_of_the_proof_is_not_used_for_encryption(shop: Shop) -> None:
    dsk = {**GOOD, "jwk": public(shop.world.key)}
    assert not shop.ask(dsk=dsk)[0].values("DPoP-Ticket")
    dsk = {**GOOD, "jwk": public(ECKey.generate_key("P-256"))}

    assert shop.ask(dsk=dsk)[0].values("DPoP-Ticket")


@pytest.mark.requirement("R1803")
def test_another_node_with_the_same_keys_recreates_the_key(
    shop: Shop, adapter: str
) -> None:
    ticket = shop.get()
    world = shop.world
    second = World(
        clock=world.clock,
        key=world.key,
        issuer_key=world.issuer_key,
        other_key=world.other_key,
        tickets=world.tickets,
    )
    third = World(
        clock=world.clock,
        key=world.key,
        issuer_key=world.issuer_key,
        other_key=world.other_key,
        tickets=Tickets(
            keys=RotatingTicketKeys(clock=world.clock), logouts=MemoryLogoutStore()
        ),
    )

    assert Shop(second, adapter).use(ticket).status == 200
    refused = Shop(third, adapter).use(ticket)
    assert refused.challenges["DPoP"].get("sym_error") == "stale_ticket"


@pytest.mark.requirement("T12", "R1503")
def test_who_has_a_ticket_cannot_make_us_check_signatures_without_end(
    shop: Shop,
) -> None:
    world = shop.world
    ticket = shop.get()
    forged = sign_compact(
        {"typ": "at+jwt", "alg": "ES256"},
        {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "client_id": CLIENT,
            "exp": world.clock.now + 300,
            "scope": "accounts",
            "cnf": {"jkt": world.jkt},
        },
        world.other_key,
    )
    answers = [shop.use(ticket, forged) for _ in range(22)]

    assert {answer.status for answer in answers} == {401}
    assert {answer.challenges["DPoP"].get("error") for answer in answers} == {
        "invalid_token"
    }
    limited = [bool(answer.values("Retry-After")) for answer in answers]
    assert limited == [*([False] * 20), True, True]
    world.clock.advance(60)
    assert shop.use(ticket).status == 200


class Down:
    """A store that does not answer."""

    def load(self) -> Any:
        raise StoreError

    def find(self, *_: Any, **__: Any) -> Any:
        raise OSError

    put = find


@pytest.mark.parametrize("part", ["keys", "logouts"])
def test_a_store_that_is_down_costs_the_ticket_only(
    shop: Shop, part: Any, caplog: pytest.LogCaptureFixture
) -> None:
    ticket = shop.get()
    assert shop.world.tickets is not None
    changes: dict[str, Any] = {part: Down()}
    tickets = replace(shop.world.tickets, **changes)
    world = replace(shop.world, tickets=tickets)
    other = Shop(world, shop.adapter)
    answer, _, _ = other.ask()

    assert answer.status == 200
    assert not answer.values("DPoP-Ticket")
    assert "no ticket was issued" in caplog.text
    used = other.use(ticket)
    assert used.challenges["DPoP"].get("sym_error") == "stale_ticket"


def test_what_the_application_says_about_caches_stays(shop: Shop) -> None:
    for name, value, after in (
        ("Cache-Control", "private", "private, no-store"),
        ("Cache-Control", "No-Store, private", "No-Store, private"),
        ("Vary", "Accept, dpop", "Accept, dpop"),
        ("Vary", "*", "*"),
    ):
        shop.world.clock.advance(60)
        shop.world.answer_headers = [(name, value)]
        answer, _, _ = shop.ask()
        assert answer.values("DPoP-Ticket")
        assert answer.only(name) == after
    shop.world.clock.advance(60)
    shop.world.answer_headers = [("Vary", "Accept")]
    assert ", ".join(shop.ask()[0].values("Vary")) == "Accept, DPoP"


def test_the_metadata_names_the_mode_where_it_is_on(shop: Shop, world: World) -> None:
    with_tickets = protected_resource_metadata(shop.world.verifier, resource=AUDIENCE)
    without = protected_resource_metadata(
        replace(world, tickets=None, symmetric=True).verifier, resource=AUDIENCE
    )

    assert "ticket" in with_tickets["dpop_symmetric_modes_supported"]
    assert without["dpop_symmetric_modes_supported"] == ["derived"]


@pytest.mark.requirement("R2136", "R2137", "R2138")
def test_the_client_takes_no_answer_to_another_request(shop: Shop) -> None:
    answer, request, proof = shop.ask()
    fields = answer.values("DPoP-Ticket")
    now = shop.world.clock.now
    members = parse_dictionary(fields)
    assert request.read(fields, proof=proof, now=now) is not None

    def refused(
        request: TicketRequest, fields: list[str], proof: str, now: int
    ) -> None:
        with pytest.raises(KeyDeliveryError):
            request.read(fields, proof=proof, now=now)

    refused(request, fields, proof + "x", now)
    refused(request, fields, proof, now + 300)
    refused(request, fields, proof, now - 3400)
    refused(shop.request(), fields, proof, now)
    for name, value in (("_resource", "https://other"), ("_jkt", "x"), ("_n", b"n")):
        kept = getattr(request, name)
        setattr(request, name, value)
        refused(request, fields, proof, now)
        setattr(request, name, kept)
    for name in ("tkt", "key", "exp", "alg"):
        others = [f"{key}={value!r}" for key, value in members.items() if key != name]
        line = ", ".join(others).replace("'", '"')
        refused(request, [line], proof, now)
        refused(request, [f"{line}, {name}=5"], proof, now)
    assert request.read([], proof=proof, now=now) is None
    refused(request, ["no dictionary!"], proof, now)


def test_two_layers_of_an_application_give_one_ticket(
    shop: Shop, adapter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = shop.world
    encryptions = []
    original = wrap_ticket

    def counting(*arguments: Any, **options: Any) -> str:
        encryptions.append(1)
        return original(*arguments, **options)

    monkeypatch.setattr(ISSUER_MODULE + ".wrap_ticket", counting)
    shop.app = DPoPMiddleware(
        shop.app,
        verifier=world.verifier,
        find_token=world.validator,
        public_url=world.public_url,
    )
    answer, _, _ = shop.ask()

    assert answer.only("DPoP-Ticket")
    assert len(encryptions) == 1
