"""The check by hand: what it is compared with refuses what it should."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from joserfc.jwk import ECKey

from benchmarks.by_hand import RefusedError, checking
from benchmarks.routes import Route, settings_for
from benchmarks.world import (
    EC_KEY,
    NOW,
    URL,
    access_token,
    asymmetric_proof,
    delivered_key,
    symmetric_proof,
)
from dpop_ext.symmetric.proof import make_symmetric_proof

TOKEN = access_token(EC_KEY)
KEY = delivered_key(EC_KEY)
Check = Callable[[str, str, str, str], object]


@pytest.fixture
def check() -> Check:
    settings = settings_for(Route(name="", kind="by hand"))
    return checking(settings, clock=lambda: NOW)


def _proof(**changes: object) -> str:
    request = {"method": "GET", "url": URL, "now": NOW, "access_token": TOKEN}
    return make_symmetric_proof(KEY, algorithm="HS256", **request | changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "proof",
    [symmetric_proof(KEY, TOKEN), asymmetric_proof(EC_KEY, "ES256", TOKEN)],
    ids=["symmetric", "ES256"],
)
def test_a_good_proof_is_accepted_once(check: Check, proof: str) -> None:
    assert check("GET", "/accounts/42", f"DPoP {TOKEN}", proof)
    with pytest.raises(RefusedError):
        check("GET", "/accounts/42", f"DPoP {TOKEN}", proof)


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "POST"},
        {"url": URL + "0"},
        {"now": NOW - 66},
        {"now": NOW + 6},
        {"access_token": TOKEN + "A"},
    ],
)
def test_what_does_not_fit_is_refused(check: Check, changes: dict[str, object]) -> None:
    with pytest.raises(RefusedError):
        check("GET", "/accounts/42", f"DPoP {TOKEN}", _proof(**changes))


@pytest.mark.parametrize(
    "proof", [_proof(), asymmetric_proof(EC_KEY, "ES256", TOKEN)], ids=["MAC", "ES256"]
)
def test_another_signature_and_scheme_are_refused(check: Check, proof: str) -> None:
    head, _, tag = proof.rpartition(".")
    forged = f"{head}.{'B' if tag[0] == 'A' else 'A'}{tag[1:]}"
    for scheme, sent in (("DPoP", forged), ("Bearer", proof)):
        with pytest.raises(RefusedError):
            check("GET", "/accounts/42", f"{scheme} {TOKEN}", sent)


def test_a_proof_by_another_key_is_refused(check: Check) -> None:
    proof = asymmetric_proof(ECKey.generate_key("P-256"), "ES256", TOKEN)
    with pytest.raises(RefusedError):
        check("GET", "/accounts/42", f"DPoP {TOKEN}", proof)
