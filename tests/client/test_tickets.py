"""A client asks for tickets, uses them where they are good, and goes on without."""

from __future__ import annotations

from typing import Any

import pytest
from joserfc.jwk import ECKey

from dpop_ext.client import TicketServer
from dpop_ext.client.exchange import Flow, Outcome, Reply
from dpop_ext.client.signer import ProofSigner
from dpop_ext.client.ticket_ring import MAX_PLACES
from dpop_ext.core.base64url import b64url_decode
from dpop_ext.symmetric.ticket import parse_ticket
from tests.client.conftest import Fetch
from tests.client.driving import (
    INVALID_PROOF,
    INVALID_TOKEN,
    ISSUER,
    OK,
    POLICY,
    RESOURCE,
    UNKNOWN_KEY,
    Driven,
    drive,
    rs_nonce,
)
from tests.client.ticket_server import TICKET_MAC_KEY, ticket_field, ticket_reply
from tests.conftest import Clock

URL = "https://api.example/accounts"
STALE_TICKET = Reply(
    status=401,
    challenges=('DPoP error="use_dpop_asymmetric", sym_error="stale_ticket"',),
)
SERVER = TicketServer.of(RESOURCE, issuer=ISSUER, client_id="client-1")


@pytest.fixture
def asking(signer: ProofSigner) -> ProofSigner:
    """A signer that knows of a server with tickets."""
    signer.use_tickets(SERVER)
    return signer


def start(
    signer: ProofSigner, url: str = URL, *, token: str = "access", method: str = "GET"
) -> Flow:
    return signer.resource_request(method=method, url=url, access_token=token)


def answer_with_ticket(
    signer: ProofSigner, clock: Clock, url: str = URL, **arguments: Any
) -> Driven:
    """Drive a request to the end that is answered with a ticket."""
    flow = start(signer, url)
    proof = next(flow).headers()["DPoP"]
    return end(flow, ticket_reply(proof, now=clock.now, jkt=signer.jkt, **arguments))


def end(flow: Flow, reply: Reply) -> Driven:
    driven = Driven()
    with pytest.raises(StopIteration) as stop:
        flow.send(reply)
    driven.outcome = stop.value.value
    return driven


def dsk(driven: Driven, at: int = -1) -> dict[str, Any] | None:
    claim: dict[str, Any] | None = driven.proofs[at].claims.get("dsk")
    return claim


def test_the_first_request_asks_and_the_next_ones_use_the_ticket(
    asking: ProofSigner, clock: Clock
) -> None:
    first = drive(start(asking))
    assert first.kinds == "a"
    claim = dsk(first)
    assert claim is not None
    assert claim["mode"] == "wrap"
    assert claim["algs"] == ["HS256"]
    assert claim["jwk"]["crv"] == "X25519"
    assert "d" not in claim["jwk"]
    assert len(b64url_decode(claim["n"])) == 32
    clock.advance(10)
    assert answer_with_ticket(asking, clock).outcome == Outcome()

    for token in ("access", "the-next-token"):
        used = drive(start(asking, token=token), OK)
        assert used.kinds == "s"
        header = used.proofs[0].header
        assert parse_ticket(header["tkt"]).expires_at == clock.now + 300
        assert set(header) == {"typ", "alg", "tkt"}
        assert dsk(used) is None


def test_each_request_is_for_a_key_and_with_a_number_of_its_own(
    asking: ProofSigner, clock: Clock
) -> None:
    seen = set()
    for _ in range(3):
        flow = start(asking)
        attempt = next(flow)
        for _ in range(2):  # written twice to a connection
            driven = Driven(headers=[attempt.headers()])
            claim = dsk(driven)
            assert claim is not None
            seen |= {claim["n"], claim["jwk"]["x"]}
        clock.advance(6)
    assert len(seen) == 12


def test_the_answer_to_the_last_writing_counts(
    asking: ProofSigner, clock: Clock
) -> None:
    flow = start(asking)
    attempt = next(flow)
    first, second = (attempt.headers()["DPoP"] for _ in range(2))
    end(flow, ticket_reply(first, now=clock.now, jkt=asking.jkt))
    assert drive(start(asking)).kinds == "a"
    clock.advance(60)
    flow = start(asking)
    attempt = next(flow)
    first, second = (attempt.headers()["DPoP"] for _ in range(2))
    end(flow, ticket_reply(second, now=clock.now, jkt=asking.jkt))

    assert drive(start(asking)).kinds == "s"


