"""Thousands of proofs and of replays, to six processes behind a proxy."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from tests.load import topology
from tests.load.traffic import KINDS, Traffic

#: So many distinct proofs, each sent so many times at once.
PROOFS = 3_000
COPIES = 3
#: Seconds that this may take at most.
LIMIT = 300
#: Kilobytes by which a worker process may grow while these proofs are remembered.
MAX_GROWTH = 65_536


@pytest.mark.requirement("T9", "X-15", "W-4")
def test_each_of_thousands_of_proofs_is_accepted_exactly_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with topology.running(tmp_path) as servers:
        traffic = Traffic(servers, each=3, copies=COPIES)
        started = time.monotonic()
        traffic.start()
        warm = threading.Event()
        while traffic.tally.accepted < PROOFS // 4:
            assert time.monotonic() - started < LIMIT
            warm.wait(0.1)
        before = servers.memory()
        while traffic.tally.accepted < PROOFS:
            assert time.monotonic() - started < LIMIT
            warm.wait(0.1)
        after = servers.memory()
        tally = traffic.stop()
        seconds = time.monotonic() - started
        roles = sorted(servers.workers().values())
    assert roles == ["as"] * topology.AS_WORKERS + ["rs"] * topology.RS_WORKERS
    with capsys.disabled():
        print(  # noqa: T201
            f"\n{tally.accepted} distinct proofs in {seconds:.0f} s, "
            f"{dict(tally.kinds)}; {tally.replays_refused} replays refused; "
            f"memory of the workers {min(after.values()) // 1024} to "
            f"{max(after.values()) // 1024} MiB"
        )
    assert tally.faults == []
    assert set(tally.statuses) <= {200, 400, 401}
    assert tally.replays_refused >= PROOFS
    for kind in KINDS:
        assert tally.kinds[kind] > 50, tally.kinds
    assert set(before) == set(after), "a worker was replaced"
    for pid, size in after.items():
        assert size - before[pid] < MAX_GROWTH
    for log in tmp_path.glob("?s.log"):
        assert "Traceback" not in log.read_text()
