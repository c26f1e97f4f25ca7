"""A token with a symmetric key: its response, its JWE and its claims."""

from __future__ import annotations

import json
from typing import Any

import pytest
from joserfc.jwk import ECKey

from dpop_ext.cli.conformance_checks import issuance
from dpop_ext.cli.conformance_checks.issuance import Issued
from dpop_ext.cli.conformance_checks.pair import Pair
from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.request_binding import access_token_hash
from tests.cli.conformance.issuer import Issuer
from tests.cli.conformance.reading import (
    KEY,
    by_status,
)
from tests.integrations.scripted_server import ScriptedServer


def claims_of(pair: Pair, **changes: Any) -> dict[str, Any]:
    cnf = {
        "jkt": pair.key.thumbprint(),
        "dsk": {"r": b64url_encode(bytes(32)), "v": 7},
    }
    return {"aud": pair.resource, "cnf": cnf, **changes}


def failed_claims(claims: dict[str, Any], issued: Issued, pair: Pair) -> set[str]:
    trials = list(issuance._check_claims(claims, issued.key, pair))
    assert {trial.party for trial in trials} == {"as"}
    return by_status(trials).get("failed", set())


def test_the_claims_of_a_token_are_what_they_must_be(
    pair: Pair, issued: Issued
) -> None:
    good = claims_of(pair)
    cnf, dsk = good["cnf"], good["cnf"]["dsk"]
    assert failed_claims(good, issued, pair) == set()
    assert failed_claims({**good, "aud": [pair.resource]}, issued, pair) == set()
    for aud in ([pair.resource, "https://b.example"], "https://b.example", None):
        found = failed_claims({**good, "aud": aud}, issued, pair)
        assert found == {"audience of the token"}
    found = failed_claims({**good, "cnf": {**cnf, "jkt": "x"}}, issued, pair)
    assert found == {"thumbprint in the token"}
    for shown in (b64url_encode(KEY), KEY.hex(), f"x{KEY.hex()}y"):
        found = failed_claims({**good, "x": {"k": [shown]}}, issued, pair)
        assert found == {"secrecy of the key"}
    for odd in (
        {**dsk, "v": "7"},
        {**dsk, "v": 8},
        {**dsk, "r": b64url_encode(bytes(31))},
        {"v": 7},
    ):
        found = failed_claims({**good, "cnf": {**cnf, "dsk": odd}}, issued, pair)
        assert found == {"reference to the key"}


def test_what_a_token_does_not_show_is_not_judged(pair: Pair, issued: Issued) -> None:
    (trial,) = issuance._check_claims({}, issued.key, pair)
    assert (trial.name, trial.status) == ("claims of the token", "skipped")
    plain = claims_of(pair, cnf={"jkt": pair.key.thumbprint()})
    trials = list(issuance._check_claims(plain, issued.key, pair))
    assert by_status(trials)["skipped"] == {"reference to the key"}
    assert {trial.party for trial in trials} == {"as"}
    assert [trial.seen for trial in trials[:3]] == [
        "cnf has ['jkt']",
        f"aud {pair.resource!r}",
        "the token has no key in the clear",
    ]


def test_what_was_seen_of_a_token_does_not_show_its_key(
    pair: Pair, issued: Issued
) -> None:
    odd = claims_of(pair, aud="x", shown=KEY.hex())
    odd["cnf"]["dsk"] = {"r": "r", "v": "7"}
    trials = list(issuance._check_claims(odd, issued.key, pair))
    assert [trial.seen for trial in trials] == [
        "cnf has ['jkt', 'dsk']",
        "aud 'x'",
        "the token has the key",
        "v '7', r of 1 characters",
    ]


# --- the response

HEADER_TRIALS = {
    "typ": "type of the JWE",
    "cty": "type of the JWE",
    "alg": "algorithm of the JWE",
    "enc": "algorithm of the JWE",
    "zip": "compression of the JWE",
    "dsk": "token hash in the JWE",
    "kid": "kid of the JWE",
}


#: With another value.
SEEN = {
    "typ": "typ 'DEF', cty 'jwk+json'",
    "cty": "typ 'dpop-sym+jwe', cty 'DEF'",
    "alg": "'DEF', 'A256GCM'",
    "enc": "'ECDH-ES', 'DEF'",
    "zip": "zip",
    "dsk": "None",
    "kid": "'DEF'",
}