@pytest.mark.parametrize(
    "elsewhere",
    ["https://other.example/accounts", "https://api.example:8443/accounts"],
)
def test_a_ticket_stays_at_its_origin(
    asking: ProofSigner, clock: Clock, elsewhere: str
) -> None:
    answer_with_ticket(asking, clock)

    driven = drive(start(asking, elsewhere))
    assert driven.kinds == "a"
    assert dsk(driven) is None
    assert drive(start(asking, "https://api.example/other")).kinds == "s"


@pytest.mark.requirement("R2138")
def test_each_origin_of_a_server_has_tickets_of_its_own(
    signer: ProofSigner, clock: Clock
) -> None:
    bases = ("https://a.example/v1", "https://b.example")
    server = TicketServer.of("urn:x", issuer=ISSUER, client_id="c", bases=bases)
    signer.use_tickets(server)
    answer_with_ticket(signer, clock, "https://a.example/v1/x", resource="urn:x")

    assert drive(start(signer, "https://a.example/v1/y")).kinds == "s"
    other = drive(start(signer, "https://b.example/y"))
    assert other.kinds == "a"
    assert dsk(other) is not None
    beside = drive(start(signer, "https://a.example/v2/y"))
    assert beside.kinds == "a"
    assert dsk(beside) is None


def test_a_server_that_is_not_known_to_have_tickets_is_not_asked(
    signer: ProofSigner,
) -> None:
    assert dsk(drive(start(signer))) is None


def test_a_signer_without_symmetric_keys_does_not_ask(
    ec_key: ECKey, clock: Clock
) -> None:
    signer = ProofSigner(ec_key, symmetric="never", clock=clock)
    signer.use_tickets(SERVER)

    assert dsk(drive(start(signer))) is None


@pytest.mark.requirement("R2131")
def test_a_ticket_that_is_about_to_end_is_not_used(
    asking: ProofSigner, clock: Clock
) -> None:
    answer_with_ticket(asking, clock)
    clock.advance(294)
    assert drive(start(asking)).kinds == "s"
    clock.advance(1)
    driven = drive(start(asking))

    assert driven.kinds == "a"
    assert dsk(driven) is not None
    # Nor is its key kept.
    assert not vars(asking)["_tickets"]._tickets


def test_after_stale_ticket_the_same_request_asks_for_another(
    asking: ProofSigner, clock: Clock
) -> None:
    for method in ("GET", "POST"):
        answer_with_ticket(asking, clock)
        flow = start(asking, method=method)
        used = next(flow).headers()["DPoP"]
        again = flow.send(STALE_TICKET).headers()["DPoP"]
        driven = Driven(headers=[{"DPoP": used}, {"DPoP": again}])
        assert driven.kinds == "sa"
        assert dsk(driven) is not None
        ended = end(flow, ticket_reply(again, now=clock.now, jkt=asking.jkt))
        # No reason to get another token.
        assert ended.outcome == Outcome()
        assert drive(start(asking)).kinds == "s"
        clock.advance(300)


def test_a_late_refusal_does_not_end_the_ticket_that_came_since(
    asking: ProofSigner, clock: Clock
) -> None:
    answer_with_ticket(asking, clock)
    first, second = start(asking), start(asking)
    for flow in (first, second):
        next(flow).headers()
    again = first.send(STALE_TICKET).headers()["DPoP"]
    end(first, ticket_reply(again, now=clock.now, jkt=asking.jkt))
    held = drive(start(asking)).proofs[0].header["tkt"]
    late = Driven(headers=[second.send(STALE_TICKET).headers()])

    assert late.kinds == "a"
    assert dsk(late) is None
    assert drive(start(asking)).proofs[0].header["tkt"] == held


def test_unknown_refusals_of_a_ticket_end_it_too(
    asking: ProofSigner, clock: Clock
) -> None:
    answer_with_ticket(asking, clock)
    assert drive(start(asking), UNKNOWN_KEY, OK).kinds == "sa"
    clock.advance(60)

    assert dsk(drive(start(asking))) is not None


def test_a_path_that_demands_asymmetric_proofs_does_not_end_the_ticket(
    asking: ProofSigner, clock: Clock
) -> None:
    answer_with_ticket(asking, clock)
    driven = drive(start(asking), POLICY, OK)
    assert driven.kinds == "sa"
    assert dsk(driven) is None

    assert drive(start(asking), OK).kinds == "a"
    assert drive(start(asking, URL + "/1"), OK).kinds == "s"


