from __future__ import annotations

from dataclasses import replace
from email.utils import formatdate

import pytest
from joserfc.jwk import ECKey

from dpop_ext.client.clock_skew import MAX_SERVERS, MAX_SKEW, ClockSkew, read_date
from dpop_ext.client.exchange import Flow, Outcome, Reply
from dpop_ext.client.signer import ProofSigner
from tests.client.conftest import Fetch
from tests.client.driving import (
    INVALID_PROOF,
    INVALID_TOKEN,
    OK,
    TOKEN_ENDPOINT,
    drive,
    rs_nonce,
)
from tests.conftest import Clock

URL = "https://api.example/accounts"
ORIGIN = "https://api.example"
HOUR = 3600
NOW = 1_790_000_000


def dated(reply: Reply, time: float) -> Reply:
    """The same reply with the date of a server."""
    return replace(reply, dates=(formatdate(time, usegmt=True),))


def start(signer: ProofSigner, method: str = "GET", url: str = URL) -> Flow:
    return signer.resource_request(method=method, url=url, access_token="access")


def times(signer: ProofSigner, *replies: Reply, method: str = "GET") -> list[int]:
    """The times in the proofs that go out."""
    return [
        proof.claims["iat"] for proof in drive(start(signer, method), *replies).proofs
    ]


@pytest.mark.requirement("T27")
@pytest.mark.parametrize("offset", [HOUR, -HOUR, 3, -3, MAX_SKEW, -MAX_SKEW])
def test_a_refusal_corrects_the_time_in_later_proofs(
    signer: ProofSigner, clock: Clock, offset: int
) -> None:
    refusal = dated(INVALID_PROOF, clock.now + offset)
    assert times(signer, refusal, OK) == [clock.now, clock.now + offset]
    clock.advance(10)
    assert times(signer, OK) == [clock.now + offset]


def test_a_date_of_the_same_time_changes_nothing(
    signer: ProofSigner, clock: Clock
) -> None:
    for offset in (-1, 0, 1):
        driven = drive(start(signer), dated(INVALID_PROOF, clock.now + offset))
        assert driven.outcome == Outcome()
    assert times(signer, OK) == [clock.now]


def test_a_slow_answer_is_no_wrong_clock(signer: ProofSigner, clock: Clock) -> None:
    flow = start(signer)
    next(flow).headers()
    sent = clock.now
    clock.advance(40)
    with pytest.raises(StopIteration):
        flow.send(dated(INVALID_PROOF, sent))
    assert times(signer, OK) == [clock.now]


def test_a_slow_answer_puts_no_proof_into_the_future(
    signer: ProofSigner, clock: Clock
) -> None:
    flow = start(signer)
    next(flow).headers()
    clock.advance(5)
    flow.send(dated(INVALID_PROOF, clock.now - HOUR))
    assert times(signer, OK) == [clock.now - HOUR]


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_request_that_may_have_worked_is_not_repeated_but_the_next_is_right(
    signer: ProofSigner, clock: Clock, method: str
) -> None:
    refusal = dated(INVALID_PROOF, clock.now + HOUR)
    driven = drive(start(signer, method), refusal)
    assert driven.outcome == Outcome()
    assert times(signer, OK, method=method) == [clock.now + HOUR]


def test_a_server_that_refuses_with_another_time_each_time_gets_two_requests(
    signer: ProofSigner, clock: Clock
) -> None:
    driven = drive(
        start(signer),
        dated(INVALID_PROOF, clock.now + HOUR),
        dated(INVALID_PROOF, clock.now + 2 * HOUR),
    )
    assert driven.outcome == Outcome()
    assert len(driven.proofs) == 2


@pytest.mark.requirement("T27")
def test_a_nonce_comes_first_and_the_time_after_it(
    signer: ProofSigner, clock: Clock
) -> None:
    late = clock.now + HOUR
    driven = drive(
        start(signer), dated(rs_nonce("n"), late), dated(INVALID_PROOF, late), OK
    )
    assert driven.nonces == [None, "n", "n"]
    assert [proof.claims["iat"] for proof in driven.proofs] == [
        clock.now,
        clock.now,
        late,
    ]


def test_a_wrong_time_costs_no_symmetric_key(
    signer: ProofSigner, clock: Clock, fetch: Fetch
) -> None:
    fetch()
    driven = drive(start(signer, "POST"), dated(INVALID_PROOF, clock.now + HOUR))
    assert driven.outcome == Outcome()
    assert signer.has_symmetric_key("access")
    driven = drive(start(signer, "POST"), OK)
    assert driven.kinds == "s"
    assert driven.proofs[0].claims["iat"] == clock.now + HOUR


def test_a_symmetric_key_ends_by_the_clients_own_clock(
    signer: ProofSigner, clock: Clock, fetch: Fetch
) -> None:
    fetch()
    drive(start(signer), dated(INVALID_PROOF, clock.now + 20 * HOUR), OK)
    assert drive(start(signer), OK).kinds == "s"


def test_a_clock_that_was_set_right_is_believed_again(
    signer: ProofSigner, clock: Clock
) -> None:
    right = clock.now + HOUR
    times(signer, dated(INVALID_PROOF, right), OK)
    clock.advance(HOUR)
    assert times(signer, dated(INVALID_PROOF, right), OK) == [right + HOUR, right]


