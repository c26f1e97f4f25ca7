"""What commands print: tables for people, JSON for programs."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any, Final

import click

#: The last second that people have a date for: the year 9999.
MAX_SECONDS: Final = 253_402_300_799

#: For a command that prints data.
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def print_json(value: Any) -> None:
    """Print *value* as JSON."""
    click.echo(json.dumps(value, indent=2))


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns. Text that has a style is as wide as it looks."""
    lines = [list(header), *map(list, rows)]
    widths = [
        max(len(click.unstyle(line[column])) for line in lines)
        for column in range(len(header))
    ]
    for line in lines:
        padded = [
            cell + " " * (width - len(click.unstyle(cell)))
            for cell, width in zip(line, widths, strict=True)
        ]
        click.echo("  ".join(padded).rstrip())


def printable(text: str) -> str:
    """Return text of somebody else's, so that nothing in it speaks to the terminal."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def utc(seconds: float) -> str:
    """Return a time as people read it; what has no date is the first or the last."""
    seconds = min(max(seconds, 0), MAX_SECONDS)
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(seconds))


def duration(seconds: int) -> str:
    """Return a number of seconds as people say it: the two largest units."""
    parts = []
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        number, seconds = divmod(seconds, size)
        if number:
            parts.append(f"{number}{unit}")
    return " ".join(parts[:2]) or "0s"
