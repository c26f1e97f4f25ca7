"""What one client sent, counted: for a server that does not enforce proofs yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from dpop_ext.errors import StoreError

#: What an enforcing server would serve.
SUCCESSES: Final = ("ok",)
#: What is no fault of a client.
OWN_FAULTS: Final = (StoreError.code,)
#: Where clients are counted for which there is no room.
OTHERS: Final = "(others)"
#: Different reasons that are kept of one client, and the name of the rest.
_MAX_REASONS = 64
_OTHER_REASONS = "other"
_MAX_NUMBER = 2**53


@dataclass(slots=True, kw_only=True)
class Tally:
    """What one client sent, in some time."""

    client: str
    #: Number of requests by ``ok``, ``bearer``, or why they would be refused.
    reasons: dict[str, int] = field(default_factory=dict)
    #: In seconds since the epoch, as the rest; None: no request yet.
    first_at: int | None = None
    last_at: int | None = None
    #: Of what is neither ``ok`` nor a fault of the server.
    last_failure_at: int | None = None
    last_failure: str | None = None

    def count(self, reason: str, *, now: int) -> None:
        """Count one request."""
        one = Tally(client=self.client, reasons={reason: 1}, first_at=now, last_at=now)
        if reason not in SUCCESSES + OWN_FAULTS:
            one.last_failure_at, one.last_failure = now, reason
        self.add(one)

    def add(self, other: Tally) -> None:
        """Add what was counted elsewhere, or at another time."""
        for given, number in other.reasons.items():
            has_room = given in self.reasons or len(self.reasons) < _MAX_REASONS
            # Where there is none it is a failure still.
            reason = given if has_room else _OTHER_REASONS
            self.reasons[reason] = self.reasons.get(reason, 0) + number
        self.first_at = _least(self.first_at, other.first_at)
        self.last_at = _most(self.last_at, other.last_at)
        if other.last_failure_at is not None and (
            self.last_failure_at is None or other.last_failure_at > self.last_failure_at
        ):
            self.last_failure_at = other.last_failure_at
            self.last_failure = other.last_failure

    def to_json(self) -> dict[str, Any]:
        """Return the members of a JSON object."""
        return {
            "client": self.client,
            "requests": dict(self.reasons),
            "first_at": self.first_at,
            "last_at": self.last_at,
            "last_failure_at": self.last_failure_at,
            "last_failure": self.last_failure,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Tally:
        """Return what :meth:`to_json` made.

        :raises ValueError: it did not make this.
        """
        requests, client = value.get("requests"), value.get("client")
        times = [value.get(name) for name in ("first_at", "last_at", "last_failure_at")]
        failure = value.get("last_failure")
        if (
            not isinstance(client, str)
            or not isinstance(requests, dict)
            or not all(isinstance(reason, str) for reason in requests)
            or not all(_is_number(number) for number in requests.values())
            or not all(_is_number(time) for time in times[:2])
            or not (times[2] is None or _is_number(times[2]))
            or not (failure is None or isinstance(failure, str))
        ):
            raise ValueError("this is no count of requests")
        return cls(
            client=client,
            reasons=dict(requests),
            first_at=times[0],
            last_at=times[1],
            last_failure_at=times[2],
            last_failure=failure,
        )


def _is_number(value: object) -> bool:
    return type(value) is int and 0 <= value < _MAX_NUMBER


def _least(one: int | None, other: int | None) -> int | None:
    return min((time for time in (one, other) if time is not None), default=None)


def _most(one: int | None, other: int | None) -> int | None:
    return max((time for time in (one, other) if time is not None), default=None)
