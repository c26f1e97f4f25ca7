"""A policy names algorithms that exist and limits that make sense, and keeps time."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpop_ext.core.policy import FAPI2, RFC9449, ProofPolicy
from dpop_ext.errors import StaleProofError

NOW = 1_790_000_000


def check(policy: ProofPolicy, iat: float, **times: float) -> None:
    policy.check_time(iat=iat, nbf=times.get("nbf"), exp=times.get("exp"), now=NOW)


@pytest.mark.requirement("C-11", "X-14", "X-17", "F-7")
@pytest.mark.parametrize("policy", [RFC9449, FAPI2])
@pytest.mark.parametrize(
    ("age", "accepted"),
    [
        *((0, True), (1, True), (60, True), (65, True), (65.5, False), (66, False)),
        *((-1, True), (-10, True), (-30, True), (-30.5, False), (-31, False)),
        *((-61, False), (10**9, False), (-(10**300), False), (10**300, False)),
        *((1e308, False), (-1e308, False)),
    ],
)
def test_iat_lies_in_a_window_with_inclusive_ends(
    policy: ProofPolicy, age: float, accepted: bool
) -> None:
    if accepted:
        check(policy, NOW - age)
    else:
        with pytest.raises(StaleProofError):
            check(policy, NOW - age)


@pytest.mark.requirement("U-6")
@pytest.mark.parametrize(
    ("age", "said"),
    [
        (65.5, "66 s old"),
        (86_399, "86399 s old"),
        (-30.5, "31 s ahead"),
        (86_400, "outside its time window"),
        (-(10**300), "outside its time window"),
    ],
)
def test_who_is_refused_is_told_the_seconds(age: float, said: str) -> None:
    with pytest.raises(StaleProofError, match=said) as caught:
        check(RFC9449, NOW - age)
    assert re.fullmatch(r"[ !#-\[\]-~]{1,120}", caught.value.description)


@pytest.mark.requirement("S-8")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, float("nan")) for name in ("iat", "nbf", "exp")),
        *(("iat", float("inf")), ("iat", float("-inf"))),
        *(("nbf", float("inf")), ("exp", float("-inf"))),
    ],
)
def test_a_number_that_compares_as_nothing_is_stale(name: str, value: float) -> None:
    times: dict[str, Any] = {"iat": NOW} | {name: value}
    with pytest.raises(StaleProofError):
        check(RFC9449, **times)


@pytest.mark.requirement("S-13")
@pytest.mark.parametrize(
    ("times", "accepted"),
    [
        ({"nbf": NOW}, True),
        ({"nbf": NOW + 30}, True),
        ({"nbf": NOW + 31}, False),
        ({"exp": NOW + 300, "nbf": NOW}, True),
        ({"exp": NOW + 1}, True),
        ({"exp": NOW - 4}, True),
        ({"exp": NOW - 5}, False),
        ({"exp": 0}, False),
        ({"nbf": 10**300}, False),
    ],
)
def test_nbf_and_exp_are_honoured(times: dict[str, int], accepted: bool) -> None:
    if accepted:
        check(RFC9449, NOW, **times)
    else:
        with pytest.raises(StaleProofError):
            check(RFC9449, NOW, **times)


@pytest.mark.requirement("S-13")
@given(
    st.floats(NOW - 200, NOW + 200),
    st.floats(NOW - 200, NOW + 200),
    st.floats(NOW - 200, NOW + 200),
)
def test_nbf_and_exp_only_tighten_the_window(
    iat: float, nbf: float, exp: float
) -> None:
    try:
        check(RFC9449, iat, nbf=nbf, exp=exp)
    except StaleProofError:
        return
    check(RFC9449, iat)


def test_the_window_is_age_and_leeway() -> None:
    policy = ProofPolicy(max_age=300, leeway=0, future=0)

    assert policy.window == 300
    assert RFC9449.window == 65
    check(policy, NOW - 300)
    for iat in (NOW - 301, NOW + 1):
        with pytest.raises(StaleProofError):
            check(policy, iat)


@pytest.mark.requirement("S-2", "X-22", "J-16")
@pytest.mark.parametrize(
    "algorithms",
    [
        *((), ("none",), ("HS256",), ("ES256", "HS512"), ("ES256K",), ("Ed448",)),
        *(("es256",), ("",), "ES256", ("RS384",), ("ES256", "ES999")),
    ],
)
def test_an_algorithm_that_is_no_asymmetric_one_of_ours_is_refused(
    algorithms: Any,
) -> None:
    with pytest.raises(ValueError, match="ES256, ES384"):
        ProofPolicy(algorithms=algorithms)


@pytest.mark.parametrize(
    "numbers",
    [
        *({"max_age": 0}, {"max_age": -1}, {"leeway": -1}, {"future": -1}),
        *({"max_length": 0}, {"max_jti_length": 0}, {"max_length": -8192}),
    ],
)
def test_a_limit_out_of_range_is_refused(numbers: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="positive"):
        ProofPolicy(**numbers)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["max_age", "leeway", "future", "max_length"])
@pytest.mark.parametrize("value", [float("inf"), float("nan"), 60.0, "60", True, None])
def test_a_limit_that_is_no_integer_is_refused(name: str, value: Any) -> None:
    """An infinite age would accept every proof, and a store forget none of them."""
    with pytest.raises(TypeError, match="are integers"):
        ProofPolicy(**{name: value})


@pytest.mark.requirement("F-12", "J-16", "S-2")
def test_the_profiles_allow_no_rs256_and_no_deprecated_curve() -> None:
    assert RFC9449.algorithms == ("ES256", "Ed25519", "EdDSA", "PS256")
    assert FAPI2.algorithms == RFC9449.algorithms
    assert FAPI2.required
    assert not RFC9449.required


def test_a_policy_is_not_changed_afterwards() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        RFC9449.max_age = 10**9  # type: ignore[misc]
