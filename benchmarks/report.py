"""What was measured, as lines of a table and as JSON."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """What a figure would be if there were nothing but libraries.

    A budget that it misses cannot be met by code in Python; one that it meets, and the
    figure does not, is missed by our own code.
    """

    #: In the unit of the figure.
    value: float
    #: What it consists of, in microseconds or as text.
    of: Mapping[str, float] | str
    #: The operation whose trace tells where the rest goes, if it is time.
    operation: str | None
    #: What was measured of the same checks in one function (benchmarks/by_hand.py).
    by_hand: float | None = None


class Report:
    """Prints each line when it is known, and keeps it."""

    def __init__(self) -> None:
        self.sections: dict[str, Any] = {}
        self.missed: list[str] = []
        self._began = time.monotonic()

    def begin(self, title: str, columns: str = "") -> None:
        """Say what comes now, and how long it took to get here."""
        seconds = time.monotonic() - self._began
        print(f"\n[{seconds:4.0f} s] {title}{columns}", flush=True)

    def line(
        self,
        section: str,
        name: str,
        value: float,
        *,
        unit: str = "",
        budget: float | None = None,
        at_least: bool = False,
        floor: Floor | None = None,
        **more: Any,
    ) -> None:
        """Add one figure, with its budget beside it.

        :param at_least: the budget is the least that it should be.
        :param more: what else goes into the JSON.
        """
        sign = "" if budget is None else (">=" if at_least else "<=")
        shown = "" if budget is None else f"{sign}{budget:,.2f}"
        verdict = self.judge(name, value, budget, at_least=at_least, floor=floor)
        over = "  OVER" if verdict["met"] is False else ""
        print(f"{name:<66}{value:>12,.2f} {unit:<6}{shown:>12}{over}", flush=True)
        self.keep(section, name, value=round(value, 3), unit=unit, **verdict, **more)

    def judge(
        self,
        name: str,
        value: float,
        budget: float | None,
        *,
        at_least: bool = False,
        floor: Floor | None = None,
    ) -> dict[str, Any]:
        """Return what goes into the JSON beside a figure; it counts as missed or not.

        :param floor: kept for what is missed: the reason.
        """

        def within(figure: float) -> bool | None:
            if budget is None:
                return None
            return figure >= budget if at_least else figure <= budget

        met = within(value)
        found: dict[str, Any] = {"budget": budget, "at_least": at_least, "met": met}
        if met is False:
            self.missed.append(name)
            found["floor"] = None if floor is None else _floor(floor, within)
        return found

    def keep(self, section: str, name: str, **values: Any) -> None:
        """Put a row into a section of the JSON."""
        row = {"operation": name, **values}
        self.sections.setdefault(section, []).append(row)

    def skip(self, title: str, reason: str) -> None:
        """Say that something was not measured, and why."""
        print(f"{title}: skipped, {reason}", file=sys.stdout, flush=True)
        self.sections.setdefault("skipped", {})[title] = reason

    @property
    def seconds(self) -> float:
        """How long it took so far."""
        return time.monotonic() - self._began


def _floor(floor: Floor, within: Any) -> dict[str, Any]:
    return {
        "value": round(floor.value, 3),
        "of": floor.of,
        "operation": floor.operation,
        "within": within(floor.value),
        "by_hand": None if floor.by_hand is None else round(floor.by_hand, 3),
        "by_hand_within": None if floor.by_hand is None else within(floor.by_hand),
    }
