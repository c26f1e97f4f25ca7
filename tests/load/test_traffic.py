"""The load would notice what it is there to notice."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from requests import Response

from tests.load import soak
from tests.load.traffic import KINDS, Tally

URL = "http://rs.example/"


def answer(status: int, **body: Any) -> Response:
    response = Response()
    response.status_code = status
    response._content = json.dumps(body).encode()
    return response


GOOD = answer(200, proof="asymmetric")
REPLAY = answer(401, error="invalid_dpop_proof")
CHALLENGE = answer(401, error="use_dpop_nonce")


def test_one_success_and_replays_are_what_should_be() -> None:
    tally = Tally()
    assert tally.judge(URL, [REPLAY, GOOD, CHALLENGE]) is GOOD
    assert tally.judge(URL, [CHALLENGE, CHALLENGE]) is CHALLENGE
    assert (tally.accepted, tally.replays_refused, tally.challenged) == (1, 1, 1)
    assert tally.statuses == Counter({200: 1, 401: 4})
    tally.judge(URL, [answer(200, proof="symmetric")], mode="symmetric")
    tally.judge(URL, [answer(200, proof="symmetric")], mode="ticket")
    tally.judge(URL, [answer(200, token_type="DPoP")], mode="ticket")
    assert tally.kinds == Counter(dict.fromkeys(KINDS, 1))
    assert tally.faults == []


@pytest.mark.parametrize(
    "answers",
    [
        [GOOD, GOOD, REPLAY],
        [REPLAY, REPLAY, REPLAY],
        [GOOD, REPLAY, answer(503, error="temporarily_unavailable")],
        [GOOD, REPLAY, answer(500)],
        [GOOD, REPLAY, answer(401, error="invalid_token")],
        [CHALLENGE, answer(502)],
    ],
)
def test_anything_else_is_a_fault(answers: list[Response]) -> None:
    tally = Tally()
    tally.judge(URL, answers)
    assert tally.faults


class Fleet:
    """Processes whose memory is what the test says."""

    def __init__(self, kilobytes: int) -> None:
        self.kilobytes = kilobytes
        self.pids = dict(enumerate(["as"] * 2 + ["rs"] * 4))

    def workers(self) -> dict[int, str]:
        return self.pids

    def memory(self) -> dict[int, int]:
        return dict.fromkeys(self.pids, self.kilobytes)


def observed(sizes: list[int], *, replaced: bool = False) -> soak.Memory:
    fleet: Any = Fleet(0)
    memory = soak.Memory(fleet)
    for number, size in enumerate(sizes):
        fleet.kilobytes = size * 1024
        assert memory.look(number * soak.LOOK_EVERY)
        assert not memory.look(number * soak.LOOK_EVERY)
    if replaced:
        fleet.pids = {**fleet.pids, 9: "rs"}
        memory.look(len(sizes) * soak.LOOK_EVERY)
    return memory


def test_a_soak_notices_memory_that_grows_and_workers_that_end() -> None:
    limit = soak.MAX_GROWTH
    tally = Tally()
    assert soak.faults(tally, observed([90])) == ["a kind of proof was not sent"]
    tally.kinds.update(KINDS)
    assert soak.faults(tally, observed([10, 90, 91, 92])) == []
    (grown,) = soak.faults(tally, observed([10, 90, 91, 91 + limit]))
    assert "grew" in grown
    (ended,) = soak.faults(tally, observed([90, 90], replaced=True))
    assert "replaced" in ended


def test_the_result_takes_the_place_of_the_last_one(tmp_path: Path) -> None:
    path = tmp_path / "operations.md"
    path.write_text(f"before\n{soak.BEGIN}\nold\n{soak.END}\nafter\n")
    tally = Tally()
    tally.judge(URL, [GOOD, REPLAY])
    rotation = soak.Rotation("nonce secrets", 1, lambda: True, count=7)
    result = soak.describe(tally, [rotation], observed([50, 60]), seconds=600)
    soak.write(result, path)
    text = path.read_text()
    assert text.startswith(f"before\n{soak.BEGIN}\n")
    assert text.endswith(f"{soak.END}\nafter\n")
    assert "old" not in text
    assert "2 requests" in text
    assert "nonce secrets (7)" in text
    assert "10 minutes" in text
