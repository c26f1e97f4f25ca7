"""Dictionaries in header fields: :rfc:`9651#section-3.2`, and section 4.2."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

#: Characters of all field lines together that are read.
MAX_LENGTH: Final = 8192
#: Members that are read.
MAX_MEMBERS: Final = 64

_KEY = r"[a-z*][a-z0-9_.*-]*+"
_STRING = r'"(?:[ !#-\[\]-~]|\\["\\])*+"'
_INTEGER = r"-?[0-9]{1,15}+"
#: The types that no field of ours has: decimal, token, bytes, boolean, date, text.
_OTHER = (
    r"-?[0-9]{1,12}\.[0-9]{1,3}"
    r"|[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*+"
    r"|:[A-Za-z0-9+/]*+={0,2}:"
    r"|\?[01]"
    r"|@-?[0-9]{1,15}"
    r'|%"(?:[ !#$&-~]|%[0-9a-f]{2})*+"'
)
_ANY = rf"(?:{_STRING}|{_OTHER}|{_INTEGER})"
_PARAMETERS = rf"(?:; *+{_KEY}(?:={_ANY})?+)*+"
_LIST = rf"\( *+(?:{_ANY}{_PARAMETERS}(?: ++{_ANY}{_PARAMETERS})*+)?+ *+\)"
_MEMBER = re.compile(
    rf"({_KEY})(?:=(?:({_STRING})|({_INTEGER})(?![0-9.])|(?:{_OTHER}|{_LIST})))?+"
    rf"{_PARAMETERS}"
)
_SEPARATOR = re.compile(r"[ \t]*+,[ \t]*+")
_ESCAPE = re.compile(r"\\(.)")
_NAME = re.compile(_KEY)
_TEXT = re.compile(r"[ -~]*")


def format_dictionary(members: Mapping[str, str | int]) -> str:
    """Write a dictionary of strings and integers.

    :param members: values of ASCII characters, or integers of at most 15 digits.
    :raises ValueError: a name or a value has no such form.
    """
    parts = []
    for name, value in members.items():
        if not _NAME.fullmatch(name):
            raise ValueError("not the name of a member")
        if isinstance(value, int):
            if not abs(value) < 10**15:
                raise ValueError("the integer is too large")
            parts.append(f"{name}={value:d}")
        else:
            if not _TEXT.fullmatch(value):
                raise ValueError("character not allowed in a string")
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            parts.append(f'{name}="{escaped}"')
    return ", ".join(parts)


def parse_dictionary(lines: Iterable[str]) -> dict[str, str | int]:
    """Read the strings and the integers of a dictionary.

    Members of another type are left out, and so are parameters. Of members with the
    same name the last one counts.

    :param lines: the values of the field, one for each line.
    :raises ValueError: no dictionary, or one of more than 8192 characters or 64
        members: then nothing in it counts.
    """
    text = ", ".join(lines).strip(" ")
    if len(text) > MAX_LENGTH:
        raise ValueError("the field is too long")
    members: dict[str, str | int] = {}
    position = 0
    for _ in range(MAX_MEMBERS):
        member = _MEMBER.match(text, position)
        if member is None:
            break
        name, string, integer = member.groups()
        members.pop(name, None)
        if string is not None:
            members[name] = _ESCAPE.sub(r"\1", string[1:-1])
        elif integer is not None:
            members[name] = int(integer)
        if member.end() == len(text):
            return members
        separator = _SEPARATOR.match(text, member.end())
        if separator is None:
            break
        position = separator.end()
    raise ValueError("not a dictionary")
