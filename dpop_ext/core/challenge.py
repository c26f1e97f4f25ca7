"""The ``WWW-Authenticate`` field: RFC 9110 section 11.6.1, RFC 9449 section 7.1."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

#: Characters of all field lines together that are read; a line beyond it is ignored.
MAX_LENGTH: Final = 8192
#: Challenges that are read; the ones beyond it are ignored.
MAX_CHALLENGES: Final = 32

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_QUOTED = r'"(?:[^"\\]|\\.)*+'  # without the closing quote
_NAME = re.compile(_TOKEN)
_SEPARATORS = re.compile(r"[ \t,]*+")
_VALUE = re.compile(rf'[ \t]*+=[ \t]*+(?:({_QUOTED})"|({_TOKEN}))', re.DOTALL)
_END_OF_SCHEME = re.compile(r"(?=[ \t,]|\Z)")
_TOKEN68 = re.compile(r"[ \t]++[A-Za-z0-9._~+/-]++=*+(?=[ \t]*+(?:,|\Z))")
_REST_OF_ITEM = re.compile(rf'(?:[^",]|{_QUOTED}(?:"|\Z))*+', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
#: What OAuth allows in error parameters; none of it needs an escape.
_TEXT = re.compile(r"[ !#-\[\]-~]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """One challenge of a server: text that the server chose, not to be trusted."""

    #: As the server spells it; compare it without regard to case.
    scheme: str
    #: Values by name in lower case. Where a name was repeated, the first one.
    params: dict[str, str]

    def get(self, name: str) -> str | None:
        """Return the parameter *name*, in lower case, or None."""
        return self.params.get(name)


def format_challenge(scheme: str, params: Mapping[str, str]) -> str:
    """Write one challenge, every value as a quoted string.

    :param scheme: ``DPoP`` or ``Bearer``.
    :param params: values of the characters ``%x20-21 / %x23-5B / %x5D-7E``
        (:rfc:`6750#section-3`).
    :raises ValueError: another character, or a name that is no token.
    """
    for name in (scheme, *params):
        if not _NAME.fullmatch(name):
            raise ValueError("not a token")
    for value in params.values():
        if not _TEXT.fullmatch(value):
            raise ValueError("character not allowed in a challenge")
    listed = ", ".join(f'{name}="{value}"' for name, value in params.items())
    return f"{scheme} {listed}" if listed else scheme


def parse_challenges(values: Iterable[str]) -> list[Challenge]:
    """Read the challenges of a response, and never fail.

    Several challenges may share a line or have lines of their own; values may be
    tokens or quoted strings. Whatever fits no rule is skipped up to the next comma
    outside quotes.

    :param values: the ``WWW-Authenticate`` fields, as received.
    :returns: at most 32 challenges, in order.
    """
    challenges: list[Challenge] = []
    budget = MAX_LENGTH
    for value in values:
        budget -= len(value)
        if budget < 0:
            break
        challenges += _parse_line(value)
    return challenges[:MAX_CHALLENGES]


def _parse_line(text: str) -> list[Challenge]:
    challenges: list[Challenge] = []
    position = 0
    while (position := _skip(_SEPARATORS, text, position)) < len(text):
        name = _NAME.match(text, position)
        if name is not None and (value := _VALUE.match(text, name.end())):
            if challenges:
                challenges[-1].params.setdefault(name[0].lower(), _unquote(value))
            position = value.end()
        elif name is not None and _END_OF_SCHEME.match(text, name.end()):
            challenges.append(Challenge(scheme=name[0], params={}))
            position = _skip(_TOKEN68, text, name.end())
        else:
            end = _skip(_REST_OF_ITEM, text, position)
            if end == position:  # a quote that does not end
                break
            position = end
    return challenges


def _skip(pattern: re.Pattern[str], text: str, position: int) -> int:
    match = pattern.match(text, position)
    return position if match is None else match.end()


def _unquote(value: re.Match[str]) -> str:
    quoted, token = value.groups()
    return token if quoted is None else _ESCAPE.sub(r"\1", quoted[1:])
