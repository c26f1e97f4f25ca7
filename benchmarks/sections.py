"""The tables of a run: what is measured for each, and what each budget is."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from benchmarks.figure import Figure
from benchmarks.growth import bytes_per_token, growth
from benchmarks.issuance import issuing
from benchmarks.measure import Timing, measure
from benchmarks.memory_store import memory
from benchmarks.operations import (
    Row,
    making,
    primitives,
    proof_lengths,
    verifying,
)
from benchmarks.others import comparisons, others
from benchmarks.parallel import throughput
from benchmarks.profile import PARTS, in_turn, parts, shares
from benchmarks.redis_store import redis
from benchmarks.refusals import refusing
from benchmarks.report import Floor, Report
from benchmarks.routes import by_hand
from benchmarks.served_tables import end_to_end_tables, worker_tables
from benchmarks.stores import sqlite
from benchmarks.trace import trace

Times = Mapping[str, Timing]
#: Bytes of a remembered token, at most.
TOKEN_BUDGET = 2048
#: Groups that have operations, or compare with what libraries take.
_MEASURED = {"verifying", "making", "refusing", "issuing", "stores", "served"}
_ISSUE, _ISSUE_BOUND = "issue a token", "issue a token, DPoP and a symmetric key"
_ISSUE_BY_HAND = f"{_ISSUE_BOUND}, by hand"
_ISSUE_AUTHLIB = "issue a token, Authlib's own generator"
_ISSUE_LIBRARIES = "issue a token, and do what libraries do of the rest"
_ISSUANCE = "issuance: added by DPoP and a symmetric key"
_ADOPTION = "issuance: added to a server of Authlib alone"


def operations(report: Report, groups: Collection[str]) -> Times:
    """Measure the operations of *groups* in turns, with the primitives.

    :returns: times by name, of the primitives at least; nothing if no group of
        *groups* has use for them.
    """
    if not _MEASURED & {*groups}:
        return {}
    report.begin("preparing requests")
    table = [*primitives()]
    if {"verifying", "refusing"} & {*groups}:
        # What is refused is compared with what is accepted.
        table += verifying()
    if "verifying" in groups:
        table += others()
    table += making() if "making" in groups else []
    table += refusing() if "refusing" in groups else []
    inside = parts()
    if "issuing" in groups:
        table += issuing()
        calls = {row.name: row.call for row in table} | inside
        both = in_turn(calls, (_ISSUE, *PARTS[_ISSUANCE]))
        table.append(Row(name=_ISSUE_LIBRARIES, call=both, base=(_ISSUE,)))
    report.begin(f"{len(table) + len(inside)} operations in turns")
    times = measure({row.name: row.call for row in table} | inside)
    report.begin("operations", ": microseconds, ratio to the base, its range, budget")
    floors = _floors(times)
    for row in table:
        _row(report, row, times, floors)
    if "issuing" in groups:
        _issuance(report, times, floors[_ISSUANCE])
    if "making" in groups:
        for name, length, longest in proof_lengths():
            report.line("wire", name, length, unit="bytes", budget=longest)
    for name, ours, other, budget in comparisons(times):
        ratio = times[other].median / times[ours].median
        floor = floors[ours]
        one_function = times[by_hand(ours.partition(",")[0])].median
        could = Floor(
            value=times[other].median / floor.value,
            of=floor.of,
            operation=ours,
            by_hand=times[other].median / one_function,
        )
        report.line(
            *("compared", name, ratio),
            unit="x",
            budget=budget,
            at_least=True,
            floor=could,
        )
    _profile(report, table, times)
    return times


def _floors(times: Times) -> dict[str, Floor]:
    """Return what libraries take of each operation, in microseconds."""
    medians = {name: timing.median for name, timing in times.items()}
    return {
        name: Floor(value=sum(each.values()), of=each, operation=name)
        for name, each in shares(medians).items()
    }


def _row(report: Report, row: Row, times: Times, floors: Mapping[str, Floor]) -> None:
    timing = times[row.name]
    base = [times[name] for name in row.base]
    ratio, (least, most) = timing.ratio(*base), timing.ratios(*base)
    budget = f"<={row.budget:.2f}" if row.budget is not None else ""
    floor = floors.get(row.name)
    if floor is not None:
        value = floor.value / sum(each.median for each in base)
        floor = Floor(value=value, of=floor.of, operation=row.name)
    verdict = report.judge(row.name, ratio, row.budget, floor=floor)
    over = "  OVER" if verdict["met"] is False else ""
    print(
        f"{row.name:<58}{timing.median:>8.1f}{ratio:>6.2f} ({least:.2f}-{most:.2f})"
        f"{budget:>8}  {' + '.join(row.base)}{over}"
    )
    report.keep(
        "results",
        row.name,
        microseconds=round(timing.median, 2),
        spread=round(timing.spread, 3),
        ratio=round(ratio, 3),
        range=[round(least, 3), round(most, 3)],
        base=row.base,
        **verdict,
    )


def _issuance(report: Report, times: Times, alone: Floor) -> None:
    # In a token request libraries take longer than alone: a signature check reads a
    # table of 150 kB, and others have pushed that out of the caches meanwhile.
    in_place = times[_ISSUE_LIBRARIES].added_to(times[_ISSUE])[0]
    floor = Floor(value=in_place, of=alone.of, operation=alone.operation)
    budget = times["ES256 verify"].median + 2 * times["X25519"].median + 100
    # To a server as it was, and to one that has the generator of this package already.
    for name, without in ((_ADOPTION, _ISSUE_AUTHLIB), (_ISSUANCE, _ISSUE)):
        added, least, most = times[_ISSUE_BOUND].added_to(times[without])
        hand = times[_ISSUE_BY_HAND].added_to(times[without])[0]
        report.line(
            *("issuance", name, added),
            unit="us",
            budget=budget,
            floor=replace(floor, by_hand=hand),
            range=[round(least, 1), round(most, 1)],
        )


def _profile(report: Report, table: Collection[Row], times: Times) -> None:
    """Tell what libraries take of each operation, and count what it runs."""
    calls = {row.name: row.call for row in table if row.name in PARTS}
    if not calls:
        return
    medians = {name: timing.median for name, timing in times.items()}
    report.sections["profile"] = shares(medians, calls)
    traces = {name: trace(call) for name, call in calls.items()}
    by_name = {row.name: row.call for row in table}
    if _ISSUE_BOUND in by_name:
        added = trace(by_name[_ISSUE_BOUND]) - trace(by_name[_ISSUE])
        traces[_ISSUANCE] = added
    found = {name: dict(each.as_json()) for name, each in traces.items()}
    report.sections.setdefault("traces", {}).update(found)
    report.begin(
        "of one call", ": us, of these libraries; calls in Python, in C; bytecodes"
    )
    for name, counts in found.items():
        own = medians.get(name)
        libraries = sum(shares(medians, [name])[name].values())
        print(
            f"{name:<58}{'' if own is None else f'{own:.1f}':>8}{libraries:>8.1f}"
            f"{counts['python_calls']:>6}{counts['c_calls']:>6}{counts['bytecodes']:>7}"
        )


def _growth(report: Report, _times: Times) -> None:
    report.begin("growth with what is remembered: ratios")
    for each in growth():
        report.line(
            *("scale", each.name, each.factor),
            unit="x",
            budget=each.budget,
            floor=Floor(value=each.floor, of=each.floor_is, operation="symmetric"),
        )
    held, claims = bytes_per_token()
    report.line(
        *("scale", "bytes of a remembered token", held),
        unit="bytes",
        budget=TOKEN_BUDGET,
        floor=Floor(value=claims, of="its claims, out of json.loads", operation=None),
    )


def _threads(report: Report, _times: Times) -> None:
    report.begin("threads of one process: ratios")
    for kind, threads, ratio, budget, floor in throughput():
        report.line(
            *("scale", f"{threads} threads, {kind}, against one", ratio),
            unit="x",
            budget=budget,
            at_least=True,
            floor=Floor(
                value=floor,
                of="the same threads that call nothing but libraries",
                operation=kind,
            ),
        )


def _stores(report: Report, times: Times) -> None:
    report.begin("replay stores")
    for figure in [*memory(), *sqlite(), *redis(times["ES256 verify"].median)]:
        _figure(report, figure)


def _figure(report: Report, figure: Figure) -> None:
    floor = None
    if figure.floor is not None:
        operation = None if figure.trace is None else figure.name
        floor = Floor(value=figure.floor, of=figure.floor_is, operation=operation)
    if figure.trace is not None:
        counts = {figure.name: dict(figure.trace.as_json())}
        report.sections.setdefault("traces", {}).update(counts)
    report.line(
        *("stores", figure.name, figure.value),
        unit=figure.unit,
        budget=figure.budget,
        at_least=figure.at_least,
        floor=floor,
        note=figure.note,
    )
    if figure.note:
        print(f"    {figure.note}", flush=True)


def _served(report: Report, times: Times) -> None:
    end_to_end_tables(report, _floors(times))


def _workers(report: Report, _times: Times) -> None:
    report.begin(f"more workers, on {os.cpu_count()} cores that wrk shares: gunicorn")
    worker_tables(report)


#: What can be measured alone. Those without a function are operations in one table.
GROUPS: dict[str, Callable[[Report, Times], None] | None] = {
    "verifying": None,
    "making": None,
    "refusing": None,
    "issuing": None,
    "growth": _growth,
    "threads": _threads,
    "stores": _stores,
    "served": _served,
    "workers": _workers,
}
