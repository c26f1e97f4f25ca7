"""``dpop-ext readiness``: for which clients proofs can be enforced."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any, Final, TextIO

import click

from dpop_ext.cli.closing import closing
from dpop_ext.cli.output import json_option, print_json, print_table, utc
from dpop_ext.resource_server.readiness import Criteria, Readiness, judge
from dpop_ext.resource_server.tally import Tally

#: Characters of the longest line that is looked at.
MAX_LINE: Final = 64 * 1024

_COLORS: Final = {"enforce": "green", "fix": "red", "wait": "yellow"}


@click.command(
    epilog=closing(
        "dpop-ext readiness /var/log/api/*.jsonl",
        "dpop-ext readiness --days 14 --json observed.jsonl",
        codes="0 the report is printed, 1 refused, 2 wrong command line",
    )
)
@click.argument("files", type=click.File(errors="replace"), nargs=-1, required=True)
@click.option(
    "--days",
    type=click.IntRange(1, 365),
    default=7,
    show_default=True,
    help="For how long a client must have been clean; what is older does not count.",
)
@click.option(
    "--clean",
    type=click.FloatRange(0, 100, min_open=True),
    default=99.9,
    show_default=True,
    metavar="PERCENT",
    help="Of its requests that must have been clean.",
)
@click.option(
    "--requests",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="That it must have sent in that time.",
)
@click.option(
    "--bearer-stays",
    is_flag=True,
    help="Unbound Bearer tokens will be accepted further on: they count as clean.",
)
@json_option
def readiness(
    files: tuple[TextIO, ...],
    *,
    days: int,
    clean: float,
    requests: int,
    bearer_stays: bool,
    as_json: bool,
) -> None:
    """Say by client whether proofs can be enforced.

    FILES are what observers wrote, of all processes and machines, or logs in JSON lines
    with their events; - is standard input. Other lines are skipped.
    """
    criteria = Criteria(
        days=days, share=clean / 100, requests=requests, bearer_stays=bearer_stays
    )
    tallies = (tally for file in files for tally in _read(file))
    report = judge(tallies, criteria=criteria, now=int(time.time()))
    if not report:
        click.echo(
            "dpop-ext: there is no event client_observed in these files", err=True
        )
    if as_json:
        print_json([_as_json(line) for line in report])
        return
    header = ("CLIENT", "REQUESTS", "CLEAN", "SINCE", "LAST FAILURE", "VERDICT")
    print_table(header, [_row(line) for line in report])


def _read(file: TextIO) -> Iterator[Tally]:
    for line in _lines(file):
        try:
            value = json.loads(line)
            if isinstance(value, dict) and value.get("event") == "client_observed":
                fields = value.get("fields")
                yield Tally.from_json(fields if isinstance(fields, dict) else value)
        except (ValueError, RecursionError):
            continue


def _lines(file: TextIO) -> Iterator[str]:
    """Yield the lines that are no longer; of others no more is kept than that."""
    while line := file.readline(MAX_LINE + 1):
        if len(line) <= MAX_LINE:
            yield line
        while len(line) > MAX_LINE and not line.endswith("\n"):
            line = file.readline(MAX_LINE + 1)


def _row(line: Readiness) -> list[str]:
    tally = line.tally
    failure = "-"
    if tally.last_failure_at is not None:
        failure = f"{utc(tally.last_failure_at)} {ascii(tally.last_failure)[1:-1]}"
    verdict = click.style(line.verdict, fg=_COLORS[line.verdict], bold=True)
    return [
        # Nothing in it moves the cursor of a terminal.
        ascii(tally.client)[1:-1],
        str(line.total),
        _percent(line),
        utc(line.since),
        failure,
        f"{verdict}: {ascii(line.because)[1:-1]}",
    ]


def _as_json(line: Readiness) -> dict[str, Any]:
    return {
        **line.tally.to_json(),
        "since": line.since,
        "total": line.total,
        "clean": line.clean,
        "verdict": line.verdict,
        "because": line.because,
    }


def _percent(line: Readiness) -> str:
    if not line.total:
        return "-"
    # Rounded down: what is not all is not 100.
    whole, part = divmod(line.clean * 10_000 // line.total, 100)
    return f"{whole}.{part:02} %"