def test_a_proof_that_is_refused_is_made_anew_and_then_without_the_ticket(
    asking: ProofSigner, clock: Clock
) -> None:
    answer_with_ticket(asking, clock)
    driven = drive(start(asking), INVALID_PROOF, INVALID_PROOF, OK)
    assert driven.kinds == "ssa"
    assert dsk(driven) is not None
    clock.advance(60)
    answer_with_ticket(asking, clock)
    # What it did is not known, so it is not repeated.
    driven = drive(start(asking, method="POST"), INVALID_PROOF)
    assert driven.kinds == "s"
    assert driven.outcome == Outcome()
    assert drive(start(asking)).kinds == "a"


def test_a_token_that_is_refused_says_nothing_of_the_ticket(
    asking: ProofSigner, clock: Clock
) -> None:
    answer_with_ticket(asking, clock)
    stale = 'DPoP error="invalid_token", sym_error="stale_key"'

    for reply in (INVALID_TOKEN, Reply(status=401, challenges=(stale,))):
        driven = drive(start(asking), reply)
        assert (driven.kinds, driven.outcome) == ("s", Outcome())
    assert drive(start(asking), OK).kinds == "s"


def test_a_demand_for_a_nonce_is_met_with_a_new_question(
    asking: ProofSigner, clock: Clock
) -> None:
    flow = start(asking)
    first = next(flow).headers()["DPoP"]
    second = flow.send(rs_nonce("n-1")).headers()["DPoP"]
    driven = Driven(headers=[{"DPoP": first}, {"DPoP": second}])
    one, other = dsk(driven, 0), dsk(driven, 1)
    assert one is not None
    assert other is not None
    assert one["n"] != other["n"]
    assert driven.nonces == [None, "n-1"]
    end(flow, ticket_reply(second, now=clock.now, jkt=asking.jkt))

    assert drive(start(asking), rs_nonce("n-2"), OK).kinds == "ss"


def test_one_request_at_a_time_asks(asking: ProofSigner, clock: Clock) -> None:
    asks = [dsk(drive(start(asking))) is not None for _ in range(5)]
    assert asks == [True, False, False, False, False]
    clock.advance(5)

    assert dsk(drive(start(asking))) is not None


@pytest.mark.parametrize("status", [200, 204, 303])
def test_a_server_that_gives_no_ticket_is_asked_again_in_a_minute(
    asking: ProofSigner, clock: Clock, status: int
) -> None:
    drive(start(asking), Reply(status=status))
    assert dsk(drive(start(asking))) is None
    clock.advance(59)
    assert dsk(drive(start(asking))) is None
    clock.advance(1)
    assert dsk(drive(start(asking))) is not None
    clock.advance(-10_000)
    assert dsk(drive(start(asking))) is not None


@pytest.mark.requirement("R1802")
@pytest.mark.parametrize("status", [400, 403, 404, 500])
def test_a_ticket_with_an_error_is_not_looked_at(
    asking: ProofSigner, clock: Clock, status: int
) -> None:
    answer_with_ticket(asking, clock, status=status)
    clock.advance(5)
    driven = drive(start(asking))

    assert driven.kinds == "a"
    assert dsk(driven) is not None


