"""What a check found, and what an operator does about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

Status = Literal["good", "look", "bad", "skipped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of one check."""

    #: What was checked: a few words that do not change.
    check: str
    status: Status
    #: What was seen, with figures.
    seen: str
    #: What to change; empty if there is nothing to do.
    advice: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)


#: A check; it may find several things.
Check = Callable[[], Iterator[Finding]]


def good(check: str, seen: str) -> Finding:
    """Return that all is well."""
    return Finding(check=check, status="good", seen=seen)


def bad(check: str, seen: str, advice: str) -> Finding:
    """Return that something does not work, or is not safe."""
    return Finding(check=check, status="bad", seen=seen, advice=advice)


def look(check: str, seen: str, advice: str) -> Finding:
    """Return that something works, and could be better."""
    return Finding(check=check, status="look", seen=seen, advice=advice)


def skipped(check: str, why: str) -> Finding:
    """Return that something could not be checked."""
    return Finding(check=check, status="skipped", seen=why)
