"""When versions of a derivation secret begin and end (DPoP Symmetric Profile 1.0).

A version is published, as pending, before keys are issued with it; then it is active;
then it is kept until the last token of it has ended. All of it follows from times that
were fixed when it was made: servers that share the secrets need not tell each other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dpop_ext.symmetric.rotation_plan import MAX_LIVE, RotationPlan
from dpop_ext.symmetric.secret_ring import ENDED, AudienceSecret, SecretState

_ORDER: Final = {
    "pending": 0,
    "active": 1,
    "verify_only": 2,
    "retired": 3,
    "revoked": 3,
}


class RotationError(ValueError):
    """A change would break the schedule. The text says when it would not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NextChange:
    """What happens to the secrets of an audience by itself, and when."""

    #: In seconds since the epoch.
    at: int
    #: None for a version that will be made.
    version: int | None
    #: What it becomes.
    state: SecretState


def states(entries: Sequence[AudienceSecret], *, now: int) -> list[AudienceSecret]:
    """Return the versions in the states that they have at *now*.

    Those past their time are retired, and have no secret any more.

    :param entries: all versions, as they were stored at any time before.
    :param now: seconds since the epoch.
    """
    turn = _turn(entries, now=now)
    return [_at(entry, turn, now=now) for entry in entries]


def advanced(entries: Sequence[AudienceSecret], *, now: int) -> list[AudienceSecret]:
    """Return the versions in the states that are to be stored at *now*.

    As :func:`states`, but nothing goes back to an earlier state: the clock of whoever
    stored it may be ahead of ours.
    """
    return [
        later if _ORDER[later.state] > _ORDER[entry.state] else entry
        for entry, later in zip(entries, states(entries, now=now), strict=True)
    ]


def successor_due(
    entries: Sequence[AudienceSecret], plan: RotationPlan, *, now: int
) -> int:
    """Return when the next version is to be made, in seconds since the epoch."""
    last = _last(entries, now=now)
    if last is None:
        return now
    due = last.not_before + plan.active_period - plan.pending_period
    live = _live(entries, now=now)
    if len(live) >= MAX_LIVE:
        due = max(due, min(entry.expires_at for entry in live))
    return due


def following_times(
    entries: Sequence[AudienceSecret], plan: RotationPlan, *, now: int
) -> tuple[int, int]:
    """Return when the version that is due now begins and ends.

    If there is no other, it begins as soon as it may.
    """
    last = _last(entries, now=now)
    not_before = now + plan.least_pending
    if last is not None:
        not_before = now + plan.pending_period
        not_before = max(not_before, last.not_before + plan.active_period)
    return not_before, not_before + plan.active_period + plan.verify_period


def successor_times(
    entries: Sequence[AudienceSecret], plan: RotationPlan, *, now: int
) -> tuple[int, int]:
    """Return when a version that an operator has made now begins and ends.

    :raises RotationError: one is pending, or as many are live as may be.
    """
    live = _live(entries, now=now)
    for entry in live:
        if entry.not_before > now:
            raise RotationError(
                f"version {entry.version} is pending already; it takes over in "
                f"{entry.not_before - now} seconds"
            )
    if len(live) >= MAX_LIVE:
        first = min(live, key=lambda entry: entry.expires_at)
        raise RotationError(
            f"{len(live)} versions are live, and no more may be; version "
            f"{first.version} ends in {first.expires_at - now} seconds: rotate after "
            "that, or revoke one"
        )
    not_before = now + plan.pending_period
    return not_before, not_before + plan.active_period + plan.verify_period


def promoted(
    entries: Sequence[AudienceSecret],
    plan: RotationPlan,
    *,
    published: Mapping[int, int],
    now: int,
) -> AudienceSecret | None:
    """Return the pending version with an earlier beginning, if none is active.

    It ends when it was to end.

    :param published: when each version was, in seconds since the epoch, or later.
    :returns: None if there is nothing to change.
    """
    turn = _turn(entries, now=now)
    pending = [e for e in _live(entries, now=now) if e.not_before > now]
    if not pending or (turn is not None and turn.is_usable(now=now)):
        return None
    first = min(pending, key=lambda entry: entry.not_before)
    begin = max(now, published[first.version] + plan.least_pending)
    if begin >= first.not_before:
        return None
    state: SecretState = "pending" if begin > now else "active"
    return dataclasses.replace(first, not_before=begin, state=state)


