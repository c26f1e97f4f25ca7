"""Sequence diagrams: ``docs/flows/NAME.flow`` is text, ``NAME.svg`` is made from it.

The first line of the text is the title, the next paragraph describes the diagram. Then
each line is one of these, and `` / `` breaks a line of the picture::

    client = Client                  a party, from left to right
    client -> server: POST /token    a message, with a number
    server --> client: 200           an answer
    server -x client: 401            a refusal
    server: looks it up              a note
    == an hour later                 time goes by
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Final

from tests.documents.regions import DOCS

FOLDER: Final = DOCS / "flows"

_PARTY: Final = re.compile(r"^(\w+) = (.+)$", re.MULTILINE)
_MESSAGE: Final = re.compile(r"(\w+) (->|-->|-x) (\w+): (.+)")
_NOTE: Final = re.compile(r"(\w+): (.+)")
_TIME: Final = re.compile(r"== (.+)")

#: Pixels: a line of text, a letter on average, and of the names of the parties.
_LINE, _LETTER, _BOLD = 17, 6.7, 7.7
#: What is free beside a text and below it, and where the first one stands.
_ROOM, _GAP, _TOP = 14, 13, 66


def flows() -> dict[Path, str]:
    """Return the SVG that each text makes, by the path that it belongs at."""
    texts = sorted(FOLDER.glob("*.flow"))
    return {path.with_suffix(".svg"): svg(path.read_text("utf-8")) for path in texts}


def svg(text: str) -> str:
    """Return the diagram of *text*.

    :raises ValueError: a line is none of those above, or names an unknown party.
    """
    head, description, body = text.split("\n\n", 2)
    parties = dict(_PARTY.findall(body))
    steps = [line for line in body.splitlines() if line and not _PARTY.match(line)]
    at = _places(parties, steps)
    width = max(at.values()) + min(at.values())
    drawn: list[str] = []
    y, number = _TOP, 0
    for line in steps:
        if found := _MESSAGE.fullmatch(line):
            number += 1
            sender, kind, receiver, label = found.groups()
            drawn += _message(label, kind, at[sender], at[receiver], y, number)
        elif found := _TIME.fullmatch(line):
            drawn += _time(found[1], width, y)
        elif found := _NOTE.fullmatch(line):
            drawn += _note(found[2], at[found[1]], y)
        else:
            raise ValueError(line)
        y += _LINE * len(line.split(" / ")) + 2 * _GAP
    frame = f'width="{width - 1}" height="{y + 13}" rx="8"'
    return "\n".join(
        [
            '<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="t d"',
            f'  viewBox="0 0 {width} {y + 14}" width="{width}" height="{y + 14}">',
            f'<title id="t">{escape(head)}</title>',
            f'<desc id="d">{escape(" ".join(description.split()))}</desc>',
            f"<style>\n{(FOLDER / 'style.css').read_text('utf-8')}</style>",
            f'<rect class="ground" x=".5" y=".5" {frame}/>',
            *(line for name, x in at.items() for line in _party(parties[name], x, y)),
            *drawn,
            "</svg>\n",
        ]
    )


def _places(parties: dict[str, str], steps: list[str]) -> dict[str, int]:
    """Return where the lane of each party is, so that no text meets another one."""
    order = list(parties)
    #: How far the second of two parties is from the first one, at least; those at the
    #: edges are as far from what would be beyond.
    needs = [(i, i, _wide(parties[p], _BOLD) / 2) for i, p in enumerate(order)]
    for line in steps:
        if found := _MESSAGE.fullmatch(line):
            first, last = sorted(order.index(found[n]) for n in (1, 3))
            needs.append((first, last, _wide(found[4]) + 2 * _ROOM))
        elif found := _NOTE.fullmatch(line):
            place = order.index(found[1])
            needs.append((place, place, _wide(found[2]) / 2))
    half = [max(need for a, b, need in needs if a == b == i) for i in range(len(order))]
    names = [_wide(name, _BOLD) / 2 for name in parties.values()]
    places = [max(half[0], half[-1]) + _ROOM]
    for i in range(1, len(order)):
        lane = max(half[i - 1], half[i], names[i - 1] + names[i]) + _ROOM
        spans = [places[a] + need for a, b, need in needs if a < b == i]
        places.append(max([places[-1] + lane, *spans]))
    return dict(zip(order, map(round, places), strict=True))


def _wide(text: str, letter: float = _LETTER) -> float:
    return max(len(part) for part in text.split(" / ")) * letter + _ROOM


def _texts(text: str, x: float, y: int, kind: str = "") -> Iterator[str]:
    for number, part in enumerate(text.split(" / ")):
        place = f'x="{x:g}" y="{y + number * _LINE}"'
        yield f'<text class="middle{kind}" {place}>{escape(part)}</text>'


def _party(name: str, x: int, end: int) -> Iterator[str]:
    wide = _wide(name, _BOLD)
    place = f'x="{x - wide / 2:g}" y="14" width="{wide:g}" height="28" rx="6"'
    yield f'<line class="lane" x1="{x}" y1="42" x2="{x}" y2="{end}"/>'
    yield f'<rect class="party" {place}/>'
    yield from _texts(name, x, 33, " bold")


def _message(
    text: str, kind: str, start: int, end: int, y: int, number: int
) -> Iterator[str]:
    way = 1 if end > start else -1
    yield '<g class="refusal">' if kind == "-x" else "<g>"
    yield from _texts(text, (start + end) / 2 + way * 5, y + 4, " label")
    y += _LINE * len(text.split(" / ")) - 2
    dashed = "" if kind == "->" else " answer"
    ends = f'x1="{start}" y1="{y}" x2="{end - way * 9}" y2="{y}"'
    yield f'<line class="line{dashed}" {ends}/>'
    yield f'<path class="head" d="M{end} {y}l{-way * 10} -5v10z"/>'
    yield f'<circle class="dot" cx="{start}" cy="{y}" r="9"/>'
    yield f'<text class="number middle" x="{start}" y="{y + 4}">{number}</text>'
    yield "</g>"


def _note(text: str, x: int, y: int) -> Iterator[str]:
    wide, high = _wide(text), _LINE * len(text.split(" / ")) + 10
    place = f'x="{x - wide / 2:g}" y="{y - 8}" width="{wide:g}" height="{high}"'
    yield f'<rect class="note" {place} rx="4"/>'
    yield from _texts(text, x, y + 9)


def _time(text: str, width: int, y: int) -> Iterator[str]:
    yield f'<line class="time" x1="12" y1="{y + 4}" x2="{width - 12}" y2="{y + 4}"/>'
    wide = _wide(text)
    place = f'x="{width / 2 - wide / 2:g}" y="{y - 8}" width="{wide:g}" height="24"'
    yield f'<rect class="ground" {place} rx="12"/>'
    yield from _texts(text, width / 2, y + 8, " later")
