"""What was measured, as lines of a table and as JSON."""

from __future__ import annotations

import sys
import time
from typing import Any


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
        **more: Any,
    ) -> None:
        """Add one figure, with its budget beside it.

        :param at_least: the budget is the least that it should be.
        :param more: what else goes into the JSON.
        """
        met = None
        if budget is not None:
            met = value >= budget if at_least else value <= budget
        if met is False:
            self.missed.append(name)
        sign = "" if budget is None else (">=" if at_least else "<=")
        shown = "" if budget is None else f"{sign}{budget:,.2f}"
        over = "  OVER" if met is False else ""
        print(f"{name:<50}{value:>14,.2f} {unit:<6}{shown:>12}{over}", flush=True)
        self.sections.setdefault(section, []).append(
            {
                "operation": name,
                "value": round(value, 3),
                "unit": unit,
                "budget": budget,
                "at_least": at_least,
                "met": met,
                **more,
            }
        )

    def skip(self, title: str, reason: str) -> None:
        """Say that something was not measured, and why."""
        print(f"{title}: skipped, {reason}", file=sys.stdout, flush=True)
        self.sections.setdefault("skipped", {})[title] = reason

    @property
    def seconds(self) -> float:
        """How long it took so far."""
        return time.monotonic() - self._began
