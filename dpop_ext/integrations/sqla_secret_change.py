"""One change of the derivation secrets of an audience, in one transaction.

DPoP Symmetric Profile 1.0. What the time asks for is done along with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from dpop_ext.integrations.sqla_secret_rows import SecretRows
from dpop_ext.symmetric import rotation
from dpop_ext.symmetric.rotation_plan import RotationPlan
from dpop_ext.symmetric.secret_ring import AudienceSecret, SecretRing

#: Returns a version as it is to be, from all of them, their plan and the time.
Change = Callable[[Sequence[AudienceSecret], RotationPlan, int], AudienceSecret]


def write_change(
    rows: SecretRows,
    change: Change | None,
    *,
    audience: str,
    plan: RotationPlan,
    ring: SecretRing,
    sequences: Mapping[int, int],
    rotate: bool,
    at_once: bool,
    now: int,
) -> tuple[AudienceSecret | None, dict[int, int]]:
    """Do what is due, and *change*.

    :param change: of one version; None does only what is due.
    :param ring: the versions as they are stored.
    :param sequences: their numbers.
    :param rotate: make a version, although none is due.
    :param at_once: the first version is active, and not pending.
    :param now: seconds since the epoch.
    :returns: the version that was made, if any, and the numbers of those that were
        written.
    :raises RotationError: what is asked for must not be done now.
    :raises ChangedMeanwhileError: another server changed the same rows first.
    """
    before = list(ring)
    written: dict[int, int] = {}
    after = {e.version: e for e in rotation.advanced(before, now=now)}
    if change is not None:
        changed = change(list(after.values()), plan, now)
        after[changed.version] = changed
    # The number of a row is never less than the time at which it was written.
    standby = rotation.promoted(
        list(after.values()), plan, published=sequences, now=now
    )
    if standby is not None:
        after[standby.version] = standby
    entries = list(after.values())
    times = None
    if not entries and at_once:
        times = (now, now + plan.active_period + plan.verify_period)
    elif rotate:
        times = rotation.successor_times(entries, plan, now=now)
    elif rotation.successor_due(entries, plan, now=now) <= now:
        times = rotation.following_times(entries, plan, now=now)

    sequence = max([now, *(number + 1 for number in sequences.values())])
    for entry, earlier in zip(entries, before, strict=True):
        if entry != earlier:
            replaces = sequences[entry.version]
            rows.write(audience, entry, sequence=sequence, replaces=replaces)
            written[entry.version] = sequence
            sequence += 1
    made = None
    if times is not None:
        made = rows.add(
            audience,
            version=ring.highest_version + 1,
            times=times,
            sequence=sequence,
            # What an operator does may be about a root that is known.
            root_since=now
            if rotate or change is not None
            else now - plan.active_period,
            now=now,
        )
    rows.erase_unused_roots()
    return made, written
