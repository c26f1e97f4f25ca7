"""The metadata documents of both servers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dpop_ext.cli.conformance_checks.metadata import check_issuer, check_resource
from dpop_ext.cli.conformance_checks.pair import Pair
from dpop_ext.symmetric.conformance import (
    PROFILE,
)
from tests.cli.conformance.reading import (
    CLAIM,
    KDF,
    LISTS,
    MODES,
    by_status,
)
from tests.integrations.scripted_server import Answer, ScriptedServer


def served(server: ScriptedServer, document: dict[str, Any]) -> None:
    server.play(Answer(body=json.dumps(document).encode()))


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({}, None),
        ({KDF: None}, "symmetric members of the issuer"),
        ({KDF: ["other"]}, "symmetric members of the issuer"),
        ({KDF: ["other", "dpop-sym/1"]}, None),
        ({KDF: ["dpop-sym/1", 1]}, "symmetric members of the issuer"),
        ({"token_endpoint": "http://as.example/token"}, "issuer metadata"),
        ({"token_endpoint": 7}, "issuer metadata"),
        ({"issuer": "https://other.example"}, "issuer metadata"),
        ({CLAIM: [f"{PROFILE}#rs"]}, "claim of the issuer"),
        ({CLAIM: [f"{PROFILE}#as", 7]}, "claim of the issuer"),
        ({CLAIM: f"{PROFILE}#as"}, "claim of the issuer"),
        *(({name: []}, "symmetric members of the issuer") for name in LISTS),
        *(({name: [1]}, "symmetric members of the issuer") for name in LISTS),
    ],
)
def test_the_metadata_of_an_issuer_is_what_it_must_be(
    server: ScriptedServer, pair: Pair, changes: dict[str, Any], failed: str | None
) -> None:
    endpoint = "https://as.example/token"
    document = {
        "issuer": pair.issuer,
        "token_endpoint": endpoint,
        **{name: ["x"] for name in LISTS},
    }
    document[CLAIM] = [f"{PROFILE}#as"]
    served(server, document | changes)
    trials = list(check_issuer(pair))
    assert len(trials) == 3
    assert {trial.party for trial in trials} == {"as"}
    assert by_status(trials).get("failed", set()) == ({failed} if failed else set())
    if not changes:
        assert [trial.seen for trial in trials] == [
            f"200, issuer {pair.issuer!r}",
            "all there",
            "made",
        ]
    target = "/.well-known/oauth-authorization-server"
    assert [sent.target for sent in server.received] == [target]
    # Where this is not the issuer, nothing is sent to its endpoint.
    assert pair.token_endpoint == ("" if failed == "issuer metadata" else endpoint)
    for name in changes:
        if failed == "symmetric members of the issuer":
            assert trials[1].seen == f"missing: {name}"


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({}, None),
        ({"resource": "https://other.example"}, "resource metadata"),
        ({LISTS[0]: []}, "symmetric members of the resource"),
        ({MODES: None}, "symmetric members of the resource"),
        ({CLAIM: [f"{PROFILE}#as"]}, "claim of the resource"),
    ],
)
def test_the_metadata_of_a_resource_is_what_it_must_be(
    server: ScriptedServer, pair: Pair, changes: dict[str, Any], failed: str | None
) -> None:
    document = {
        "resource": pair.resource,
        LISTS[0]: ["HS256"],
        MODES: ["derived"],
        CLAIM: [f"{PROFILE}#rs"],
    }
    served(server, document | changes)
    trials = list(check_resource(pair))
    assert len(trials) == 3
    assert {trial.party for trial in trials} == {"rs"}
    assert by_status(trials).get("failed", set()) == ({failed} if failed else set())
    assert pair.resource_metadata == document | changes
    for name in changes:
        if failed == "symmetric members of the resource":
            assert trials[1].seen == f"missing: {name}"
        if failed == "claim of the resource":
            assert trials[2].seen == f"{CLAIM} is {changes[CLAIM]!r}"
    if not changes:
        assert [trial.seen for trial in trials] == [
            f"200, resource {pair.resource!r}",
            "all there",
            "made",
        ]
    assert server.received[0].target.endswith("/oauth-protected-resource/api")
