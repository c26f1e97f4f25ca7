"""Dictionaries in header fields, as RFC 9651 writes and reads them."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpop_ext.core.structured_field import format_dictionary, parse_dictionary

NAMES = st.from_regex(r"[a-z*][a-z0-9_.*-]{0,8}", fullmatch=True)
TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
NUMBERS = st.integers(-(10**15) + 1, 10**15 - 1)


@given(st.dictionaries(NAMES, TEXTS | NUMBERS, min_size=1, max_size=8))
def test_what_is_written_is_read(members: dict[str, str | int]) -> None:
    assert parse_dictionary([format_dictionary(members)]) == members


def test_lines_are_one_field_and_the_last_member_counts() -> None:
    assert parse_dictionary(['a="1", b=2', 'a="3"']) == {"a": "3", "b": 2}
    assert parse_dictionary(['a="1", a=?1']) == {}
    assert parse_dictionary(["  a=1 \t, \tb=-2  "]) == {"a": 1, "b": -2}
    assert parse_dictionary([r'a="x\"y\\z, b=1"']) == {"a": 'x"y\\z, b=1'}


@pytest.mark.parametrize(
    "other",
    [
        *("c", "c=?1", "c=1.5", "c=tok/en", "c=:aGVsbG8=:", "c=@1659578233"),
        *('c=%"f%c3%bc"', "c=()", "c=(1 2)", 'c=( "a";x  b;y=?0 );z', "c;x=1;y"),
        *("c=*t", "c=-1.125", "c=::", "c=?0;q=1.0"),
    ],
)
def test_members_of_other_types_are_skipped(other: str) -> None:
    expected = {"a": "1", "b": 2}

    assert parse_dictionary([f'a="1", {other}, b=2']) == expected
    assert parse_dictionary([f'{other}, a="1";q=1, b=2;x']) == expected
    assert parse_dictionary([f'a="1", b=2, {other}']) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", ",", "a=1,", ",a=1", "a=1,,b=2", "a=1 b=2", "A=1", "=1", "a=", "a= 1"),
        *('a="', 'a="x', 'a="\\x"', 'a="é"', 'a="\n"', "a='x'", "a=1234567890123456"),
        *(
            "a=1.",
            "a=1.2345",
            "a=?2",
            "a=(1",
            "a=(1,2)",
            "a=:x",
            "a=1;",
            "a=1;B",
            "1=2",
        ),
        *("a=@", 'a=%"%zz"', 'a=%"', "a=--1", "a=0x1", "a\t=1", "a=1;x=", "é=1"),
    ],
)
def test_what_is_no_dictionary_counts_for_nothing(text: str) -> None:
    with pytest.raises(ValueError, match="not a dictionary"):
        parse_dictionary([text])
    with pytest.raises(ValueError, match="not a dictionary"):
        parse_dictionary(["a=1", text])


def test_there_are_limits() -> None:
    many = ", ".join(f"a{number}=1" for number in range(64))
    assert len(parse_dictionary([many])) == 64
    with pytest.raises(ValueError, match="not a dictionary"):
        parse_dictionary([many, "b=1"])
    with pytest.raises(ValueError, match="too long"):
        parse_dictionary(['a="' + "x" * 8200 + '"'])


@pytest.mark.parametrize(
    "text",
    ["a=(" + "1 " * 4000, "a=1" + ";a" * 4000, "a=" + '"\\' * 4000, "a" * 8000 + "("],
)
def test_a_hostile_field_takes_no_time(text: str) -> None:
    # Of this thread: others may have the machine meanwhile.
    begin = time.thread_time()
    with contextlib.suppress(ValueError):
        parse_dictionary([text[:8192]])
    assert time.thread_time() - begin < 0.5


@pytest.mark.parametrize(
    "members",
    [{"A": 1}, {"": 1}, {"a": 10**15}, {"a": "é"}, {"a": "\n"}, {"a": "\x7f"}],
)
def test_what_cannot_be_written(members: dict[str, str | int]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        format_dictionary(members)
