"""One thing that was measured, which is no time of an operation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.trace import Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One thing that was measured, with its budget."""

    name: str
    value: float
    unit: str
    budget: float | None
    #: The budget is what it should be at least, and not at most.
    at_least: bool = False
    #: What it would be if there were nothing but libraries.
    floor: float | None = None
    floor_is: str = ""
    #: What one call runs.
    trace: Trace | None = None
    #: What is to be said about how it was measured.
    note: str = ""


def figure(
    name: str, value: float, unit: str, budget: float | None, **more: Any
) -> Figure:
    """Return a figure; *more* is what else it has."""
    return Figure(name=name, value=value, unit=unit, budget=budget, **more)