@pytest.mark.parametrize("name", [None, *HEADER_TRIALS])
@pytest.mark.parametrize("odd", ["DEF", 7, None, {"ath": "x"}])
def test_each_member_of_the_header_is_judged(name: str | None, odd: object) -> None:
    key = ECKey.generate_key("P-256")
    header: dict[str, Any] = {
        "typ": "dpop-sym+jwe",
        "cty": "jwk+json",
        "alg": "ECDH-ES",
        "enc": "A256GCM",
        "dsk": {"ath": access_token_hash("token")},
        "kid": key.thumbprint(),
    }
    if name is not None:
        header[name] = odd
    jwe = f"{b64url_encode(json.dumps(header).encode())}.a.b.c.d"
    trials = list(issuance._check_header(jwe, "token", key))
    assert {trial.party for trial in trials} == {"as"}
    failed = {HEADER_TRIALS[name]} if name is not None else set()
    assert by_status(trials).get("failed", set()) == failed
    assert len(trials) == 5
    seen = [trial.seen for trial in trials if trial.status == "failed"]
    if odd == "DEF":
        assert seen == ([] if name is None else [SEEN[name]])
    if name is None:
        assert (trials[2].seen, trials[3].seen) == ("none", "of this token")


def test_two_tokens_with_one_random_value_are_seen(
    server: ScriptedServer, pair: Pair
) -> None:
    for values, seen in (
        ((bytes(32), bytes([1] * 32)), "another r"),
        ((bytes(32), bytes(32)), "the same r"),
    ):
        server.script = Issuer(pair, values=values).answer
        *_, last = issuance.check_issuance(pair, [])
        assert (last.name, last.seen) == ("second token", seen)


def issue(
    server: ScriptedServer, issuer: Issuer
) -> tuple[dict[str, set[str]], list[Issued]]:
    server.script = issuer.answer
    found: list[Issued] = []
    trials = list(issuance.check_issuance(issuer.pair, found))
    assert {trial.party for trial in trials} == {"as"}
    return by_status(trials), found


def test_a_token_with_a_good_key_is_found(server: ScriptedServer, pair: Pair) -> None:
    seen, (issued,) = issue(server, Issuer(pair))
    assert set(seen) == {"passed"}
    assert {"token response", "caching", "key in the JWE", "second token"} < seen[
        "passed"
    ]
    assert (issued.key.key.reveal(), issued.key.version) == (KEY, 7)
    assert issued.reference == {"r": b64url_encode(bytes(32)), "v": 7}
    assert issued.access_token not in repr(issued)
    assert [sent.target for sent in server.received] == ["/token"] * 2


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({"status": 201}, "token response"),
        ({"members": {"token_type": "Bearer"}}, "token response"),
        ({"members": {"token_type": None}}, "token response"),
        ({"cache": "private"}, "caching"),
        ({"values": (bytes(32), bytes(32))}, "second token"),
    ],
)
def test_a_fault_of_the_response_does_not_hide_the_key(
    server: ScriptedServer, pair: Pair, changes: dict[str, Any], failed: str
) -> None:
    seen, found = issue(server, Issuer(pair, **changes))
    assert seen["failed"] == {failed}
    assert len(found) == 1


@pytest.mark.parametrize(
    "changes", [{"cnf": None}, {"access_token": "a b"}, {"access_token": None}]
)
def test_without_a_token_and_a_key_nothing_more_is_said(
    server: ScriptedServer, pair: Pair, changes: dict[str, Any]
) -> None:
    server.script = Issuer(pair, members=changes).answer
    found: list[Issued] = []
    (trial,) = issuance.check_issuance(pair, found)
    assert (trial.name, trial.status, found) == ("token response", "failed", [])
    has_key = "without" if changes == {"cnf": None} else "with"
    assert trial.seen == f"200, {has_key} cnf.jwe"


def test_a_key_for_somebody_else_is_not_used(
    server: ScriptedServer, pair: Pair
) -> None:
    seen, found = issue(server, Issuer(pair, audience="https://b.example"))
    assert (seen["failed"], found) == ({"key in the JWE"}, [])
    assert len(server.received) == 1


def test_a_token_that_is_opaque_is_used_all_the_same(
    server: ScriptedServer, pair: Pair
) -> None:
    seen, (issued,) = issue(server, Issuer(pair, opaque=True))
    assert seen["skipped"] == {"claims of the token", "second token"}
    assert "failed" not in seen
    assert (issued.claims, issued.reference) == ({}, {})