def revoked(
    entries: Sequence[AudienceSecret], version: int, *, now: int
) -> AudienceSecret:
    """Return what remains of *version* once it is revoked.

    :raises RotationError: there is no such version, or it has ended.
    """
    entry = _find(entries, version, now=now)
    # One that was pending never had its turn, and must not take it from another.
    begun = entry.not_before if entry.not_before <= now else 0
    return dataclasses.replace(entry, state="revoked", not_before=begun, secret=None)


def retired(
    entries: Sequence[AudienceSecret], version: int, plan: RotationPlan, *, now: int
) -> AudienceSecret:
    """Return what remains of *version* once it is retired.

    :raises RotationError: there is no such version, it has ended, or a token that
        needs it may be good yet.
    """
    entry = _find(entries, version, now=now)
    after = [e.not_before for e in entries if entry.not_before < e.not_before <= now]
    if entry.state != "verify_only" or not after:
        raise RotationError(
            f"version {version} is {entry.state}: rotate first, and retire it when its "
            "tokens have ended; or revoke it"
        )
    wait = min(after) + plan.verify_period - now
    if wait > 0:
        raise RotationError(
            f"tokens that need version {version} may be good for another {wait} "
            "seconds: retire it after that, or revoke it"
        )
    return dataclasses.replace(entry, state="retired", secret=None)


def changes_ahead(
    entries: Sequence[AudienceSecret], plan: RotationPlan, *, now: int
) -> list[NextChange]:
    """Return what will happen if nobody does anything, the earliest first.

    :param entries: as :func:`states` returns them.
    """
    live = _live(entries, now=now)
    starts = [entry.not_before for entry in live if entry.not_before > now]
    takeover = min([*starts, following_times(entries, plan, now=now)[0]])
    due = successor_due(entries, plan, now=now)
    ahead = [NextChange(at=max(due, now), version=None, state="pending")]
    for entry in live:
        at, becomes = _next_state(entry, takeover=takeover)
        ahead.append(NextChange(at=at, version=entry.version, state=becomes))
    return sorted(ahead, key=lambda change: change.at)


def _next_state(entry: AudienceSecret, *, takeover: int) -> tuple[int, SecretState]:
    if entry.state == "pending":
        return entry.not_before, "active"
    if entry.state == "active" and takeover < entry.expires_at:
        return takeover, "verify_only"
    return entry.expires_at, "retired"


def _turn(entries: Sequence[AudienceSecret], *, now: int) -> AudienceSecret | None:
    """Return the version whose turn it is, be it good or not."""
    begun = [entry for entry in entries if entry.not_before <= now]
    return max(begun, key=lambda entry: entry.not_before, default=None)


def _last(entries: Sequence[AudienceSecret], *, now: int) -> AudienceSecret | None:
    """Return the live version that is active, or will be; the last of several."""
    turn = _turn(entries, now=now)
    since = turn.not_before if turn is not None else 0
    coming = [e for e in _live(entries, now=now) if e.not_before >= since]
    return max(coming, key=lambda entry: entry.not_before, default=None)


def _live(entries: Sequence[AudienceSecret], *, now: int) -> list[AudienceSecret]:
    return [entry for entry in entries if entry.is_usable(now=now)]


def _find(
    entries: Sequence[AudienceSecret], version: int, *, now: int
) -> AudienceSecret:
    for entry in states(entries, now=now):
        if entry.version != version:
            continue
        if entry.state in ENDED:
            raise RotationError(f"version {version} is {entry.state} already")
        return entry
    raise RotationError(f"there is no version {version}")


def _at(
    entry: AudienceSecret, turn: AudienceSecret | None, *, now: int
) -> AudienceSecret:
    if entry.state in ENDED:
        return entry
    if now >= entry.expires_at:
        return dataclasses.replace(entry, state="retired", secret=None)
    state: SecretState = "verify_only"
    if entry.not_before > now:
        state = "pending"
    elif turn is not None and entry.version == turn.version:
        state = "active"
    return dataclasses.replace(entry, state=state)