@pytest.mark.requirement("R2136", "R2137", "R2138")
@pytest.mark.parametrize(
    "wrong",
    [
        {"resource": "https://other.example"},
        {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"},
        {"n": "A" * 43},
        {"answers": "another.proof.text"},
        {"exp": 5},
        {"alg": "HS512"},
        {"alg": "none"},
        {"tkt": "AgAAAAUAAGqxPdgAAQIDBAUGBwgJCgsMDQ4P"},
        {"tkt": "x"},
        {"key": "a.b.c.d.e"},
        {"key": 5},
    ],
    ids=str,
)
def test_a_ticket_that_is_not_the_answer_is_not_used(
    asking: ProofSigner,
    clock: Clock,
    wrong: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    flow = start(asking)
    proof = next(flow).headers()["DPoP"]
    arguments: dict[str, Any] = {"now": clock.now, "jkt": asking.jkt}
    end(flow, ticket_reply(proof, **(arguments | wrong)))

    assert drive(start(asking)).kinds == "a"
    assert "ticket not used" in caplog.text
    assert "x" * 20 not in caplog.text
    clock.advance(60)
    answer_with_ticket(asking, clock)
    assert drive(start(asking)).kinds == "s"


def test_a_ticket_of_another_time_is_not_used(
    asking: ProofSigner, clock: Clock
) -> None:
    for away in (-300, 4000):
        flow = start(asking)
        proof = next(flow).headers()["DPoP"]
        end(flow, ticket_reply(proof, now=clock.now + away, jkt=asking.jkt))
        assert drive(start(asking)).kinds == "a"
        clock.advance(60)


def test_two_lines_that_make_no_field_are_none(
    asking: ProofSigner, clock: Clock
) -> None:
    flow = start(asking)
    proof = next(flow).headers()["DPoP"]
    field = ticket_field(proof, now=clock.now, jkt=asking.jkt)
    end(flow, Reply(status=200, tickets=(field, "!")))

    assert drive(start(asking)).kinds == "a"


def test_a_key_of_the_token_itself_comes_first(
    asking: ProofSigner, clock: Clock, fetch: Fetch
) -> None:
    answer_with_ticket(asking, clock)
    fetch()

    own = drive(start(asking), OK)
    assert own.kinds == "s"
    assert "tkt" not in own.proofs[0].header
    # Beside it the ticket is there, for when the key is not.
    stale = Reply(
        status=401, challenges=('DPoP error="invalid_token", sym_error="stale_key"',)
    )
    assert drive(start(asking), stale, OK).kinds == "sa"
    assert "tkt" in drive(start(asking), OK).proofs[0].header


def test_the_key_is_used_for_nothing_but_what_it_came_for(
    asking: ProofSigner, clock: Clock
) -> None:
    answer_with_ticket(asking, clock)
    shown = repr(asking) + repr(vars(asking)) + repr(vars(vars(asking)["_tickets"]))

    assert str(TICKET_MAC_KEY.reveal())[2:-1] not in shown
    assert TICKET_MAC_KEY.reveal().hex() not in shown


def test_what_is_remembered_is_bounded(signer: ProofSigner, clock: Clock) -> None:
    for number in range(MAX_PLACES + 5):
        resource = f"https://api{number}.example"
        signer.use_tickets(TicketServer.of(resource, issuer=ISSUER, client_id="c"))
        url = f"{resource}/x"
        answer_with_ticket(signer, clock, url, resource=resource)
    ring = vars(signer)["_tickets"]
    first = "https://api0.example"

    assert len(ring._tickets) == MAX_PLACES
    assert drive(start(signer, "https://api0.example/x")).kinds == "a"
    assert drive(start(signer, "https://api100.example/x")).kinds == "s"
    # Forgotten first is the one that was used longest ago.
    assert drive(start(signer, "https://api5.example/x")).kinds == "s"
    clock.advance(5)
    answer_with_ticket(signer, clock, "https://api0.example/x", resource=first)
    assert drive(start(signer, "https://api5.example/x")).kinds == "s"
    assert drive(start(signer, "https://api6.example/x")).kinds == "a"


def test_another_client_at_the_same_place_has_no_ticket(
    asking: ProofSigner, clock: Clock
) -> None:
    answer_with_ticket(asking, clock)
    asking.use_tickets(TicketServer.of(RESOURCE, issuer=ISSUER, client_id="client-2"))

    assert drive(start(asking)).kinds == "a"


def test_a_server_that_is_named_anew_replaces_itself(asking: ProofSigner) -> None:
    other = TicketServer.of(RESOURCE, issuer=ISSUER, client_id="client-2")
    elsewhere = TicketServer.of("https://b.example", issuer=ISSUER, client_id="c")
    for server in (other, elsewhere, SERVER):
        asking.use_tickets(server)
    assert vars(asking)["_tickets"]._servers == (elsewhere, SERVER)


# --- metadata


def test_the_metadata_says_whether_there_are_tickets() -> None:
    document = {
        "resource": RESOURCE,
        "dpop_symmetric_modes_supported": ["derived", "ticket"],
    }

    def read(**changes: Any) -> TicketServer | None:
        return TicketServer.of_metadata(
            document | changes, issuer=ISSUER, client_id="client-1"
        )

    assert read() == SERVER
    for modes in (["derived"], [], None, "ticket", {"ticket": 1}, 5):
        assert read(dpop_symmetric_modes_supported=modes) is None
    assert TicketServer.of_metadata({}, issuer=ISSUER, client_id="c") is None
    for resource in (None, 5, "http://api.example", "urn:x"):
        with pytest.raises(ValueError, match=r".+"):
            read(resource=resource)
