from __future__ import annotations

import pytest

from dpop_ext.integrations.form_content import FORM, MAX_FORM, form_length, is_form


@pytest.mark.parametrize(
    ("length", "searched"),
    [
        ("12", 12),
        (str(MAX_FORM), MAX_FORM),
        ("0000012", 12),  # a longer way to say it hides no token
        (str(MAX_FORM + 1), 0),
        ("0", 0),
        ("", 0),
        ("-1", 0),
        ("1e3", 0),
        ("٣", 0),
        ("9" * 5000, 0),  # a number that Python would not even parse
    ],
)
def test_a_form_is_searched_if_it_says_that_it_is_short(
    length: str, searched: int
) -> None:
    assert form_length(length) == searched


@pytest.mark.parametrize(
    ("kind", "searched"),
    [
        (f" {FORM.upper()} ; charset=utf-8", True),
        ("application/json", False),
        ("multipart/form-data", False),
        ("", False),
    ],
)
def test_no_other_content_is_searched(kind: str, searched: bool) -> None:
    assert is_form(kind) is searched
