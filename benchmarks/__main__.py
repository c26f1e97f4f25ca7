"""The command that measures: ``python -m benchmarks``, which ``make bench`` runs."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from benchmarks.chart import chart
from benchmarks.reasons import missed_lines
from benchmarks.report import Report
from benchmarks.sections import GROUPS, operations

FOLDER = Path("build")
_PACKAGES = (
    *("cryptography", "joserfc", "authlib", "flask", "gunicorn", "granian"),
    *("redis", "hiredis", "sqlalchemy", "PyJWT", "pydpop"),
    *("auth0-api-python", "requests_oauth2client"),
)


@click.command()
@click.option(
    "--only",
    "groups",
    type=click.Choice(tuple(GROUPS)),
    multiple=True,
    help="Measure this group alone; can be given several times.",
)
@click.option(
    "--json",
    "json_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"Where the figures go.  [default: {FOLDER}/benchmarks.json]",
)
@click.option(
    "--svg",
    "svg_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"Where the chart goes.  [default: {FOLDER}/benchmarks.svg]",
)
def main(
    groups: tuple[str, ...], json_path: Path | None, svg_path: Path | None
) -> None:
    """Measure what proofs cost, and print each figure beside its budget.

    All of it takes less than five minutes, on loopback alone. Figures of operations are
    microseconds of the processor and their ratio to a primitive that was measured in
    turns with them; in brackets, the least and the greatest ratio of four parts of the
    run. What is over its budget is marked, and told again at the end with the reason:
    what libraries alone would take. The JSON has the functions that run the rest, too.

    With --only nothing is written unless --json or --svg says where: the documents are
    made from a run of everything.
    """
    if not groups:
        json_path = json_path or FOLDER / "benchmarks.json"
        svg_path = svg_path or FOLDER / "benchmarks.svg"
    report = Report()
    wanted = groups or tuple(GROUPS)
    times = operations(report, wanted)
    for name, measure in GROUPS.items():
        if measure is not None and name in wanted:
            measure(report, times)
    report.begin("over budget, and what libraries alone would make of it")
    for line in missed_lines(report.sections):
        click.echo(line)
    if json_path is not None:
        _write(json_path, _as_json(report))
    if svg_path is not None and "verifying" in wanted:
        _write(svg_path, chart(report.sections["results"]))
    click.echo("microseconds say nothing on another machine")


def _as_json(report: Report) -> str:
    values = {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "seconds": round(report.seconds),
        "missed": report.missed,
        **report.sections,
    }
    return json.dumps(values, indent=2) + "\n"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    click.echo(f"written to {path}")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
