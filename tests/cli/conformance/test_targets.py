"""What a server may claim after what was seen."""

from __future__ import annotations

import pytest

from dpop_ext.cli.conformance import conforming_targets
from dpop_ext.cli.conformance_checks.trial import Party, Trial, judged, skipped
from dpop_ext.symmetric.conformance import (
    AUTHORIZATION_SERVER,
    RESOURCE_SERVER,
)


def trial(party: Party, requirements: str, status: str = "passed") -> Trial:
    if status == "skipped":
        return skipped("x", party, requirements, "why")
    good = status == "passed"
    return judged("x", party, requirements, good=good, seen="", advice="change it")


def test_a_server_conforms_if_all_that_is_its_doing_does() -> None:
    key, proof = trial("as", "R1201"), trial("rs", "R1501 R1511")
    assert conforming_targets([key, proof]) == ["AS", "KEY_JWE", "RS", "CHALLENGE"]
    assert conforming_targets([key]) == ["AS", "KEY_JWE"]
    assert conforming_targets([proof]) == ["RS", "CHALLENGE"]
    assert conforming_targets([]) == []


@pytest.mark.parametrize("status", ["failed", "skipped"])
def test_a_fault_is_that_of_one_server_and_what_was_not_tried_is_none(
    status: str,
) -> None:
    key, proof = trial("as", "R1201"), trial("rs", "R1501")
    own = trial("as", "R1101", status)
    expected = ["RS"] if status == "failed" else ["AS", "KEY_JWE", "RS"]
    assert conforming_targets([key, proof, own]) == expected
    own = trial("rs", "R1801", status)
    expected = ["AS", "KEY_JWE"] + (["RS"] if status == "skipped" else [])
    assert conforming_targets([key, proof, own]) == expected


def test_nothing_is_claimed_of_what_was_not_seen() -> None:
    # Neither a key nor a proof, whatever else is as it should be.
    trials = [
        trial("as", "R1704"),
        trial("rs", "R1705"),
        trial("as", "R1201", "skipped"),
    ]
    assert conforming_targets(trials) == []
    # Nor is one server's claim made by what the other one does.
    assert conforming_targets([trial("rs", "R1201"), trial("as", "R1501")]) == []


def test_targets_are_claimed_by_whose_they_are() -> None:
    assert AUTHORIZATION_SERVER[0] == "AS"
    assert RESOURCE_SERVER[0] == "RS"
    made = conforming_targets([trial("as", "R1201 R1301 R1002")])
    assert made == ["AS", "KEY_JWE", "ACCESS_TOKEN"]


def test_there_is_advice_for_what_failed_and_no_other() -> None:
    assert trial("as", "R1101", "failed").as_dict() == {
        "name": "x",
        "party": "as",
        "requirements": ["R1101"],
        "status": "failed",
        "seen": "",
        "advice": "change it",
    }
    assert trial("as", "R1101").advice == ""
    assert trial("as", "R1101", "skipped").as_dict() == {
        "name": "x",
        "party": "as",
        "requirements": ["R1101"],
        "status": "skipped",
        "seen": "why",
        "advice": "",
    }
