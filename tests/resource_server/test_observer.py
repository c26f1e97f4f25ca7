"""What is counted while proofs are observed, and what it says about a client."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from dpop_ext.core.confirmation import AccessToken
from dpop_ext.errors import StoreError
from dpop_ext.resource_server.claims import MAX_TEXT
from dpop_ext.resource_server.observer import UNKNOWN, Observer
from dpop_ext.resource_server.readiness import Criteria, Readiness, judge
from dpop_ext.resource_server.tally import OTHERS, Tally
from tests.cli.conftest import run
from tests.conftest import Clock

DAY = 86_400


def lines(file: Path) -> list[Tally]:
    return [
        Tally.from_json(json.loads(line))
        for line in file.read_text().splitlines()
        if line
    ]


def counts(tallies: list[Tally]) -> dict[str, dict[str, int]]:
    return {tally.client: tally.reasons for tally in tallies}


def test_requests_are_counted_by_client_and_reason(clock: Clock) -> None:
    observer = Observer(clock=clock)
    for client, reason in [
        ("a", "ok"),
        ("a", "stale_proof"),
        ("b", "bearer"),
        (None, "ok"),
    ]:
        observer.count(client, reason)
        clock.advance(10)
    observer.count("a", "ok")
    (a, b, unknown) = observer.tallies()
    assert a.reasons == {"ok": 2, "stale_proof": 1}
    assert (a.first_at, a.last_at) == (clock.now - 40, clock.now)
    assert (a.last_failure, a.last_failure_at) == ("stale_proof", clock.now - 30)
    assert (b.client, b.reasons, b.last_failure) == ("b", {"bearer": 1}, "bearer")
    assert unknown.client == UNKNOWN
    assert (unknown.last_failure, unknown.last_failure_at) == (None, None)


def test_more_clients_than_there_is_room_for_are_counted_together(clock: Clock) -> None:
    observer = Observer(max_clients=2, clock=clock)
    for _ in range(2):
        for client in ("a", "b", "c", "d"):
            observer.count(client, "ok")
        observer.flush()
    assert counts(observer.tallies()) == {
        "a": {"ok": 2},
        "b": {"ok": 2},
        OTHERS: {"ok": 4},
    }


def test_no_client_is_counted_by_the_name_of_another(clock: Clock) -> None:
    """Names may be URLs that clients choose, and they are enforced as they are."""
    observer = Observer(clock=clock)
    name = "https://client.example/" + "a" * (MAX_TEXT - 23)
    for client in (name, name[:-1], name[:200], name + "a", name + "b"):
        observer.count(client, "ok")
    assert counts(observer.tallies()) == {
        name: {"ok": 1},
        name[:-1]: {"ok": 1},
        name[:200]: {"ok": 1},
        OTHERS: {"ok": 2},
    }


def test_processes_share_a_file_of_lines(clock: Clock, tmp_path: Path) -> None:
    file = tmp_path / "observed.jsonl"
    first, second = (Observer(file=file, clock=clock) for _ in range(2))
    first.count("a", "ok")
    second.count("a", "bearer")
    assert not file.exists()
    clock.advance(60)
    for observer in (first, second):
        observer.count("a", "ok")
    assert [tally.reasons for tally in lines(file)] == [
        {"ok": 2},
        {"bearer": 1, "ok": 1},
    ]
    assert file.stat().st_mode & 0o777 == 0o600
    # Each request is in one line, also when there is none left to be counted.
    first.flush()
    first.count("a\n", "ok")
    first.flush()
    assert [tally.client for tally in lines(file)] == ["a", "a", "a\n"]
    assert counts(first.tallies()) == {"a": {"ok": 2}, "a\n": {"ok": 1}}


def test_a_clock_that_is_set_back_does_not_stop_the_lines(
    clock: Clock, tmp_path: Path
) -> None:
    file = tmp_path / "observed.jsonl"
    observer = Observer(file=file, clock=clock)
    clock.advance(-100_000)
    observer.count("a", "ok")
    assert len(lines(file)) == 1


def test_a_file_that_cannot_be_written_stops_no_request(
    clock: Clock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    observer = Observer(file=tmp_path / "no" / "file", clock=clock, interval=0)
    observer.count("a", "bearer")
    assert vars(caplog.records[-1])["event"] == "observations_not_kept"
    assert counts(observer.tallies()) == {"a": {"bearer": 1}}
    # What they said is no lost evidence once there is room again.
    (tmp_path / "no").mkdir()
    observer.count("a", "ok")
    (line,) = lines(tmp_path / "no" / "file")
    assert line.reasons == {"bearer": 1, "ok": 1}
    assert counts(observer.tallies()) == {"a": {"bearer": 1, "ok": 1}}


def test_a_pipe_is_no_file_and_holds_up_no_request(
    clock: Clock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "pipe"
    observer = Observer(file=file, clock=clock)
    os.mkfifo(file)
    with pytest.raises(ValueError, match="regular file"):
        Observer(file=file, clock=clock)
    observer.count("a", "ok")
    observer.flush()
    reader = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
    try:
        observer.flush()
        assert os.read(reader, 1) == b""
    finally:
        os.close(reader)
    assert caplog.text.count("are not in the file yet") == 2
    file.unlink()
    observer.flush()
    assert [tally.client for tally in lines(file)] == ["a"]


def test_a_line_that_a_full_disk_cut_spoils_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, write = tmp_path / "observed.jsonl", os.write
    first, second = (Observer(file=file) for _ in range(2))
    for client in ("a", "b"):
        first.count(client, "bearer")
    second.count("a", "ok")
    room = iter([10_000, 20])
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[: next(room)]))
    first.flush()
    monkeypatch.undo()
    for observer in (second, first):
        observer.flush()
    report = json.loads(run("readiness", str(file), "--json").output)
    found = {entry["client"]: entry["requests"] for entry in report}
    assert found == {"a": {"bearer": 1, "ok": 1}, "b": {"bearer": 1}}


@pytest.mark.requirement("P-3")
def test_whether_proofs_are_demanded_cannot_be_told_without_the_table() -> None:
    def broken(token: AccessToken) -> bool:
        raise OSError("no connection")

    token = AccessToken(
        issuer=None,
        audience=(),
        client_id="a",
        expires_at=None,
        token_id=None,
        confirmation=None,
        scope="",
        claims={},
    )
    with pytest.raises(StoreError):
        Observer(enforce=broken).enforces(token)
    assert Observer(enforce="a").enforces(token)
    assert not Observer(enforce="ab").enforces(token)


def test_without_a_file_there_are_log_events(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    observer = Observer(clock=clock)
    observer.count("a\n", "key_mismatch")
    with caplog.at_level(logging.INFO, "dpop_ext"):
        observer.flush()
    record = caplog.records[-1]
    assert vars(record)["event"] == "client_observed"
    assert record.getMessage() == "observed: client='a\\n' requests=1 clean=0"
    assert Tally.from_json(vars(record)["fields"]).reasons == {"key_mismatch": 1}


def test_no_failure_is_lost_among_many_reasons() -> None:
    added = Tally(client="a")
    for number in range(100):
        added.count(f"reason-{number}", now=1)
    assert len(added.reasons) == 65
    assert sum(added.reasons.values()) == 100
    assert added.reasons["reason-0"] == 1


# --- the report

NOW = 1_790_000_000


def tally(client: str = "a", *, days_ago: float = 0, **reasons: int) -> Tally:
    at = int(NOW - days_ago * DAY)
    return Tally(client=client, reasons=reasons, first_at=at, last_at=at)


def one(*tallies: Tally, **criteria: Any) -> Readiness:
    (found,) = judge(tallies, criteria=Criteria(**criteria), now=NOW)
    return found


LONG_AGO, YESTERDAY = tally(days_ago=8, ok=1), tally(days_ago=1, ok=1)


@pytest.mark.parametrize(
    ("tallies", "criteria", "verdict", "because"),
    [
        (
            [LONG_AGO, YESTERDAY, tally(ok=998, bearer=1)],
            {},
            "enforce",
            "clean, seen on 2 of 7 days",
        ),
        ([LONG_AGO, tally(ok=998, bearer=2)], {}, "fix", "2 of 1000: bearer"),
        (
            [LONG_AGO, YESTERDAY, tally(ok=998, bearer=2)],
            {"bearer_stays": True},
            "enforce",
            None,
        ),
        (
            [LONG_AGO, tally(ok=9, stale_proof=3, key_mismatch=4)],
            {},
            "fix",
            "4 of 16: key_mismatch",
        ),
        # What is older does not count, nor what is no fault of the client.
        (
            [tally(days_ago=8, bearer=999), YESTERDAY, tally(ok=100)],
            {},
            "enforce",
            None,
        ),
        (
            [LONG_AGO, YESTERDAY, tally(ok=100, store_unavailable=50)],
            {},
            "enforce",
            None,
        ),
        # One run of a test says little, whenever the client was seen first.
        ([LONG_AGO, tally(ok=999)], {}, "wait", "seen on 1 day only"),
        ([tally(ok=999, days_ago=1)], {"days": 1}, "enforce", None),
        ([LONG_AGO, tally(ok=99)], {}, "wait", "99 of 100 requests"),
        ([LONG_AGO], {}, "wait", "0 of 100 requests"),
        ([tally(ok=999, days_ago=6.9)], {}, "wait", "observed for 6 of 7 days"),
        (
            [tally(ok=999, days_ago=2), tally(ok=1)],
            {"days": 2},
            "enforce",
            "clean, seen on 2 of 2 days",
        ),
        ([tally("(others)", ok=999, days_ago=7)], {}, "wait", "not one client"),
        (
            [LONG_AGO, tally(use_dpop_nonce=100)],
            {},
            "fix",
            "100 of 100: use_dpop_nonce",
        ),
    ],
)
def test_a_client_is_ready_when_what_it_sent_for_days_would_be_served(
    tallies: list[Tally], criteria: Any, verdict: str, because: str | None
) -> None:
    found = one(*tallies, **criteria)
    assert found.verdict == verdict
    assert because in {None, found.because}


def test_nobody_is_ready_while_failures_are_counted_without_a_name() -> None:
    """They may be anybody's: whoever floods the table hides them."""
    ready = [LONG_AGO, YESTERDAY, tally(ok=999)]
    for others, verdict in [
        (tally(OTHERS, ok=5, store_unavailable=1), "enforce"),
        (tally(OTHERS, bearer=1), "wait"),
        (tally(OTHERS, bearer=1, days_ago=8), "enforce"),
        (tally(UNKNOWN, bearer=1), "enforce"),
    ]:
        _, found = judge([*ready, others], criteria=Criteria(), now=NOW)
        assert (found.tally.client, found.verdict) == ("a", verdict)
    _, found = judge([*ready, tally(OTHERS, bearer=1)], criteria=Criteria(), now=NOW)
    assert found.because == "1 failure of clients that were not told apart"


def test_a_line_that_is_no_count_is_an_error() -> None:
    good = tally(ok=1).to_json()
    assert Tally.from_json(good) == tally(ok=1)
    for name, value in [
        ("client", 1),
        ("requests", []),
        ("requests", {"ok": -1}),
        ("requests", {"ok": True}),
        ("requests", {"ok": 1e9}),
        ("first_at", None),
        ("last_at", "x"),
        ("last_failure_at", 1.5),
        ("last_failure", []),
    ]:
        with pytest.raises(ValueError, match="no count"):
            Tally.from_json({**good, name: value})
