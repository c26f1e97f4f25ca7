"""The claims of a token with a symmetric key."""

from __future__ import annotations

from typing import Any

from dpop_ext.cli.conformance_checks import issuance
from dpop_ext.cli.conformance_checks.issuance import Issued
from dpop_ext.cli.conformance_checks.pair import Pair
from dpop_ext.core.base64url import b64url_encode
from tests.cli.conformance.reading import (
    KEY,
    by_status,
)


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
