"""The tables of a route end to end, with the budgets of one worker."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.in_process import calling
from benchmarks.measure import measure
from benchmarks.redis_store import redis_py_alone
from benchmarks.report import Floor, Report
from benchmarks.routes import BEARER, SENT, by_hand, routes
from benchmarks.served import ASGI, Rate, end_to_end, reason_to_skip, scaling
from benchmarks.trace import trace

#: The least part of the open route's rate, and of the rate with a plain Bearer check.
ROUTES = {
    "symmetric": (0.85, 1.3),
    "ES256": (0.62, 1.0),
    "symmetric, Redis": (None, 1.0),
}
#: The operations that a route needs, by what libraries take of them.
_CHECKS = {
    "symmetric": "symmetric",
    "ES256": "ES256, key and token seen before",
    "symmetric, Redis": "symmetric",
}


def end_to_end_tables(report: Report, floors: Mapping[str, Floor]) -> None:
    """Measure the route in this process, and then behind servers.

    :param floors: what libraries take of an operation, in microseconds.
    """
    _in_process(report)
    reason = reason_to_skip()
    if reason is not None:
        report.skip("end to end", reason)
        return
    report.begin("a route end to end", ": requests in a second of the server's time")
    redis_py = redis_py_alone()
    rates = end_to_end()
    for rate in rates:
        _rate(report, "served", f"{rate.server}: {rate.route.name}", rate)
    found = {(rate.server, rate.route.name): _of_a_core(rate) for rate in rates}
    for (server, name), value in found.items():
        # The budgets are for the Flask route: a bare one takes no time to compare with.
        budgets = ROUTES.get(name, (None, None)) if server != ASGI else (None, None)
        for other, budget in zip(("open", BEARER), budgets, strict=True):
            if budget is None or (server, other) not in found:
                continue
            of = _least(name, floors, redis_py)
            could = 1e6 / (1e6 / found[server, SENT] + sum(of.values()))
            report.line(
                "served_ratios",
                f"{server}: {name}, against {other}",
                value / found[server, other],
                unit="x",
                budget=budget,
                at_least=True,
                floor=Floor(
                    value=could / found[server, other],
                    of=of,
                    operation=_in_process_name(name),
                    by_hand=found[server, by_hand(name)] / found[server, other],
                ),
            )


def worker_tables(report: Report) -> None:
    """Measure 1, 2 and 4 workers with each store."""
    reason = reason_to_skip()
    if reason is not None:
        report.skip("more workers", reason)
        return
    for rate in scaling():
        _rate(report, "workers", rate.route.name, rate)


def _in_process(report: Report) -> None:
    """Measure the Flask route without a server: caches of the processor are warm."""
    report.begin("the Flask route in this process", ": microseconds")
    calls = {_in_process_name(route.name): calling(route) for route in routes()}
    times = measure(calls)
    opened = times[_in_process_name("open")]
    traces = {name: trace(call) for name, call in calls.items()}
    for name, timing in times.items():
        report.line(
            *("in_process", name, timing.median),
            unit="us",
            added=round(timing.median - opened.median, 2),
        )
        report.sections.setdefault("traces", {})[name] = dict(
            (traces[name] - traces[_in_process_name("open")]).as_json()
        )


def _in_process_name(route: str) -> str:
    return f"Flask route: {route.partition(', Redis')[0]}"


def _least(
    route: str, floors: Mapping[str, Floor], redis_py: float | None
) -> dict[str, float]:
    """Return what libraries add to the open route, in microseconds."""
    of = floors[_CHECKS[route]].of
    parts = {} if isinstance(of, str) else dict(of)
    if redis_py is not None and route.endswith("Redis"):
        parts["redis-py, one command"] = round(redis_py, 2)
    return parts


def _of_a_core(rate: Rate) -> float:
    return rate.of_a_core or rate.rate


def _rate(report: Report, section: str, name: str, rate: Rate) -> None:
    spread = rate.range_of_a_core
    report.line(
        *(section, name, _of_a_core(rate)),
        unit="/s",
        range=None if spread is None else [round(value) for value in spread],
        milliseconds_of_99th=round(rate.slowest, 2),
        wall_clock=round(rate.rate),
    )
