"""The report on the clients whose proofs are observed."""

from __future__ import annotations

import json
import time
import tracemalloc
from pathlib import Path

import pytest

from dpop_ext.cli.readiness import MAX_LINE
from dpop_ext.resource_server.tally import Tally
from tests.cli.conftest import run

DAY = 86_400


def line(client: str, days_ago: int, **reasons: int) -> dict[str, object]:
    at = int(time.time()) - days_ago * DAY
    tally = Tally(client=client, reasons=reasons, first_at=at, last_at=at)
    if "bearer" in reasons:
        tally.last_failure, tally.last_failure_at = "bearer", 1_790_000_000
    return {"event": "client_observed", **tally.to_json()}


def test_the_report_adds_up_what_processes_wrote(tmp_path: Path) -> None:
    first, second = tmp_path / "1.jsonl", tmp_path / "2.jsonl"
    logged = {"event": "client_observed", "fields": line("ready", 0, ok=4998, bearer=1)}
    first.write_text(
        "\n".join(
            [
                json.dumps(line("ready", 9, bearer=100)),
                "rubbish",
                "[" * 10_000,
                json.dumps({"event": "client_observed", "client": 1}),
                json.dumps({"event": "request_refused"}),
                json.dumps(logged),
                "x" * 100_000,
            ]
        )
    )
    second.write_text(
        "\n".join(
            json.dumps(entry)
            for entry in [
                line("ready", 1, ok=1),
                line("\x1b[2Jevil", 8, bearer=100, ok=1),
                line("\x1b[2Jevil", 0, bearer=99, ok=1),
                line("\x1b[2Jevil", 1, bearer=1),
            ]
        )
    )
    shown = run("readiness", str(first), str(second))
    assert shown.exit_code == 0
    header, evil, ready = shown.output.splitlines()
    assert header.split()[:3] == ["CLIENT", "REQUESTS", "CLEAN"]
    assert evil.startswith("\\x1b[2Jevil  101       0.99 %")
    assert evil.endswith("2026-09-21 14:13:20Z bearer  fix: 100 of 101: bearer")
    assert ready.startswith("ready        5000      99.98 %")
    assert ready.endswith("enforce: clean, seen on 2 of 7 days")
    report = json.loads(run("readiness", str(first), str(second), "--json").output)
    assert [(entry["client"], entry["verdict"]) for entry in report] == [
        ("\x1b[2Jevil", "fix"),
        ("ready", "enforce"),
    ]
    strict = run("readiness", str(first), str(second), "--clean", "100")
    assert strict.output.splitlines()[-1].endswith("fix: 1 of 5000: bearer")
    stays = run("readiness", str(first), str(second), "--bearer-stays")
    assert stays.output.count("enforce: clean") == 2


@pytest.mark.parametrize(
    "odd",
    [
        "[1]",
        "7",
        "null",
        '"client_observed"',
        "{}",
        '{"event": ["client_observed"]}',
        '{"event": "client_observed"}',
        '{"event": "client_observed", "fields": [1]}',
        json.dumps({**line("odd", 0, ok=5000), "event": "another"}),
        json.dumps({**line("odd", 0, ok=5000), "first_at": 2**60}),
        json.dumps(line("odd", 0, ok=5000) | {"x": "x" * 70_000}),
    ],
)
def test_lines_of_something_else_are_skipped(tmp_path: Path, odd: str) -> None:
    file = tmp_path / "log"
    file.write_text(f"{odd}\n{json.dumps(line('good', 0, ok=5000))}\n")
    shown = run("readiness", str(file), "--days", "1", "--json")
    assert shown.exit_code == 0, shown.output
    assert [entry["client"] for entry in json.loads(shown.stdout)] == ["good"]


@pytest.mark.parametrize("rest", [0, 1, MAX_LINE, MAX_LINE + 1, 30_000_000])
def test_no_more_of_a_line_is_kept_than_one_can_have(tmp_path: Path, rest: int) -> None:
    good = json.dumps(line("good", 0, ok=5000))
    odd = json.dumps(line("odd", 0, ok=5000))
    file = tmp_path / "log"
    # What follows is a part of the long line, and no line.
    file.write_text(f"{' ' * (MAX_LINE + 1 + rest)}{odd}\n{good}\n")
    tracemalloc.start()
    try:
        shown = run("readiness", str(file), "--json")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [entry["client"] for entry in json.loads(shown.stdout)] == ["good"]
    assert peak < 10_000_000


@pytest.mark.parametrize(
    ("days_ago", "arguments", "verdict"),
    [
        (1, (), "wait: observed for 1 of 7 days"),
        (1, ("--days", "2"), "wait: observed for 1 of 2 days"),
        (8, (), "wait: 0 of 100 requests"),
    ],
)
def test_the_options_say_for_how_long_and_how_many(
    tmp_path: Path, days_ago: int, arguments: tuple[str, ...], verdict: str
) -> None:
    file = tmp_path / "log"
    file.write_text(json.dumps(line("c", days_ago, ok=5000)))
    shown = run("readiness", str(file), *arguments).stdout.splitlines()[-1]
    assert shown.endswith(verdict)
    client, total, clean = shown.split()[:3]
    assert (client, total) == ("c", "5000" if days_ago == 1 else "0")
    assert clean == ("100.00" if days_ago == 1 else "-")


def test_the_number_of_requests_is_that_of_the_days_that_count(tmp_path: Path) -> None:
    file = tmp_path / "log"
    lines = (line("c", 8, ok=1), line("c", 0, ok=5000))
    file.write_text("\n".join(map(json.dumps, lines)))
    shown = run("readiness", str(file), "--requests", "5001")
    assert shown.stdout.endswith("wait: 5000 of 5001 requests\n")


def test_without_observations_there_is_no_client(tmp_path: Path) -> None:
    file = tmp_path / "empty"
    file.touch()
    empty = run("readiness", str(file))
    assert (empty.exit_code, len(empty.stdout.splitlines())) == (0, 1)
    assert "no event client_observed" in empty.stderr
    assert run("readiness", str(tmp_path / "none")).exit_code == 2
