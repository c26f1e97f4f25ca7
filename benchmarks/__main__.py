"""Measure, print the tables with their budgets, write them as JSON and as a chart."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.chart import chart
from benchmarks.growth import bytes_per_token, growth
from benchmarks.measure import Timing, measure
from benchmarks.operations import (
    Row,
    making,
    primitives,
    refusing,
    storing,
    verifying,
)
from benchmarks.others import comparisons, others
from benchmarks.parallel import throughput

FOLDER = Path("build")
#: Bytes of a remembered token, at most.
TOKEN_BUDGET = 2048


def main() -> None:
    """Print one line for each operation, with its ratio and its budget."""
    table = [*primitives(), *verifying(), *others()]
    table += [*making(), *refusing(), *storing()]
    times = measure({row.name: row.call for row in table})
    print(f"{'operation':<46}{'us':>9}{'spread':>8}{'ratio':>8}{'budget':>8}  base")
    results = [_report(row, times) for row in table]
    compared = [
        _line(name, times[other].median / times[ours].median, budget, "", at_least=True)
        for name, ours, other, budget in comparisons(times)
    ]
    scale = [_line(g.name, g.factor, g.budget, "the small size") for g in growth()]
    scale += [
        _line(f"{n} threads, {kind}", ratio, budget, "one thread", at_least=True)
        for kind, n, ratio, budget in throughput()
    ]
    scale.append(
        _line("bytes of a remembered token", bytes_per_token(), TOKEN_BUDGET, "")
    )
    report = {
        "python": platform.python_version(),
        "packages": {
            name: version(name) for name in ("cryptography", "joserfc", "authlib")
        },
        "results": results,
        "compared": compared,
        "scale": scale,
    }
    FOLDER.mkdir(exist_ok=True)
    text = json.dumps(report, indent=2) + "\n"
    (FOLDER / "benchmarks.json").write_text(text, encoding="utf-8")
    (FOLDER / "benchmarks.svg").write_text(chart(results), encoding="utf-8")
    missed = [
        r["operation"] for r in [*results, *compared, *scale] if r["met"] is False
    ]
    print(f"over budget: {', '.join(missed) or 'nothing'}")
    print(f"written to {FOLDER}; microseconds say nothing on another machine")


def _report(row: Row, times: dict[str, Timing]) -> dict[str, Any]:
    timing = times[row.name]
    base = sum(times[name].median for name in row.base)
    ratio = timing.median / base
    budget = f"{row.budget:.2f}" if row.budget is not None else ""
    met = None if row.budget is None else ratio <= row.budget
    print(
        f"{row.name:<46}{timing.median:>9.1f}{timing.spread:>7.0%} {ratio:>7.2f}"
        f"{budget:>8}  {' + '.join(row.base)}{'  OVER' if met is False else ''}"
    )
    return {
        "operation": row.name,
        "microseconds": round(timing.median, 2),
        "spread": round(timing.spread, 3),
        "ratio": round(ratio, 3),
        "base": row.base,
        "budget": row.budget,
        "met": met,
    }


def _line(
    name: str, value: float, budget: float, base: str, *, at_least: bool = False
) -> dict[str, Any]:
    met = value >= budget if at_least else value <= budget
    over = "" if met else "  OVER"
    print(f"{name:<46}{value:>24.2f}{budget:>9.2f}  {base}{over}")
    return {
        "operation": name,
        "ratio": round(value, 3),
        "base": base,
        "budget": budget,
        "met": met,
    }


if __name__ == "__main__":
    main()
