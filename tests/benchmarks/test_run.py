"""The benchmarks: they run, and no budget is missed without its reason."""

from __future__ import annotations

import re
from typing import Any

import pytest
from click.testing import CliRunner

import benchmarks.operations
import benchmarks.profile
from benchmarks.__main__ import main
from benchmarks.measure import Timing
from benchmarks.operations import Row, making, primitives, verifying
from benchmarks.profile import PARTS, parts, shares
from benchmarks.reasons import NoReasonError, missed_table, trace_table
from benchmarks.refusals import refusing
from benchmarks.report import Floor, Report
from benchmarks.sections import GROUPS
from benchmarks.trace import trace
from benchmarks.world import received


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make few requests before the clock would run."""
    for name in ("SYMMETRIC_REQUESTS", "ASYMMETRIC_REQUESTS", "FIRST_REQUESTS"):
        monkeypatch.setattr(benchmarks.operations, name, 4)
    monkeypatch.setattr(benchmarks.profile, "NEW_KEYS", 2)


def _table() -> list[Row]:
    return [*primitives(), *verifying(), *making(), *refusing()]


@pytest.mark.usefixtures("few")
def test_every_operation_with_a_budget_has_a_floor_that_can_be_measured() -> None:
    table = _table()
    measured = {row.name: 1.0 for row in table} | dict.fromkeys(parts(), 1.0)
    floors = shares(measured, [row.name for row in table if row.budget is not None])
    assert [
        r.name for r in table if r.budget is not None and r.name not in floors
    ] == []
    assert set(PARTS) - set(measured) == {"issuance: added by DPoP and a symmetric key"}


@pytest.mark.usefixtures("few")
def test_every_operation_does_what_it_is_called() -> None:
    # More often than there are requests: then all begins anew.
    for call in [*(row.call for row in _table()), *parts().values()] * 6:
        call()


@pytest.mark.usefixtures("few")
def test_the_counts_of_an_operation_repeat() -> None:
    call = next(row.call for row in verifying() if row.name == "symmetric")
    one, other = trace(call).as_json(), trace(call).as_json()
    assert one == other
    assert one["packages"]["dpop_ext"] > 100
    assert not [name for name in one["functions"] if name.startswith("benchmarks")]


def test_what_a_call_spares_counts_against_what_it_adds() -> None:
    def short() -> int:
        return sum([1, 2])

    def long() -> int:
        short()
        return short()

    more = (trace(long) - trace(short)).as_json()
    less = (trace(short) - trace(long)).as_json()
    assert more["bytecodes"] == -less["bytecodes"] > 0
    assert more["c_calls"] == -less["c_calls"] == 1


def test_a_request_brings_a_text_of_its_own() -> None:
    text = "access token"
    assert received(text) == text
    assert received(text) is not text


def test_a_ratio_is_told_with_its_range() -> None:
    one = Timing(median=10, quartiles=(9, 11), parts=(8, 10, 12, 10))
    base = Timing(median=20, quartiles=(20, 20), parts=(20, 20, 20, 25))
    assert one.ratio(base) == 0.5
    assert one.ratios(base) == (0.4, 0.6)


def test_what_is_added_is_the_difference_within_the_rounds() -> None:
    slow_moments = (0, 0, 900, 900, 0, 900, 0, 0)
    base = [100.0 + slow for slow in slow_moments]
    one = [130.0 + slow for slow in slow_moments]
    one[:2], base[-1] = [131.0, 135.0], 95.0
    timings = (
        Timing(median=0, quartiles=(0, 0), parts=(), rounds=tuple(rounds))
        for rounds in (one, base)
    )
    added, least, most = next(timings).added_to(next(timings))
    assert (added, least, most) == (30.0, 30.0, 33.0)


def _run(**floor: Any) -> dict[str, Any]:
    report = Report()
    report.line("stores", "slow", 3.0, unit="us", budget=2.0, **floor)
    report.line("stores", "quick", 1.0, unit="us", budget=2.0)
    report.line("stores", "rare", 5.0, unit="/s", budget=9.0, at_least=True, **floor)
    assert report.missed == ["slow", "rare"]
    return report.sections | {"profile": {}}


def test_a_budget_that_is_missed_without_a_reason_ends_make_sizing() -> None:
    with pytest.raises(NoReasonError, match="without a reason: slow; rare"):
        missed_table(_run(), {})


@pytest.mark.parametrize(
    ("value", "slow", "rare"),
    [(2.5, "libraries", "libraries"), (1.5, "our Python", "libraries")],
)
def test_the_reason_is_what_libraries_alone_would_take(
    value: float, slow: str, rare: str
) -> None:
    run = _run(floor=Floor(value=value, of="a dict", operation="symmetric"))
    first, second = missed_table(run, {}).splitlines()
    line = rf"\| slow \| 3.00 us \| 2.00 \| {value}0 \|  \|  \| {slow} \|"
    assert re.fullmatch(line, first)
    assert second.endswith(f"| at least 9.00 | {value}0 |  |  | {rare} |")


@pytest.mark.parametrize(
    ("by_hand", "compiled", "reason"),
    [
        (2.5, 2.0, "by hand"),
        (2.5, 2.1, "by hand and compiled"),
        (1.9, 2.1, "compiled"),
        (1.9, 2.0, "our Python"),
    ],
)
def test_what_misses_the_budget_too_is_told(
    by_hand: float, compiled: float, reason: str
) -> None:
    floor = Floor(value=1, of="a dict", operation="symmetric", by_hand=by_hand)
    other = Report()
    other.line("stores", "slow", compiled, unit="us", budget=2.0)
    other.line("stores", "rare", 8.0, unit="/s", budget=9.0, at_least=True)
    first, second = missed_table(_run(floor=floor), other.sections).splitlines()
    assert first.endswith(f"| 1.00 | {by_hand}0 | {compiled}0 | {reason} |")
    assert second.endswith("| 8.00 | libraries |")


def test_a_ratio_is_compared_with_that_of_the_compiled_code() -> None:
    floor = Floor(value=1, of="a dict", operation="symmetric")
    run, compiled = Report(), Report()
    for report, ratio in ((run, 2.2), (compiled, 2.1)):
        verdict = report.judge("slow", ratio, 2.0, floor=floor)
        more = {"microseconds": 9, "base": ["verify"], "range": (ratio, ratio)}
        report.keep("results", "slow", ratio=ratio, **more, **verdict)
    table = missed_table(run.sections, compiled.sections)
    assert table.endswith("| 1.00 |  | 2.10 | compiled |")


def test_what_is_to_blame_was_counted() -> None:
    run = _run(floor=Floor(value=1, of="a dict", operation="symmetric"))
    with pytest.raises(NoReasonError, match="what runs in: symmetric"):
        trace_table(run, {})
    counts = {"python_calls": 7, "c_calls": 8, "bytecodes": 90}
    functions = {"package.module.Class.name": {"calls": 1, "bytecodes": 60}}
    run["traces"] = {"symmetric": counts | {"functions": functions}}
    line = trace_table(run, {"symmetric": 13.7})
    assert line == "| symmetric | 13.7 |  | 7 | 8 | 90 | `Class.name` 60 |"


def test_help_explains_and_measures_nothing() -> None:
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    assert "beside its budget" in result.output
    assert "operations in turns" not in result.output
    assert all(group in result.output for group in GROUPS)
    assert CliRunner().invoke(main, ["--only", "nothing"]).exit_code == 2