@pytest.mark.parametrize(
    "reply",
    [
        OK,
        INVALID_TOKEN,
        rs_nonce(),
        Reply(status=400, challenges=INVALID_PROOF.challenges),
        Reply(status=401, challenges=('Bearer error="invalid_dpop_proof"',)),
        Reply(status=503),
    ],
)
def test_nothing_is_learned_from_other_answers(
    signer: ProofSigner, clock: Clock, reply: Reply
) -> None:
    drive(start(signer), dated(reply, clock.now + HOUR))
    assert times(signer, OK) == [clock.now]


@pytest.mark.parametrize(
    "dates",
    [
        (),
        (formatdate(NOW + HOUR, usegmt=True),) * 2,
        (formatdate(NOW + HOUR, usegmt=True), formatdate(NOW, usegmt=True)),
        (formatdate(NOW + MAX_SKEW + 2, usegmt=True),),
        (formatdate(NOW - MAX_SKEW - 2, usegmt=True),),
        ("Thu, 01 Jan 1970 00:00:00 GMT",),
        ("Fri, 31 Dec 9999 23:59:59 GMT",),
        ("Mon, 01 Jan 0000 00:00:00 GMT",),
        ("Mon, 99 Sep 2026 99:99:99 GMT",),
        (formatdate(NOW + HOUR, usegmt=True) + " ",),
        (formatdate(NOW + HOUR, usegmt=True).replace("GMT", "+0100"),),
        (formatdate(NOW + HOUR),),
        (str(NOW + HOUR),),
        ("Mon, " + "9" * 5000,),
        ("",),
        ("\u0661",),
    ],
)
def test_a_hostile_date_changes_nothing(
    signer: ProofSigner, clock: Clock, dates: tuple[str, ...]
) -> None:
    assert clock.now == NOW
    driven = drive(start(signer), replace(INVALID_PROOF, dates=dates))
    assert driven.outcome == Outcome()
    assert times(signer, OK) == [clock.now]


@pytest.mark.requirement("U-5")
def test_the_correction_is_for_one_origin(signer: ProofSigner, clock: Clock) -> None:
    times(signer, dated(INVALID_PROOF, clock.now + HOUR), OK)
    for url in ("https://other.example/", "https://api.example:8443/"):
        driven = drive(start(signer, url=url), OK)
        assert driven.proofs[0].claims["iat"] == clock.now
    same = drive(start(signer, url="https://API.example:443/x"), OK)
    assert same.proofs[0].claims["iat"] == clock.now + HOUR


@pytest.mark.parametrize("limit", [0, 60])
def test_the_limit_is_the_callers(ec_key: ECKey, clock: Clock, limit: int) -> None:
    signer = ProofSigner(ec_key, max_skew=limit, clock=clock)
    drive(start(signer), dated(INVALID_PROOF, clock.now + 61))
    drive(start(signer), dated(INVALID_PROOF, clock.now - 61))
    assert times(signer, OK) == [clock.now]


@pytest.mark.parametrize("limit", [-1, MAX_SKEW + 1])
def test_a_limit_beyond_a_day_is_refused(ec_key: ECKey, limit: int) -> None:
    with pytest.raises(ValueError, match="24 hours"):
        ProofSigner(ec_key, max_skew=limit)


@pytest.mark.requirement("T27")
def test_a_token_endpoint_corrects_the_next_token_request(
    signer: ProofSigner, clock: Clock
) -> None:
    def begin() -> Flow:
        return signer.token_request(method="POST", url=TOKEN_ENDPOINT)

    body = b'{"error": "invalid_dpop_proof"}'
    refusal = dated(Reply(status=400, body=body), clock.now - HOUR)
    # The grant may be spent: it is not sent again.
    driven = drive(begin(), refusal)
    assert driven.outcome == Outcome()
    assert drive(begin()).proofs[0].claims["iat"] == clock.now - HOUR


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, b'{"error": "invalid_grant"}'),
        (401, b'{"error": "invalid_dpop_proof"}'),
        (200, b'{"error": "invalid_dpop_proof"}'),
        (400, b"invalid_dpop_proof"),
    ],
)
def test_other_answers_of_a_token_endpoint_teach_no_time(
    signer: ProofSigner, clock: Clock, status: int, body: bytes
) -> None:
    reply = dated(Reply(status=status, body=body), clock.now + HOUR)
    drive(signer.token_request(method="POST", url=TOKEN_ENDPOINT), reply)
    driven = drive(signer.token_request(method="POST", url=TOKEN_ENDPOINT))
    assert driven.proofs[0].claims["iat"] == clock.now


def test_a_limited_number_of_servers_is_remembered() -> None:
    skew = ClockSkew()
    date = formatdate(NOW + HOUR, usegmt=True)
    for number in range(MAX_SERVERS + 1):
        assert skew.learn(f"https://{number}.example", [date], sent=NOW, received=NOW)
    assert len(skew.known()) == MAX_SERVERS
    assert skew.offset("https://0.example") == 0


def test_what_was_learned_can_be_restored_within_the_limit() -> None:
    skew = ClockSkew(HOUR)
    skew.restore({ORIGIN: HOUR, "https://other.example": HOUR + 1})
    assert skew.known() == {ORIGIN: HOUR}


def test_a_date_is_read_to_the_second() -> None:
    assert read_date(["Sun, 06 Nov 1994 08:49:37 GMT"]) == 784_111_777
