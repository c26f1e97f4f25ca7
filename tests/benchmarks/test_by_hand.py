"""The check by hand: what it is compared with refuses what it should."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.by_hand import RefusedError, checking
from benchmarks.routes import BY_HAND, Route, settings_for
from benchmarks.world import (
    EC_KEY,
    NOW,
    URL,
    access_token,
    delivered_key,
    symmetric_proof,
)
from dpop_ext.symmetric.proof import make_symmetric_proof

TOKEN = access_token(EC_KEY)
KEY = delivered_key(EC_KEY)
Check = Callable[[str, str, str, str], object]


@pytest.fixture
def check() -> Check:
    settings = settings_for(Route(name=BY_HAND, kind="by hand"))
    return checking(settings, clock=lambda: NOW)


def _proof(**changes: object) -> str:
    request = {"method": "GET", "url": URL, "now": NOW, "access_token": TOKEN}
    return make_symmetric_proof(KEY, algorithm="HS256", **request | changes)  # type: ignore[arg-type]


def test_a_good_proof_is_accepted_once(check: Check) -> None:
    proof = symmetric_proof(KEY, TOKEN)
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


def test_another_mac_and_another_scheme_are_refused(check: Check) -> None:
    head, _, tag = _proof().rpartition(".")
    forged = f"{head}.{'B' if tag[0] == 'A' else 'A'}{tag[1:]}"
    for authorization, proof in (
        (f"DPoP {TOKEN}", forged),
        (f"Bearer {TOKEN}", _proof()),
    ):
        with pytest.raises(RefusedError):
            check("GET", "/accounts/42", authorization, proof)
