"""What a server may offer: digests, proved answers, tickets."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dpop_ext.cli.conformance_checks import answers, tickets
from dpop_ext.cli.conformance_checks.prover import Prover
from dpop_ext.core.base64url import b64url_decode
from tests.cli.conformance.reading import (
    KEY,
    MODES,
    OK,
    by_status,
    mac,
    refusal,
)
from tests.integrations.scripted_server import Answer, ScriptedServer


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
    claims = [sent.proof.claims for sent in server.received]
    assert ["cd" in one for one in claims] == [True, False]
    assert ["hq" in one for one in claims] == [False, True]


@pytest.mark.parametrize("offered", [None, False, "true", 1])
def test_answers_are_not_judged_that_a_server_does_not_prove(
    server: ScriptedServer, prover: Prover, offered: object
) -> None:
    prover.pair.resource_metadata = {"dpop_response_signing_supported": offered}
    found = by_status(answers.check_answers(prover))
    assert set(found) == {"skipped"}
    assert len(found["skipped"]) == 3
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


@pytest.mark.parametrize("paths", [None, [], "/x", [7], {"/x": 1}])
def test_a_path_that_is_not_named_is_not_tried(
    server: ScriptedServer, prover: Prover, paths: object
) -> None:
    prover.pair.resource_metadata = {"dpop_asymmetric_required_paths": paths}
    assert answers.check_step_up(prover).status == "skipped"
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
    found = by_status(tickets.check_tickets(prover))
    assert set(found) == {"skipped"}
    assert len(found["skipped"]) == 4
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
