"""What a client has authenticated of a request and its answer, without HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from email.utils import formatdate
from typing import Any

import pytest
from joserfc.jwk import ECKey

from dpop_ext.client import AuthenticatedResponse, Protection, TicketServer
from dpop_ext.client.exchange import Flow, Reply
from dpop_ext.client.resource_flow import IDEMPOTENT
from dpop_ext.client.signer import ProofSigner
from dpop_ext.core.request_digest import content_digest, query_digest
from dpop_ext.errors import ResponseProofError
from dpop_ext.symmetric.derivation import response_key
from dpop_ext.symmetric.response import (
    MAX_SKEW,
    AnsweredRequest,
    make_response_proof,
)
from dpop_ext.symmetric.secret_bytes import SecretBytes
from tests.client.conftest import Fetch
from tests.client.driving import (
    EXPIRED_KEY,
    INVALID_PROOF,
    ISSUER,
    OK,
    POLICY,
    RESOURCE,
    STALE_KEY,
    UNKNOWN_KEY,
    drive,
    rs_nonce,
)
from tests.client.reading import read
from tests.client.ticket_server import TICKET_MAC_KEY, ticket_reply
from tests.client.token_server import SYMMETRIC_KEY
from tests.conftest import Clock

URL = "https://api.example/accounts?page=2"
DIGEST = content_digest(b"content")
DIGESTS = Protection(request_digests=True)
ANSWERS = Protection(authenticated_responses=True)
BOTH = Protection(request_digests=True, authenticated_responses=True)
KEY = SecretBytes(response_key(SYMMETRIC_KEY.reveal()))


def start(signer: ProofSigner, protection: Protection | None, **changes: Any) -> Flow:
    values: dict[str, Any] = {
        "method": "GET",
        "url": URL,
        "access_token": "access",
        "content": DIGEST,
        "protection": protection,
    } | changes
    return signer.resource_request(**values)


def proved(
    fields: Mapping[str, str],
    reply: Reply = OK,
    *,
    now: int,
    key: SecretBytes = KEY,
) -> Reply:
    """Return *reply* with the proof of the server that the request reached."""
    lines = (
        *(("WWW-Authenticate", value) for value in reply.challenges),
        *(("DPoP-Ticket", value) for value in reply.tickets),
    )
    proof = make_response_proof(
        key,
        AnsweredRequest.of(fields["DPoP"], target=URL, content=DIGEST),
        status=reply.status,
        fields=lines,
        content=b"answer",
        now=now,
    )
    return replace(reply, response_proofs=(proof,), fields=lines, content=b"answer")


def claims(fields: Mapping[str, str]) -> dict[str, Any]:
    found = read(fields["DPoP"]).claims
    return {name: found[name] for name in ("cd", "hq", "rsp") if name in found}


@pytest.mark.requirement("R2151")
@pytest.mark.parametrize("keyed", [True, False])
def test_the_proof_names_content_and_query_and_asks(
    signer: ProofSigner, fetch: Fetch, keyed: bool
) -> None:
    if keyed:
        fetch()
    digests = {"cd": DIGEST, "hq": query_digest("/?page=2")}
    (fields,) = drive(start(signer, DIGESTS)).headers
    assert claims(fields) == digests
    (fields,) = drive(start(signer, None, content=None)).headers
    assert claims(fields) == {}
    if keyed:
        (fields,) = drive(start(signer, BOTH)).headers
        assert claims(fields) == digests | {"rsp": True}
        (fields,) = drive(start(signer, ANSWERS)).headers
        assert claims(fields) == {"rsp": True}


@pytest.mark.parametrize(
    ("url", "query"),
    [
        ("https://api.example/a#b?c", b""),
        ("https://api.example/a?b#c?d", b"b"),
        ("https://api.example/a?b?c", b"b?c"),
    ],
)
def test_a_fragment_is_no_query(signer: ProofSigner, url: str, query: bytes) -> None:
    (fields,) = drive(start(signer, DIGESTS, url=url)).headers
    assert claims(fields)["hq"] == content_digest(query)


def test_a_signer_can_protect_every_request(ec_key: ECKey, clock: Clock) -> None:
    signer = ProofSigner(ec_key, protection=DIGESTS, clock=clock)
    (fields,) = drive(start(signer, None)).headers
    assert set(claims(fields)) == {"cd", "hq"}
    (fields,) = drive(start(signer, Protection(), content=None)).headers
    assert claims(fields) == {}
    assert ProofSigner.generate(protection=ANSWERS).protection == ANSWERS


@pytest.mark.parametrize("protection", [DIGESTS, ANSWERS])
def test_an_adapter_that_does_not_know_the_content_fails(
    signer: ProofSigner, fetch: Fetch, protection: Protection
) -> None:
    fetch()
    with pytest.raises(ValueError, match="content"):
        start(signer, protection, content=None)


@pytest.mark.requirement("R1903", "R2171")
def test_an_authenticated_answer_says_so(
    signer: ProofSigner, fetch: Fetch, clock: Clock
) -> None:
    fetch()
    flow = start(signer, ANSWERS)
    attempt = next(flow)
    assert attempt.authenticate
    reply = proved(attempt.headers(), now=clock.now + 1)
    with pytest.raises(StopIteration) as end:
        flow.send(reply)
    found = end.value.value.authentication
    assert found == AuthenticatedResponse(
        status=200, issued_at=clock.now + 1, key="access_token"
    )
    assert found.authenticates_server


@pytest.mark.requirement("R2171")
def test_a_ticket_authenticates_a_server_only_if_its_delivery_was_proved() -> None:
    for key, expected in (
        ("access_token", True),
        ("proved_ticket", True),
        ("ticket", False),
    ):
        found = AuthenticatedResponse(status=200, issued_at=0, key=key)  # type: ignore[arg-type]
        assert found.authenticates_server is expected


@pytest.mark.requirement("R2171", "R2154")
@pytest.mark.parametrize("proved_delivery", [True, False])
def test_a_ticket_is_as_good_as_the_answer_that_brought_it(
    signer: ProofSigner, fetch: Fetch, clock: Clock, proved_delivery: bool
) -> None:
    server = TicketServer.of(RESOURCE, issuer=ISSUER, client_id="client-1")
    signer.use_tickets(server)
    if proved_delivery:
        fetch()
        drive(start(signer, None), POLICY)  # asymmetric from here on, which asks
        clock.advance(6)
    flow = start(signer, ANSWERS if proved_delivery else Protection())
    fields = next(flow).headers()
    reply = ticket_reply(fields["DPoP"], now=clock.now, jkt=signer.jkt)
    if proved_delivery:
        reply = proved(fields, reply, now=clock.now)
    with pytest.raises(StopIteration):
        flow.send(reply)
    signer.forget("access")

    elsewhere = "https://api.example/other?page=2"
    flow = start(signer, ANSWERS, url=elsewhere)
    fields = next(flow).headers()
    assert "tkt" in read(fields["DPoP"]).header
    key = SecretBytes(response_key(TICKET_MAC_KEY.reveal()))
    with pytest.raises(StopIteration) as end:
        flow.send(proved(fields, now=clock.now, key=key))
    found = end.value.value.authentication
    assert found.key == ("proved_ticket" if proved_delivery else "ticket")
    assert found.authenticates_server is proved_delivery


@pytest.mark.parametrize("refusal", [STALE_KEY, EXPIRED_KEY])
def test_an_unproved_refusal_of_an_asymmetric_proof_says_nothing_of_the_key(
    signer: ProofSigner, fetch: Fetch, refusal: Reply
) -> None:
    fetch()
    drive(start(signer, None), POLICY)  # asymmetric from here on
    flow = start(signer, ANSWERS)
    assert not read(next(flow).headers()["DPoP"]).is_symmetric
    with pytest.raises(ResponseProofError) as caught:
        flow.send(refusal)
    assert not caught.value.refresh_due
    assert signer.has_symmetric_key("access")


@pytest.mark.parametrize("refusal", [STALE_KEY, EXPIRED_KEY])
def test_a_proved_refusal_that_ends_the_key_says_that_another_is_due(
    signer: ProofSigner, fetch: Fetch, clock: Clock, refusal: Reply
) -> None:
    fetch()
    flow = start(signer, ANSWERS)
    fields = next(flow).headers()
    # Nothing more is sent: there is no key to verify an answer with.
    with pytest.raises(ResponseProofError) as caught:
        flow.send(proved(fields, refusal, now=clock.now))
    assert caught.value.refresh_due
    # Where there was none to begin with, no other is due.
    with pytest.raises(ResponseProofError) as caught:
        next(start(signer, ANSWERS))
    assert not caught.value.refresh_due


def test_an_answer_that_nobody_asked_to_prove_is_not_looked_at(
    signer: ProofSigner, fetch: Fetch
) -> None:
    fetch()
    flow = start(signer, DIGESTS)
    assert not next(flow).authenticate
    driven = drive(start(signer, DIGESTS), OK)
    assert driven.outcome
    assert driven.outcome.authentication is None


@pytest.mark.requirement("R1903", "R2154", "R2161", "R2162", "R2163")
@pytest.mark.parametrize(
    "change",
    [
        {"response_proofs": ()},
        {"content": b"another answer"},
        {"content": b""},
        {"content": None},
        {"status": 201},
        {"fields": (("Location", "/elsewhere"),)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_answer_that_was_changed_is_refused(
    signer: ProofSigner,
    fetch: Fetch,
    clock: Clock,
    change: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    fetch()
    flow = start(signer, ANSWERS)
    reply = proved(next(flow).headers(), now=clock.now)
    with pytest.raises(ResponseProofError):
        flow.send(replace(reply, **change))
    (record,) = caplog.records
    assert vars(record)["event"] == "response_refused"


@pytest.mark.requirement("R1903", "R2154", "R2161")
def test_an_answer_by_or_to_somebody_else_is_refused(
    signer: ProofSigner, fetch: Fetch, clock: Clock
) -> None:
    fetch()
    (other,) = drive(start(signer, ANSWERS)).headers

    def answered(make: Any) -> None:
        flow = start(signer, ANSWERS)
        fields = next(flow).headers()
        with pytest.raises(ResponseProofError):
            flow.send(make(fields))

    answered(lambda _: proved(other, now=clock.now))
    answered(lambda mine: proved(mine, now=clock.now, key=SecretBytes(bytes(32))))
    answered(lambda mine: proved(mine, now=clock.now - MAX_SKEW - 1))
    answered(lambda mine: proved(mine, now=clock.now + MAX_SKEW + 1))

    def twice(mine: Mapping[str, str]) -> Reply:
        reply = proved(mine, now=clock.now)
        return replace(reply, response_proofs=reply.response_proofs * 2)

    answered(twice)


@pytest.mark.requirement("R2154")
def test_without_a_key_no_request_is_sent(signer: ProofSigner) -> None:
    with pytest.raises(ResponseProofError, match="no key"):
        next(start(signer, ANSWERS))
    assert next(start(signer, DIGESTS)).headers()


@pytest.mark.requirement("R2154")
def test_a_key_that_the_server_does_not_know_yet_is_none(
    signer: ProofSigner, fetch: Fetch, clock: Clock
) -> None:
    fetch()
    drive(start(signer, None), UNKNOWN_KEY)
    with pytest.raises(ResponseProofError, match="no key"):
        next(start(signer, ANSWERS))
    clock.advance(31)
    assert next(start(signer, ANSWERS)).headers()


def test_proved_demands_are_met(
    signer: ProofSigner, fetch: Fetch, clock: Clock
) -> None:
    fetch()
    flow = start(signer, BOTH)
    first = next(flow).headers()
    demand = proved(first, rs_nonce("nonce-1"), now=clock.now)
    second = flow.send(demand).headers()
    assert read(second["DPoP"]).claims["nonce"] == "nonce-1"
    assert claims(second) == claims(first)
    with pytest.raises(StopIteration) as end:
        flow.send(proved(second, now=clock.now))
    assert end.value.value.authentication


@pytest.mark.requirement("R1511", "R2152", "R2154", "T6")
def test_step_up_goes_on_with_an_asymmetric_proof_and_the_same_key_for_the_answer(
    signer: ProofSigner, fetch: Fetch, clock: Clock
) -> None:
    fetch()
    for kinds in (True, False), (False,):
        flow = start(signer, ANSWERS, method="POST")
        fields = next(flow).headers()
        for symmetric in kinds:
            assert read(fields["DPoP"]).is_symmetric is symmetric
            assert claims(fields) == {"rsp": True}
            if symmetric:
                fields = flow.send(proved(fields, POLICY, now=clock.now)).headers()
        with pytest.raises(StopIteration) as end:
            flow.send(proved(fields, now=clock.now))
        assert end.value.value.authentication
    elsewhere = start(signer, None, url="https://api.example/other")
    assert drive(elsewhere).kinds == "s"


@pytest.mark.requirement("R2154")
@pytest.mark.parametrize(
    ("refusal", "refresh_due", "still_held"),
    [
        (STALE_KEY, True, False),
        (EXPIRED_KEY, True, False),
        (UNKNOWN_KEY, False, True),
        (POLICY, False, True),
        (INVALID_PROOF, False, True),
        (rs_nonce("nonce-1"), False, True),
        (OK, False, True),
    ],
)
def test_what_nobody_proved_costs_a_key_at_most(
    signer: ProofSigner,
    fetch: Fetch,
    refusal: Reply,
    refresh_due: bool,
    still_held: bool,
) -> None:
    fetch()
    flow = start(signer, ANSWERS, method="POST")
    attempt = next(flow)
    assert attempt.turn() is None
    attempt.headers()
    with pytest.raises(ResponseProofError) as caught:
        flow.send(replace(refusal, content=b""))
    assert caught.value.refresh_due is refresh_due
    assert signer.has_symmetric_key("access") is still_held
    # Others do not wait for an answer that there is not going to be.
    assert next(start(signer, Protection())).turn() is None


@pytest.mark.requirement("R2166")
@pytest.mark.parametrize(
    "name",
    [
        "If-Match",
        "if-none-match",
        "IF-MODIFIED-SINCE",
        "If-Unmodified-Since",
        "If-Range",
    ],
)
def test_a_request_with_an_authenticated_answer_is_not_conditional(name: str) -> None:
    with pytest.raises(ValueError, match="conditional"):
        ANSWERS.check_fields(["Accept", name])
    DIGESTS.check_fields([name])
    ANSWERS.check_fields(["Accept", "If", "Range"])


@pytest.mark.requirement("R2181")
@pytest.mark.parametrize("method", [*sorted(IDEMPOTENT), "POST", "PATCH", "post", "X"])
def test_a_request_of_unknown_outcome_is_repeated_only_if_idempotent(
    signer: ProofSigner, fetch: Fetch, method: str
) -> None:
    fetch()
    driven = drive(start(signer, None, method=method), INVALID_PROOF)
    assert (driven.outcome is None) is (method in IDEMPOTENT)
    assert len(driven.headers) == (2 if method in IDEMPOTENT else 1)


@pytest.mark.requirement("T27", "T28")
@pytest.mark.parametrize("ahead", [0, 100])
def test_the_time_of_a_proved_refusal_is_the_proved_one(
    signer: ProofSigner, fetch: Fetch, clock: Clock, ahead: int
) -> None:
    """Else who stands between could have proofs made that are good tomorrow."""
    fetch()
    flow = start(signer, ANSWERS)
    attempt = next(flow)
    tomorrow = formatdate(clock.now + 20 * 3600, usegmt=True)
    refused = proved(attempt.headers(), INVALID_PROOF, now=clock.now + ahead)
    attempt = flow.send(replace(refused, dates=(tomorrow,)))
    assert read(attempt.headers()["DPoP"]).claims["iat"] == clock.now + ahead
