"""What a resource server remembers of the keyrings that it has seen."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dpop_ext.symmetric.keyring_floor import (
    MAX_REVOKED,
    KeyringError,
    KeyringFloor,
    parse_floor,
)


def raised(floor: KeyringFloor, **changes: Any) -> KeyringFloor:
    values: dict[str, Any] = {
        "epoch": 1,
        "sequence": floor.sequence + 1,
        "content": "ab",
        "min_live": 1,
        "revoked": (),
    }
    return floor.raised(**(values | changes))


@pytest.mark.requirement("R1701")
def test_a_version_that_was_revoked_does_not_come_back() -> None:
    floor = raised(KeyringFloor(), min_live=5, revoked=[4, 5, 6])
    # The lowest that is live may be one that is revoked.
    assert (floor.min_live, floor.revoked) == (5, frozenset({5, 6}))
    # Nor is it forgotten by a keyring that says less.
    later = raised(floor, min_live=3, revoked=[8])
    assert (later.min_live, later.revoked) == (5, frozenset({5, 6, 8}))
    assert raised(later, min_live=8).revoked == {8}


def test_the_longest_list_of_revoked_versions_is_read_again() -> None:
    longest = range(1, MAX_REVOKED + 1)
    floor = raised(KeyringFloor(), revoked=longest)
    assert len(floor.revoked) == MAX_REVOKED
    assert parse_floor(floor.dump()) == floor
    with pytest.raises(KeyringError, match="too many"):
        raised(floor, revoked=[MAX_REVOKED + 1])


@pytest.mark.requirement("R1701")
def test_a_keyring_that_is_older_is_refused() -> None:
    floor = raised(KeyringFloor(), epoch=2, sequence=7)
    floor.check(epoch=2, sequence=7, content="ab")
    floor.check(epoch=2, sequence=8, content="cd")
    floor.check(epoch=3, sequence=1, content="cd")
    for epoch, sequence, content in ((2, 6, "ab"), (1, 9, "cd"), (2, 7, "cd")):
        with pytest.raises(KeyringError):
            floor.check(epoch=epoch, sequence=sequence, content=content)


def test_numbers_are_read_up_to_the_largest_that_is_exact() -> None:
    floor = raised(
        KeyringFloor(), sequence=2**53 - 1, min_live=1, revoked=[1, 2**53 - 1]
    )
    assert parse_floor(floor.dump()) == floor
    for damaged in (b"[]", b"{", b"7"):
        with pytest.raises(KeyringError, match="malformed"):
            parse_floor(damaged)


@pytest.mark.parametrize(
    "changes",
    [
        {"epoch": -1},
        {"seq": True},
        {"seq": 2**53},
        {"content": None},
        {"min_live": 0},
        {"revoked": [0]},
        {"revoked": [1.0]},
        {"revoked": {}},
        {"revoked": list(range(1, MAX_REVOKED + 2))},
    ],
    ids=lambda changes: str(changes)[:30],
)
def test_a_floor_that_is_damaged_is_none(changes: dict[str, Any]) -> None:
    values = json.loads(raised(KeyringFloor()).dump())
    assert parse_floor(json.dumps(values).encode()).epoch == 1
    with pytest.raises(KeyringError):
        parse_floor(json.dumps(values | changes).encode())
    for name in changes:
        del values[name]
    with pytest.raises(KeyringError):
        parse_floor(json.dumps(values).encode())
