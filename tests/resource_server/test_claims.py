"""Claims of access tokens by their type, wherever they come from."""

from __future__ import annotations

from typing import Any

import pytest

from dpop_ext.errors import AccessTokenError
from dpop_ext.resource_server.claims import (
    FUTURE,
    MAX_TEXT,
    check_times,
    optional_text,
    require_identifier,
    required_audience,
    required_text,
)

NOW = 1_790_000_000
NO_TEXT: list[Any] = [None, 1, True, [], ["a"], {}, b"a", "a" * (MAX_TEXT + 1)]
NO_TIME: list[Any] = [None, True, False, "1790000100", [], {}]


@pytest.mark.requirement("J-8")
@pytest.mark.parametrize("value", NO_TEXT, ids=lambda value: ascii(value)[:20])
def test_a_text_is_text_of_limited_length(value: Any) -> None:
    for read in (required_text, optional_text):
        with pytest.raises(AccessTokenError) as info:
            read({"client_id": value}, "client_id")
        assert info.value.check == "client_id"


def test_a_text_may_be_as_long_as_the_limit_and_optional_ones_may_be_empty() -> None:
    for text in ("a", "a" * MAX_TEXT):
        assert required_text({"iss": text}, "iss") == text
        assert optional_text({"iss": text}, "iss") == text
    assert optional_text({"scope": ""}, "scope") == ""
    assert optional_text({}, "scope") is None
    for claims in ({}, {"iss": ""}):
        with pytest.raises(AccessTokenError):
            required_text(claims, "iss")


@pytest.mark.requirement("J-8")
@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", NO_TIME, ids=ascii)
def test_a_time_is_a_number_and_a_boolean_is_none(name: str, value: Any) -> None:
    with pytest.raises(AccessTokenError) as info:
        check_times({"exp": NOW + 1, name: value}, now=NOW, required=())
    assert info.value.check == name


@pytest.mark.requirement("J-8")
def test_times_have_limits() -> None:
    ahead = NOW + FUTURE
    claims: dict[str, float] = {"exp": NOW + 1.5, "nbf": ahead, "iat": float(ahead)}
    assert check_times(claims, now=NOW, required=("exp", "iat")) == NOW + 1
    assert check_times({}, now=NOW, required=()) is None
    faults: list[tuple[dict[str, float], str]] = [
        ({"exp": NOW}, "exp"),
        ({"nbf": ahead + 0.5}, "nbf"),
        ({"iat": ahead + 1}, "iat"),
    ]
    for faulty, name in faults:
        with pytest.raises(AccessTokenError) as info:
            check_times(claims | faulty, now=NOW, required=())
        assert info.value.check == name
    with pytest.raises(AccessTokenError):
        check_times({"iat": NOW}, now=NOW, required=("exp",))


@pytest.mark.requirement("J-8")
def test_an_audience_is_a_text_or_a_list_of_texts() -> None:
    assert required_audience({"aud": "a"}, "a") == ("a",)
    assert required_audience({"aud": ["b", "a"]}, "a") == ("b", "a")
    for value in (None, "b", [], ["b"], ["a", 1], {"a": 1}, "ab"):
        with pytest.raises(AccessTokenError):
            required_audience({"aud": value}, "a")


@pytest.mark.parametrize("value", [None, "", b"a", ["https://as.example"], 1])
def test_an_identifier_that_nothing_could_equal_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="issuer is one identifier"):
        require_identifier(value, "issuer")
    assert require_identifier("a", "issuer") == "a"
