"""When versions of a derivation secret begin and end."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from dpop_ext.symmetric.rotation import (
    RotationError,
    advanced,
    changes_ahead,
    following_times,
    promoted,
    retired,
    revoked,
    states,
    successor_due,
    successor_times,
)
from dpop_ext.symmetric.rotation_plan import MAX_LIVE, RotationPlan
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.secret_ring import AudienceSecret

NOW = 1_790_000_000
PLAN = RotationPlan()
P = PLAN.active_period


def version(number: int, not_before: int, **changes: Any) -> AudienceSecret:
    """A version that begins at this time, stored as pending."""
    values: dict[str, Any] = {
        "version": number,
        "state": "pending",
        "not_before": not_before,
        "expires_at": not_before + P + PLAN.verify_period,
        "secret": SecretBytes(os.urandom(32)),
        **changes,
    }
    if values["state"] in ("retired", "revoked"):
        values["secret"] = None
    return AudienceSecret(**values)


def seen(entries: list[AudienceSecret]) -> list[tuple[int, str]]:
    return [(entry.version, entry.state) for entry in entries]


@pytest.mark.requirement("R1703", "R2081")
def test_pending_is_two_polls_a_minute_and_the_time_of_a_poll() -> None:
    assert RotationPlan(poll=300, fetch_timeout=10).pending_period == 2 * 330 + 60 + 10
    assert RotationPlan(poll=30, fetch_timeout=5).pending_period == 2 * 33 + 60 + 5


def test_the_longest_token_ends_before_its_version() -> None:
    assert RotationPlan(token_lifetime=300).verify_period == 300 + 120


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ({"poll": 29}, "poll is from 30 to 600"),
        ({"poll": 601}, "poll is from 30 to 600"),
        ({"fetch_timeout": 0}, "fetch_timeout is from 1 to 60"),
        ({"token_lifetime": 0}, "token_lifetime is from 1 to 86400"),
        ({"token_lifetime": 86_401}, "token_lifetime is from 1 to 86400"),
        ({"active_period": 359}, "active_period is from 360 to 259200"),
        ({"active_period": 259_201}, "active_period is from 360 to 259200"),
        ({"pending_period": 729}, "pending_period must be 730 seconds or more"),
        ({"verify_period": 719}, "verify_period must be 720 seconds or more"),
        ({"active_period": 724}, "active_period must be 725 seconds or more"),
    ],
)
def test_numbers_that_do_not_fit_are_refused_with_those_that_do(
    numbers: dict[str, int], text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        RotationPlan(**numbers)


def test_numbers_that_just_fit_are_accepted() -> None:
    assert RotationPlan(active_period=725).active_period == 725
    plan = RotationPlan(poll=600, active_period=86_400, pending_period=86_400)
    assert plan.pending_period == 86_400


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (-1, [(1, "active"), (2, "pending")]),
        (0, [(1, "verify_only"), (2, "active")]),
        (PLAN.verify_period - 1, [(1, "verify_only"), (2, "active")]),
        (PLAN.verify_period, [(1, "retired"), (2, "active")]),
        (P + PLAN.verify_period, [(1, "retired"), (2, "retired")]),
    ],
)
def test_states_follow_from_the_time(
    after: int, expected: list[tuple[int, str]]
) -> None:
    entries = [version(1, NOW - P), version(2, NOW)]
    now = states(entries, now=NOW + after)
    assert seen(now) == expected
    assert [e.secret is None for e in now] == [e.state == "retired" for e in now]
    assert [e.expires_at for e in now] == [e.expires_at for e in entries]


def test_a_server_whose_clock_is_behind_issues_with_the_older_version() -> None:
    stored = advanced([version(1, NOW - P), version(2, NOW)], now=NOW)
    assert seen(stored) == [(1, "verify_only"), (2, "active")]
    assert seen(states(stored, now=NOW - 5)) == [(1, "active"), (2, "pending")]


def test_what_is_stored_never_goes_back() -> None:
    stored = advanced([version(1, NOW - P), version(2, NOW)], now=NOW)
    assert advanced(stored, now=NOW - 5) == stored
    assert advanced(stored, now=NOW) == stored


def test_a_version_before_does_not_become_active_again() -> None:
    entries = [version(1, NOW - 10), version(2, NOW)]
    entries[1] = revoked(entries, 2, now=NOW + 1)
    assert seen(states(entries, now=NOW + 1)) == [(1, "verify_only"), (2, "revoked")]


def test_one_that_was_revoked_while_pending_takes_nobodys_turn() -> None:
    entries = [version(1, NOW - P), version(2, NOW)]
    entries[1] = revoked(entries, 2, now=NOW - 1)
    assert seen(states(entries, now=NOW + 1)) == [(1, "active"), (2, "revoked")]


def simulate(plan: RotationPlan, *, until: int, step: int) -> list[list[Any]]:
    """What is stored over the time, if somebody looks every *step* seconds."""
    entries: list[AudienceSecret] = []
    history = []
    for now in range(NOW, NOW + until, step):
        entries = advanced(entries, now=now)
        if successor_due(entries, plan, now=now) <= now:
            not_before, expires_at = following_times(entries, plan, now=now)
            number = len(entries) + 1
            entries.append(version(number, not_before, expires_at=expires_at))
        history.append([now, states(entries, now=now)])
    return history


@pytest.mark.requirement("R1703", "R2081", "R2082", "R2083")
@pytest.mark.parametrize(
    "plan",
    [
        RotationPlan(),
        RotationPlan(poll=30, active_period=360, token_lifetime=300),
        RotationPlan(active_period=725),
        RotationPlan(active_period=7200, pending_period=7200),
    ],
)
def test_there_is_always_one_active_version_and_never_more_than_three(
    plan: RotationPlan,
) -> None:
    history = simulate(plan, until=6 * plan.active_period, step=7)
    made = {
        entry.version: now for now, entries in reversed(history) for entry in entries
    }
    assert len(made) >= 6
    begun = NOW + plan.least_pending + 7
    for now, entries in history:
        assert sum(entry.is_usable(now=now) for entry in entries) <= MAX_LIVE
        active = [entry for entry in entries if entry.state == "active"]
        assert len(active) == (now >= begun) or now < begun
        for entry in active:
            pending = plan.least_pending if entry.version == 1 else plan.pending_period
            assert now - made[entry.version] >= pending
            # A token that is made now can be used for all of its life.
            assert entry.expires_at - now > plan.token_lifetime


def test_nobody_looked_for_days_and_the_next_version_is_pending_first() -> None:
    entries = [version(1, NOW - 5 * P)]
    assert successor_due(entries, PLAN, now=NOW) <= NOW
    not_before, expires_at = following_times(entries, PLAN, now=NOW)
    assert not_before == NOW + PLAN.pending_period
    assert expires_at == not_before + P + PLAN.verify_period


def test_an_operator_rotates_before_it_is_due() -> None:
    entries = [version(1, NOW - 100)]
    not_before, expires_at = successor_times(entries, PLAN, now=NOW)
    assert not_before == NOW + PLAN.pending_period
    assert expires_at == not_before + P + PLAN.verify_period
    entries.append(version(2, not_before))
    assert successor_due(entries, PLAN, now=NOW) > not_before


def test_a_rotation_is_refused_while_one_is_pending() -> None:
    entries = [version(1, NOW - 100), version(2, NOW + 50)]
    with pytest.raises(RotationError, match=r"version 2 is pending already.* 50 sec"):
        successor_times(entries, PLAN, now=NOW)


def test_a_rotation_is_refused_while_three_are_live() -> None:
    entries = [version(n, NOW - 1000 + n) for n in (1, 2, 3)]
    wait = entries[0].expires_at - NOW
    with pytest.raises(RotationError, match=f"version 1 ends in {wait} seconds"):
        successor_times(entries, PLAN, now=NOW)
    assert successor_due(entries, PLAN, now=NOW) >= entries[0].expires_at
    entries[0] = revoked(entries, 1, now=NOW)
    successor_times(entries, PLAN, now=NOW)


def test_after_the_active_version_was_revoked_the_next_is_due_at_once() -> None:
    entries = [version(1, NOW - P), version(2, NOW - 10)]
    entries[1] = revoked(entries, 2, now=NOW)
    assert successor_due(entries, PLAN, now=NOW) <= NOW
    assert following_times(entries, PLAN, now=NOW)[0] == NOW + PLAN.pending_period


STANDBY = RotationPlan(active_period=7200, pending_period=7200)


@pytest.mark.parametrize(
    ("published", "begins", "state"),
    [
        (NOW - STANDBY.least_pending, NOW, "active"),
        (NOW - STANDBY.least_pending - 500, NOW, "active"),
        (NOW - STANDBY.least_pending + 9, NOW + 9, "pending"),
    ],
)
@pytest.mark.requirement("R1703", "R2085")
def test_a_pending_version_takes_over_from_one_that_is_revoked(
    published: int, begins: int, state: str
) -> None:
    entries = [version(1, NOW - 500), version(2, NOW + 6000)]
    seen_at = {1: NOW - 9000, 2: published}
    assert promoted(entries, STANDBY, published=seen_at, now=NOW) is None
    entries[0] = revoked(entries, 1, now=NOW)
    standby = promoted(entries, STANDBY, published=seen_at, now=NOW)
    assert standby is not None
    assert (standby.not_before, standby.state) == (begins, state)
    assert standby.expires_at == entries[1].expires_at
    assert standby.secret == entries[1].secret


def test_a_pending_version_does_not_begin_later_than_it_was_to() -> None:
    entries = [version(1, NOW - 500), version(2, NOW + 5)]
    entries[0] = revoked(entries, 1, now=NOW)
    seen_at = {1: NOW - 9000, 2: NOW}
    assert promoted(entries, STANDBY, published=seen_at, now=NOW) is None


def test_revoking_ends_a_version_in_any_state_but_not_twice() -> None:
    entries = [version(1, NOW - P), version(2, NOW - 10), version(3, NOW + 500)]
    for number in (1, 2, 3):
        ended = revoked(entries, number, now=NOW)
        assert (ended.state, ended.secret) == ("revoked", None)
        after = [ended if e.version == number else e for e in entries]
        with pytest.raises(RotationError, match=f"version {number} is revoked already"):
            revoked(after, number, now=NOW)
    with pytest.raises(RotationError, match="there is no version 4"):
        revoked(entries, 4, now=NOW)


def test_a_version_is_retired_once_no_token_can_need_it() -> None:
    entries = [version(1, NOW - 5000), version(2, NOW)]
    wait = PLAN.verify_period
    with pytest.raises(RotationError, match=f"another {wait - 1} seconds"):
        retired(entries, 1, PLAN, now=NOW + 1)
    ended = retired(entries, 1, PLAN, now=NOW + wait)
    assert (ended.state, ended.secret) == ("retired", None)


def test_neither_the_active_nor_a_pending_version_is_retired() -> None:
    entries = [version(1, NOW - 5000), version(2, NOW + 10)]
    for number, state in (1, "active"), (2, "pending"):
        with pytest.raises(RotationError, match=f"version {number} is {state}: rotate"):
            retired(entries, number, PLAN, now=NOW)


def test_what_happens_next_is_known() -> None:
    entries = states([version(1, NOW - P + 100), version(2, NOW + 100)], now=NOW)
    ahead = [
        (c.version, c.state, c.at - NOW) for c in changes_ahead(entries, PLAN, now=NOW)
    ]
    assert ahead == [
        (1, "verify_only", 100),
        (2, "active", 100),
        (None, "pending", 100 + P - PLAN.pending_period),
    ]
    later = states(entries, now=NOW + 100)
    found = changes_ahead(later, PLAN, now=NOW + 100)
    assert [(c.version, c.state) for c in found] == [
        (1, "retired"),
        (None, "pending"),
        (2, "verify_only"),
    ]


def test_an_active_version_whose_successor_would_come_too_late_just_ends() -> None:
    entries = states([version(1, NOW - P - PLAN.verify_period + 60)], now=NOW)
    (change, _) = sorted(
        changes_ahead(entries, PLAN, now=NOW), key=lambda c: c.version is None
    )
    assert (change.state, change.at - NOW) == ("retired", 60)


def test_the_document_for_operators_has_the_numbers_of_the_plan() -> None:
    text = (Path(__file__).parents[2] / "docs" / "rotation.md").read_text("utf-8")
    plan = RotationPlan(poll=300, token_lifetime=600)
    assert "RotationPlan(poll=300, token_lifetime=600)" in text
    assert f"{plan.poll + plan.poll // 10} s with `poll=300`" in text
    assert f"has been pending, {plan.least_pending} s\n" in text
