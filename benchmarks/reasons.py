"""Why a budget was missed: what libraries take of it, and what runs beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

#: Functions that are named for one operation.
_NAMED = 4


class NoReasonError(Exception):
    """A budget was missed, and the run does not tell why."""


def missed_rows(run: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Return the rows that are over their budget.

    :param run: what ``make bench`` wrote.
    """
    for section in run.values():
        for row in section if isinstance(section, list) else ():
            if isinstance(row, dict) and row.get("met") is False:
                yield row


def missed_lines(run: Mapping[str, Any]) -> Iterator[str]:
    """Return a line for each budget that was missed, and its reason if it has one."""
    for row in missed_rows(run):
        floor = row.get("floor")
        libraries = "?" if floor is None else f"{floor['value']:,.2f}"
        reason = "no reason is known" if floor is None else _reason(row, None)
        figure = f"{_figure(row)}, budget {_budget(row)}, libraries {libraries}"
        yield f"{row['operation']}: {figure}: {reason}"


def missed_table(run: Mapping[str, Any], compiled: Mapping[str, Any]) -> str:
    """Return a row for each budget that was missed, with its reason.

    :param compiled: what ``make bench-compiled`` wrote; empty if it was not run.
    :raises NoReasonError: one of them has none.
    """
    figures = {
        row["operation"]: _value(row)
        for section in compiled.values()
        for row in (section if isinstance(section, list) else ())
        if "budget" in row
    }
    rows = list(missed_rows(run))
    bare = [row["operation"] for row in rows if not row.get("floor")]
    if bare:
        raise NoReasonError(
            f"over budget without a reason: {'; '.join(bare)}. "
            "Give the row a Floor, see benchmarks/report.py."
        )
    return "\n".join(
        f"| {row['operation']} | {_figure(row)} | {_budget(row)} "
        f"| {row['floor']['value']:,.2f} | {_cell(row['floor'].get('by_hand'))} "
        f"| {_cell(compiled_figure)} | {_reason(row, compiled_figure)} |"
        for row in rows
        for compiled_figure in [figures.get(row["operation"])]
    )


def trace_table(run: Mapping[str, Any], us: Mapping[str, float]) -> str:
    """Return what runs in each operation of which a budget was missed.

    :param us: microseconds that an operation takes, or adds, by name.
    :raises NoReasonError: it was not counted.
    """
    floors = [row["floor"] for row in missed_rows(run)]
    names = dict.fromkeys(floor["operation"] for floor in floors if floor["operation"])
    missing = [name for name in names if name not in run.get("traces", {})]
    if missing:
        raise NoReasonError(f"no counts of what runs in: {'; '.join(missing)}")
    lines = []
    for name in names:
        counts = run["traces"][name]
        taken = f"{us[name]:,.1f}" if name in us else ""
        libraries = run["profile"].get(name)
        of = "" if libraries is None else f"{sum(libraries.values()):,.1f}"
        functions = list(counts["functions"].items())[:_NAMED]
        most = ", ".join(f"`{_short(each)}` {n['bytecodes']}" for each, n in functions)
        lines.append(
            f"| {name} | {taken} | {of} | {counts['python_calls']} "
            f"| {counts['c_calls']} | {counts['bytecodes']:,} | {most} |"
        )
    return "\n".join(lines)


def library_table(run: Mapping[str, Any]) -> str:
    """Return the parts of what libraries take, for each operation that is over."""
    lines = []
    floors = (row["floor"] for row in missed_rows(run))
    for name in dict.fromkeys(floor["operation"] for floor in floors):
        parts = run["profile"].get(name)
        if parts:
            each = ", ".join(f"{part} {us:.1f}" for part, us in parts.items())
            lines.append(f"- {name}: {each}.")
    return "\n".join(lines)


def _reason(row: Mapping[str, Any], compiled: float | None) -> str:
    """Return what misses the budget, too; without such a thing it is our Python."""
    floor = row["floor"]
    if not floor["within"]:
        return "libraries"
    others = ["by hand"] if floor.get("by_hand_within") is False else []
    if compiled is not None and not _within(row, compiled):
        others.append("compiled")
    whose = " and ".join(others) or "our Python"
    # Behind a server what libraries do costs more than it does alone, too.
    in_server = (floor["operation"] or "").startswith("Flask route")
    return f"{whose}, in a server" if in_server else whose


def _within(row: Mapping[str, Any], figure: float) -> bool:
    budget: float = row["budget"]
    return figure >= budget if row["at_least"] else figure <= budget


def _value(row: Mapping[str, Any]) -> float:
    value: float = row["ratio"] if "ratio" in row else row["value"]
    return value


def _cell(figure: float | None) -> str:
    return "" if figure is None else f"{figure:,.2f}"


def _figure(row: Mapping[str, Any]) -> str:
    least, most = row.get("range", (None, None))
    if "ratio" not in row:
        between = "" if least is None else f" ({least:,.1f} to {most:,.1f})"
        return f"{row['value']:,.2f}{between} {row['unit']}"
    return f"{row['ratio']:.2f} ({least:.2f} to {most:.2f}) x {' + '.join(row['base'])}"


def _budget(row: Mapping[str, Any]) -> str:
    sign = "at least " if row["at_least"] else ""
    return f"{sign}{row['budget']:,.2f}"


def _short(function: str) -> str:
    """Return the last names of a function, which tell it from the others."""
    return ".".join(function.replace(".<locals>", "").split(".")[-2:])
