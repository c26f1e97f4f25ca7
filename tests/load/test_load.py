"""Thousands of proofs and of replays, to six processes behind a proxy."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.load import topology
from tests.load.traffic import KINDS, Traffic
from tests.patience import PATIENCE

#: So many distinct proofs, each sent so many times at once.
PROOFS = 3_000
COPIES = 3
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
        wait_for(traffic, PROOFS // 4)
        before = servers.memory()
        wait_for(traffic, PROOFS)
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


def wait_for(traffic: Traffic, proofs: int) -> None:
    """Wait until so many are accepted, for as long as there are more and more."""
    accepted, since = -1, 0.0
    while traffic.tally.accepted < proofs:
        assert traffic.is_running, traffic.tally.faults
        now = time.monotonic()
        if traffic.tally.accepted > accepted:
            accepted, since = traffic.tally.accepted, now
        assert now - since < PATIENCE, "no proof is accepted any more"
        time.sleep(0.1)
