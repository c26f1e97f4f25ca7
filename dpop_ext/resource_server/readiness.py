"""Whether a client is ready for proofs to be enforced, from what it sent so far."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from dpop_ext.resource_server.tally import OTHERS, OWN_FAULTS, SUCCESSES, Tally

_DAY: Final = 86_400
#: Days on which a client must have been seen, if so many count.
_SEEN_DAYS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """When it is safe to enforce proofs for a client.

    It must have been seen on two days of them, if so many count.

    :param days: for which it must have been observed; what is older does not count.
    :param share: of its requests that must have been clean, 0 to 1.
    :param requests: that it must have sent in this time.
    :param bearer_stays: unbound tokens will be accepted as Bearer also when proofs are
        enforced, so they count as clean.
    """

    days: int = 7
    share: float = 0.999
    requests: int = 100
    bearer_stays: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """One line of the report."""

    #: Of the days that count.
    tally: Tally
    #: First request of all, in seconds since the epoch.
    since: int
    #: Requests that say something about the client.
    total: int
    #: Of them, those that an enforcing server would serve.
    clean: int
    #: ``enforce``: it is safe; ``fix``: requests would be refused; ``wait``: too little
    #: was seen.
    verdict: Literal["enforce", "fix", "wait"]
    because: str


def judge(tallies: Iterable[Tally], *, criteria: Criteria, now: int) -> list[Readiness]:
    """Return the report, by client.

    :param tallies: of any number of processes and times.
    :param now: seconds since the epoch.
    """
    begin = now - criteria.days * _DAY
    recent: dict[str, Tally] = {}
    first: dict[str, int] = {}
    seen: dict[str, set[int]] = {}
    for tally in tallies:
        if tally.first_at is None or tally.last_at is None:
            continue
        first[tally.client] = min(
            first.get(tally.client, tally.first_at), tally.first_at
        )
        known = recent.setdefault(tally.client, Tally(client=tally.client))
        days = seen.setdefault(tally.client, set())
        if tally.last_at >= begin:
            known.add(tally)
            for at in (max(tally.first_at, begin), tally.last_at):
                days.add(min(max(now - at, 0) // _DAY, criteria.days - 1))
    hidden = _failures(recent.get(OTHERS, Tally(client=OTHERS)), criteria)
    return [
        _judge(
            tally,
            since=first[client],
            days=len(seen[client]),
            hidden=sum(hidden.values()),
            criteria=criteria,
            now=now,
        )
        for client, tally in sorted(recent.items())
    ]


def _failures(tally: Tally, criteria: Criteria) -> dict[str, int]:
    """Return what would have been refused, by reason."""
    passing = (*SUCCESSES, *OWN_FAULTS, *(("bearer",) if criteria.bearer_stays else ()))
    return {
        reason: number
        for reason, number in tally.reasons.items()
        if number and reason not in passing
    }


def _judge(
    tally: Tally,
    *,
    since: int,
    days: int,
    hidden: int,
    criteria: Criteria,
    now: int,
) -> Readiness:
    """Return the line about one client.

    :param days: of those that count, on which it was seen.
    :param hidden: failures that may be of any client.
    """
    failed = _failures(tally, criteria)
    total = sum(n for reason, n in tally.reasons.items() if reason not in OWN_FAULTS)
    clean = total - sum(failed.values())
    verdict: Literal["enforce", "fix", "wait"] = "wait"
    age = now - since
    if tally.client.startswith("("):
        because = "not one client"
    elif total and clean < criteria.share * total:
        worst = max(failed, key=lambda reason: failed[reason])
        verdict, because = "fix", f"{failed[worst]} of {total}: {worst}"
    elif age < criteria.days * _DAY:
        because = f"observed for {age // _DAY} of {criteria.days} days"
    elif total < criteria.requests:
        because = f"{total} of {criteria.requests} requests"
    elif days < min(_SEEN_DAYS, criteria.days):
        because = "seen on 1 day only"
    elif hidden:
        # A table that somebody floods would hide them.
        failures = "1 failure" if hidden == 1 else f"{hidden} failures"
        because = f"{failures} of clients that were not told apart"
    else:
        verdict = "enforce"
        because = f"clean, seen on {days} of {criteria.days} days"
    return Readiness(
        tally=tally,
        since=since,
        total=total,
        clean=clean,
        verdict=verdict,
        because=because,
    )
