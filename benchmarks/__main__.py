"""Measure, print the tables with their budgets, write them as JSON and as a chart."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.chart import chart
from benchmarks.growth import bytes_per_token, growth
from benchmarks.issuance import issuing
from benchmarks.measure import Timing, measure
from benchmarks.operations import (
    Row,
    making,
    primitives,
    proof_lengths,
    refusing,
    verifying,
)
from benchmarks.others import comparisons, others
from benchmarks.parallel import throughput
from benchmarks.profile import parts, shares
from benchmarks.report import Report
from benchmarks.served import ASGI, Rate, end_to_end, reason_to_skip, scaling
from benchmarks.stores import Figure, memory, redis, sqlite

FOLDER = Path("build")
#: Bytes of a remembered token, at most.
TOKEN_BUDGET = 2048
#: Of the route end to end: the least part of the open route's rate, and of the rate
#: with a plain Bearer check.
ROUTES = {
    "symmetric": (0.85, 1.3),
    "ES256": (0.62, 1.0),
    "symmetric, Redis": (None, 1.0),
}
_BEARER = "Bearer RS256, PyJWT"
_PACKAGES = (
    *("cryptography", "joserfc", "authlib", "flask", "gunicorn", "granian"),
    *("redis", "hiredis", "sqlalchemy", "PyJWT", "pydpop"),
    *("auth0-api-python", "requests_oauth2client"),
)


def main() -> None:
    """Print one line for each operation, with its ratio and its budget."""
    report = Report()
    times = _operations(report)
    report.begin("growth with what is remembered, and threads: ratios")
    for each in growth():
        report.line("scale", each.name, each.factor, unit="x", budget=each.budget)
    for kind, threads, ratio, budget in throughput():
        name = f"{threads} threads, {kind}, against one"
        report.line("scale", name, ratio, unit="x", budget=budget, at_least=True)
    name = "bytes of a remembered token"
    report.line("scale", name, bytes_per_token(), unit="bytes", budget=TOKEN_BUDGET)
    report.begin("replay stores")
    for figure in [*memory(), *sqlite(), *redis(times["ES256 verify"].median)]:
        _figure(report, figure)
    reason = reason_to_skip()
    if reason is not None:
        report.skip("end to end", reason)
    else:
        _served(report)
    _write(report)


def _operations(report: Report) -> dict[str, Timing]:
    report.begin("preparing requests")
    table = [*primitives(), *verifying(), *others()]
    table += [*making(), *refusing(), *issuing()]
    inside = parts()
    report.begin(f"{len(table) + len(inside)} operations in turns")
    times = measure({row.name: row.call for row in table} | inside)
    report.begin("operations", ": microseconds, and ratio to the base")
    for row in table:
        _row(report, row, times)
    _issuance(report, times)
    for name, length, longest in proof_lengths():
        report.line("wire", name, length, unit="bytes", budget=longest)
    for name, ours, other, budget in comparisons(times):
        ratio = times[other].median / times[ours].median
        report.line("compared", name, ratio, unit="x", budget=budget, at_least=True)
    medians = {name: timing.median for name, timing in times.items()}
    report.sections["profile"] = shares(medians)
    report.begin("where the microseconds of a request go")
    for name, each in shares(medians).items():
        print(f"{name}: {medians[name]:.1f} =")
        print("  " + " + ".join(f"{us:.1f} {part}" for part, us in each.items()))
    return times


def _row(report: Report, row: Row, times: dict[str, Timing]) -> None:
    timing = times[row.name]
    base = sum(times[name].median for name in row.base)
    ratio = timing.median / base
    met = None if row.budget is None else ratio <= row.budget
    if met is False:
        report.missed.append(row.name)
    budget = f"<={row.budget:.2f}" if row.budget is not None else ""
    over = "  OVER" if met is False else ""
    print(
        f"{row.name:<50}{timing.median:>10.1f}{timing.spread:>6.0%}{ratio:>8.2f}"
        f"{budget:>8}  {' + '.join(row.base)}{over}"
    )
    report.sections.setdefault("results", []).append(
        {
            "operation": row.name,
            "microseconds": round(timing.median, 2),
            "spread": round(timing.spread, 3),
            "ratio": round(ratio, 3),
            "base": row.base,
            "budget": row.budget,
            "met": met,
        }
    )


def _issuance(report: Report, times: dict[str, Timing]) -> None:
    name = "issue a token"
    added = times[f"{name}, DPoP and a symmetric key"].median - times[name].median
    budget = times["ES256 verify"].median + 2 * times["X25519"].median + 100
    name = "issuance: added by DPoP and a symmetric key"
    report.line("issuance", name, added, unit="us", budget=budget)


def _figure(report: Report, figure: Figure) -> None:
    report.line(
        "stores",
        figure.name,
        figure.value,
        unit=figure.unit,
        budget=figure.budget,
        at_least=figure.at_least,
    )


def _served(report: Report) -> None:
    report.begin("a route end to end", ": requests in a second of the server's time")
    rates = end_to_end()
    for rate in rates:
        _rate(report, "served", f"{rate.server}: {rate.route.name}", rate)
    found = {
        (rate.server, rate.route.name): rate.of_a_core or rate.rate for rate in rates
    }
    for (server, name), value in found.items():
        # The budgets are for the Flask route: a bare one takes no time to compare with.
        of_open, of_bearer = ROUTES.get(name, (None, None))
        if server == ASGI:
            of_open = of_bearer = None
        for other, budget in (("open", of_open), (_BEARER, of_bearer)):
            if budget is not None and (server, other) in found:
                report.line(
                    "served_ratios",
                    f"{server}: {name}, against {other}",
                    value / found[server, other],
                    unit="x",
                    budget=budget,
                    at_least=True,
                )
    cores = os.cpu_count() or 1
    report.begin(f"more workers, on {cores} cores that wrk shares", ": gunicorn")
    for rate in scaling():
        _rate(report, "workers", rate.route.name, rate)


def _rate(report: Report, section: str, name: str, rate: Rate) -> None:
    report.line(
        section,
        name,
        rate.rate if rate.of_a_core is None else rate.of_a_core,
        unit="/s",
        milliseconds_of_99th=round(rate.slowest, 2),
        wall_clock=round(rate.rate),
    )


def _write(report: Report) -> None:
    text = json.dumps(
        {
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "packages": {name: _version(name) for name in _PACKAGES},
            "seconds": round(report.seconds),
            "missed": report.missed,
            **report.sections,
        },
        indent=2,
    )
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "benchmarks.json").write_text(text + "\n", encoding="utf-8")
    drawing = chart(report.sections["results"])
    (FOLDER / "benchmarks.svg").write_text(drawing, encoding="utf-8")
    report.begin(f"over budget: {', '.join(report.missed) or 'nothing'}")
    print(f"written to {FOLDER}; microseconds say nothing on another machine")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
