"""JSON that can be read in one way only (:rfc:`8259`, :rfc:`7493`)."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from dpop_ext.errors import MalformedJOSEError

#: Levels of nested objects and arrays that a JSON text may have.
MAX_JSON_DEPTH = 16
#: Characters ``{}[]:,`` that a JSON text may have, inside strings or not.
MAX_STRUCTURAL = 256
#: Digits of an integer. All of them fit a double, so that no arithmetic overflows.
MAX_INTEGER_DIGITS = 308
_STRUCTURAL = b"{}[]:,"
_DIGITS = b"0123456789"
#: All bytes but those that have a limit, or start an escape.
_ORDINARY = bytes(set(range(256)) - set(_STRUCTURAL + _DIGITS + b"\\"))
_WHITESPACE = " \t\n\r"


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise MalformedJOSEError("duplicate member")
    return members


def _integer(digits: str) -> int:
    if len(digits) > MAX_INTEGER_DIGITS:
        raise MalformedJOSEError("integer out of range")
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise MalformedJOSEError("number out of range")
    return number


def _refuse_constant(_name: str) -> NoReturn:
    raise MalformedJOSEError("not a JSON number")


_decoder = json.JSONDecoder(
    object_pairs_hook=_unique_members,
    parse_int=_integer,
    parse_float=_finite,
    parse_constant=_refuse_constant,
)
#: For texts with fewer digits, all told, than one integer may have: it makes integers
#: without a call for each.
_few_digits_decoder = json.JSONDecoder(
    object_pairs_hook=_unique_members,
    parse_float=_finite,
    parse_constant=_refuse_constant,
)


def _check_text(text: str) -> None:
    if "\0" in text:
        raise MalformedJOSEError("NUL in a string")
    text.encode("utf-8")  # A lone surrogate has no encoding.


def _check_tree(value: object, depth: int) -> None:
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, dict | list):
        if depth == MAX_JSON_DEPTH:
            raise MalformedJOSEError("nested too deeply")
        if isinstance(value, dict):
            for name in value:
                _check_text(name)
            value = list(value.values())
        for member in value:
            _check_tree(member, depth + 1)


def parse_json_object(
    raw: bytes, *, max_structural: int = MAX_STRUCTURAL
) -> dict[str, Any]:
    """Parse a JSON object that every conforming parser reads in the same way.

    Refuses what :rfc:`8259` allows or leaves open and what parsers disagree on:
    duplicate member names, ``NaN`` and infinities, numbers beyond a double, a byte
    order mark, encodings other than UTF-8, lone surrogates, NUL, deep nesting.

    :param raw: the text, in UTF-8.
    :param max_structural: how many of the characters ``{}[]:,`` it may have. They
        are counted before anything is built, so hostile input costs little.
    :raises MalformedJOSEError: the text is refused.
    """
    # What is counted is a small part of most texts, and all of it is found at once.
    notable = raw.translate(None, _ORDINARY)
    if (
        len(notable) > max_structural
        and len(notable.translate(None, _DIGITS + b"\\")) > max_structural
    ):
        raise MalformedJOSEError("too many members")
    decoder = _few_digits_decoder if len(notable) < MAX_INTEGER_DIGITS else _decoder
    try:
        text = raw.decode("utf-8")
        if not text.startswith("{"):
            text = text.lstrip(_WHITESPACE)
        value, end = decoder.raw_decode(text)
        if end != len(text) and text[end:].strip(_WHITESPACE):
            raise MalformedJOSEError("more than one value")
        # Surrogates and NUL can only be written as escapes, and depth takes brackets:
        # most texts have neither and need no second look.
        depth = notable.count(b"{") + notable.count(b"[")
        if (b"\\" in notable and b"\\u" in raw) or depth > MAX_JSON_DEPTH:
            _check_tree(value, 0)
    except (ValueError, RecursionError) as error:
        raise MalformedJOSEError("not strict JSON") from error
    if not isinstance(value, dict):
        raise MalformedJOSEError("not a JSON object")
    return value
