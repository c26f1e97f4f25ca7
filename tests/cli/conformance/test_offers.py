"""What a server may offer: digests, proved answers, tickets."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dpop_ext.cli.conformance_checks import answers, tickets
from dpop_ext.cli.conformance_checks.prover import Prover
from dpop_ext.core.base64url import b64url_decode
from dpop_ext.core.request_digest import content_digest
from dpop_ext.errors import ResponseProofError
from dpop_ext.symmetric.derivation import response_key
from dpop_ext.symmetric.response import AnsweredRequest, make_response_proof
from dpop_ext.symmetric.secret_bytes import SecretBytes
from tests.cli.conformance.reading import (
    KEY,
    MODES,
    OK,
    by_status,
    decoded,
    mac,
    refusal,
)
from tests.client.ticket_server import TICKET_MAC_KEY, ticket_field
from tests.integrations.scripted_server import Answer, Received, ScriptedServer


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (refusal("invalid_dpop_proof"), "passed"),
        (refusal("invalid_dpop_proof", 403), "failed"),
        (refusal("invalid_token"), "failed"),
        (OK, "failed"),
    ],
)
def test_digests_of_something_else_are_refused(
    server: ScriptedServer, prover: Prover, answer: Answer, status: str
) -> None:
    server.play(answer)
    trials = list(answers.check_digests(prover))
    names = {"a cd of something else", "a hq of something else"}
    assert by_status(trials) == {status: names}
    assert {trial.party for trial in trials} == {"rs"}
    claims = [sent.proof.claims for sent in server.received]
    assert ["cd" in one for one in claims] == [True, False]
    assert ["hq" in one for one in claims] == [False, True]


@pytest.mark.parametrize("offered", [None, False, "true", 1])
def test_answers_are_not_judged_that_a_server_does_not_prove(
    server: ScriptedServer, prover: Prover, offered: object
) -> None:
    prover.pair.resource_metadata = {"dpop_response_signing_supported": offered}
    trials = list(answers.check_answers(prover))
    assert [(one.party, one.status) for one in trials] == [("rs", "skipped")] * 3
    assert server.received == []


@pytest.mark.parametrize(
    ("fields", "error", "passed"),
    [
        ([], "invalid_dpop_proof", True),
        ([("DPoP-Response", "a.b.c")], "invalid_dpop_proof", False),
        ([], "invalid_token", False),
    ],
)
def test_a_refusal_is_not_proved_to_who_proved_nothing(
    server: ScriptedServer,
    prover: Prover,
    fields: list[tuple[str, str]],
    error: str,
    *,
    passed: bool,
) -> None:
    prover.pair.resource_metadata = {"dpop_response_signing_supported": True}
    refused = refusal(error)
    server.play(OK, replace(refused, fields=[*refused.fields, *fields]))
    trials = list(answers.check_answers(prover))
    # The first one is not proved at all.
    assert {trial.party for trial in trials} == {"rs"}
    for one in trials[1:]:
        assert (
            one.seen
            == f"401 {error}, {'with' if fields else 'without'} a response proof"
        )
    assert [trial.status for trial in trials] == [
        "failed",
        *(["passed" if passed else "failed"] * 2),
    ]
    first, replayed, unproved = server.received
    assert replayed.dpop == first.dpop
    for sent in (first, unproved):
        assert sent.proof.claims["rsp"] is True
    for sent, key in ((first, KEY), (unproved, bytes(32))):
        assert b64url_decode(sent.dpop.rpartition(".")[2]) == mac(key, sent.dpop)


@pytest.mark.parametrize(
    ("status", "sent", "later", "passed"),
    [
        (200, b"{}", 0, True),
        (403, b"{}", 0, False),
        (200, b"[]", 0, False),
        (200, b"{}", 3600, False),
    ],
)
def test_an_answer_is_proved_as_it_was_sent(
    server: ScriptedServer,
    prover: Prover,
    status: int,
    sent: bytes,
    later: int,
    *,
    passed: bool,
) -> None:
    pair = prover.pair
    pair.resource_metadata = {"dpop_response_signing_supported": True}

    def answer(request: Received) -> Answer:
        proof = make_response_proof(
            SecretBytes(response_key(KEY)),
            AnsweredRequest.of(
                request.dpop, target=pair.url, content=content_digest(b"")
            ),
            status=status,
            fields=[],
            content=b"{}",
            now=pair.now + later,
        )
        return Answer(status, [("DPoP-Response", proof)], sent)

    server.script = answer
    trial = next(answers.check_answers(prover))
    assert (trial.name, trial.party) == ("a response proof", "rs")
    assert trial.status == ("passed" if passed else "failed")
    faults = {
        b"[]": ResponseProofError.description,
        3600: "The response proof is of another time.",
    }
    assert trial.seen == faults.get(sent, faults.get(later, str(status)))


@pytest.mark.parametrize("paths", [None, [], "/x", [7], {"/x": 1}])
def test_a_path_that_is_not_named_is_not_tried(
    server: ScriptedServer, prover: Prover, paths: object
) -> None:
    prover.pair.resource_metadata = {"dpop_asymmetric_required_paths": paths}
    trial = answers.check_step_up(prover)
    assert (trial.party, trial.status) == ("rs", "skipped")
    assert server.received == []


@pytest.mark.parametrize(
    ("first", "methods", "status"),
    [
        (refusal("use_dpop_asymmetric", sym_error="policy"), ["GET"], "passed"),
        (refusal("use_dpop_asymmetric", sym_error="unknown_key"), ["GET"], "failed"),
        (refusal("invalid_token", sym_error="policy"), ["GET"], "failed"),
        (OK, ["GET"], "failed"),
        (Answer(404), ["GET", "POST"], "passed"),
        (Answer(405), ["GET", "POST"], "passed"),
    ],
)
def test_a_path_that_takes_no_mac_says_so(
    server: ScriptedServer,
    prover: Prover,
    first: Answer,
    methods: list[str],
    status: str,
) -> None:
    prover.pair.resource_metadata = {"dpop_asymmetric_required_paths": ["/pay", "/x"]}
    server.play(first, refusal("use_dpop_asymmetric", sym_error="policy"))
    trial = answers.check_step_up(prover)
    assert (trial.status, trial.party) == (status, "rs")
    assert [(sent.method, sent.target) for sent in server.received] == [
        (method, "/pay") for method in methods
    ]
    for sent in server.received:
        claims = sent.proof.claims
        assert (claims["htm"], claims["htu"]) == (sent.method, f"{server.url}/pay")


@pytest.mark.parametrize("modes", [None, [], ["derived"], "ticket", {"ticket": 1}])
def test_tickets_that_a_server_does_not_have_are_not_asked_for(
    server: ScriptedServer, prover: Prover, modes: object
) -> None:
    prover.pair.resource_metadata = {MODES: modes}
    trials = list(tickets.check_tickets(prover))
    assert [(one.party, one.status) for one in trials] == [("rs", "skipped")] * 4
    assert server.received == []


def test_a_ticket_that_does_not_come_is_a_fault(
    server: ScriptedServer, prover: Prover
) -> None:
    prover.pair.resource_metadata = {MODES: ["derived", "ticket"]}
    for answer, seen in (
        (OK, "200, none"),
        (Answer(fields=[("DPoP-Ticket", "x")]), "200, not one to use"),
    ):
        server.play(answer)
        (trial,) = tickets.check_tickets(prover)
        assert (trial.name, trial.status, trial.seen) == ("a ticket", "failed", seen)
        assert trial.party == "rs"


USED, CHANGED = "a proof under a ticket", "a ticket that was changed"


@pytest.mark.parametrize(
    ("used", "changed", "failed"),
    [
        (OK, refusal("invalid_dpop_proof"), set[str]()),
        (refusal("invalid_dpop_proof"), refusal("invalid_dpop_proof"), {USED}),
        (OK, OK, {CHANGED}),
        (OK, refusal("invalid_dpop_proof", 403), {CHANGED}),
        (OK, refusal("invalid_token"), {CHANGED}),
    ],
)
@pytest.mark.parametrize("flaw", ["no-cache", "Origin", None])
def test_a_ticket_is_used_and_then_changed(
    server: ScriptedServer,
    prover: Prover,
    used: Answer,
    changed: Answer,
    failed: set[str],
    flaw: str | None,
) -> None:
    pair = prover.pair
    pair.resource_metadata = {MODES: ["ticket"]}

    def answer(request: Received) -> Answer:
        number = len(server.received)
        if number > 1:
            return used if number == 2 else changed
        field = ticket_field(
            request.dpop,
            now=pair.now,
            jkt=pair.key.thumbprint(),
            resource=pair.resource,
        )
        cache = "no-cache" if flaw == "no-cache" else "private, no-store"
        vary = "Origin" if flaw == "Origin" else "Origin, dpop"
        fields = {"DPoP-Ticket": field, "Cache-Control": cache, "Vary": vary}
        return Answer(fields=list(fields.items()))

    server.script = answer
    trials = list(tickets.check_tickets(prover))
    caching = {"caching of a ticket"} if flaw else set()
    assert by_status(trials).get("failed", set()) == failed | caching
    assert (len(trials), trials[0].seen) == (4, "delivered")
    assert {trial.party for trial in trials} == {"rs"}
    _, first, second = (sent.dpop for sent in server.received)
    one, other = (decoded(proof)["tkt"] for proof in (first, second))
    assert one[:-1] == other[:-1]
    assert one != other
    for proof in (first, second):
        tag = b64url_decode(proof.rpartition(".")[2])
        assert tag == mac(TICKET_MAC_KEY.reveal(), proof)
