"""The keys that a resource server makes tickets with (DPoP Symmetric Profile 1.0).

Each hour of the clock has a key of its own, which is known to all servers before the
hour begins, so that they change at the same moment and need not agree on it. It is kept
for as long as a ticket that was made with it can be good, and then erased: what limits
the damage of a lost key is that there is none left to lose.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from dpop_ext.symmetric.derivation import SECRET_LENGTH, expand, u64
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.secret_ring import check_quality

#: Length of the name of a ticket key, in bytes.
KEY_ID_LENGTH: Final = 4
#: Time for which new tickets are made with one key, in seconds.
PERIOD: Final = 3600
#: Life of a ticket, in seconds, unless it is configured.
DEFAULT_LIFETIME: Final = 300
#: Longest life of a ticket, in seconds.
MAX_LIFETIME: Final = 3600
#: How far the clocks of the servers may be apart, in seconds.
CLOCK_SKEW: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketKey:
    """One ticket key.

    :raises TypeError: a number is no integer, or the secret not wrapped.
    :raises ValueError: a value is outside its limits; or the secret is of another
        length than 32 bytes, not random, or published.
    """

    #: Random name, in every ticket that is made with it.
    key_id: bytes
    secret: SecretBytes
    #: Life of every ticket that is made with it, in seconds.
    lifetime: int
    #: From when tickets are made with it, in seconds since the epoch. One that comes
    #: earlier is good: the clock of the server that made it may be ahead.
    issue_from: int
    #: From when no more tickets are made with it.
    issue_until: int
    #: From when no ticket is good that was made with it. It is erased then.
    expires_at: int

    def __post_init__(self) -> None:
        numbers = (self.lifetime, self.issue_from, self.issue_until, self.expires_at)
        if any(type(number) is not int for number in numbers):
            raise TypeError("lifetime and times are integers")
        if not isinstance(self.secret, SecretBytes):
            raise TypeError("a secret is wrapped in SecretBytes")
        if len(self.key_id) != KEY_ID_LENGTH:
            raise ValueError("the name of a ticket key has 4 bytes")
        check_lifetime(self.lifetime)
        if not 0 <= self.issue_from <= self.issue_until < self.expires_at:
            raise ValueError("the times of a ticket key are not in order")
        check_quality(self.secret.reveal())


class TicketKeys:
    """The ticket keys of one resource server at one time. Immutable.

    :param keys: oldest first.
    :raises ValueError: two have the same name or the same secret.
    """

    __slots__ = ("_by_id",)

    def __init__(self, keys: Iterable[TicketKey] = ()) -> None:
        entries = list(keys)
        self._by_id = {key.key_id: key for key in entries}
        if len(self._by_id) != len(entries):
            raise ValueError("two ticket keys have the same name")
        if len({key.secret.reveal() for key in entries}) != len(entries):
            raise ValueError("two ticket keys have the same secret")

    def __iter__(self) -> Iterator[TicketKey]:
        """Iterate from the oldest to the newest."""
        return iter(self._by_id.values())

    def __repr__(self) -> str:
        names = ", ".join(key_id.hex() for key_id in self._by_id)
        return f"<TicketKeys {names or 'empty'}>"

    def find(self, key_id: bytes, *, now: int) -> TicketKey | None:
        """Return the key of that name, if it is still good.

        :param now: seconds since the epoch.
        """
        key = self._by_id.get(key_id)
        return key if key is not None and now < key.expires_at else None

    def current(self, *, now: int) -> TicketKey | None:
        """Return the key to make tickets with.

        :param now: seconds since the epoch.
        """
        for key in reversed(self._by_id.values()):
            if key.issue_from <= now < key.issue_until:
                return key
        return None


def period_of(now: int) -> int:
    """Return the number of the hour in which *now* is, in seconds since the epoch."""
    return now // PERIOD


def random_ticket_key(
    period: int, *, lifetime: int, taken: Iterable[bytes] = ()
) -> TicketKey:
    """Make the key for one hour.

    :param period: number of the hour since the epoch.
    :param lifetime: of its tickets, in seconds.
    :param taken: names that other keys have.
    """
    names = set(taken)
    key_id = secrets.token_bytes(KEY_ID_LENGTH)
    while key_id in names:
        key_id = secrets.token_bytes(KEY_ID_LENGTH)
    return key_for_period(
        period,
        key_id=key_id,
        secret=secrets.token_bytes(SECRET_LENGTH),
        lifetime=lifetime,
    )


def derived_ticket_key(
    secret: bytes, period: int, *, lifetime: int, good_until: int
) -> TicketKey | None:
    """Derive the key for one hour from a derivation secret, and its name.

    :param secret: that an authorization server shares with this resource server.
    :param period: number of the hour since the epoch.
    :param lifetime: of its tickets, in seconds.
    :param good_until: when *secret* ends, and with it what was made from it, in seconds
        since the epoch.
    :returns: None if *secret* ends before the hour begins.
    """
    if good_until <= period * PERIOD + 1:
        return None
    key_id, value = derive_ticket_key(secret, period)
    key = key_for_period(period, key_id=key_id, secret=value, lifetime=lifetime)
    return replace(
        key,
        issue_until=min(key.issue_until, good_until - 1),
        expires_at=min(key.expires_at, good_until),
    )


def derive_ticket_key(secret: bytes, period: int) -> tuple[bytes, bytes]:
    """Return the name and the key that follow from a derivation secret and an hour."""
    hour = u64(period)
    name = expand(secret, b"dpop-sym/1 tkid\0" + hour, SECRET_LENGTH)
    value = expand(secret, b"dpop-sym/1 ticket\0" + hour, SECRET_LENGTH)
    return name[:KEY_ID_LENGTH], value


def key_for_period(
    period: int, *, key_id: bytes, secret: bytes, lifetime: int
) -> TicketKey:
    """Return the key for one hour, with the times that follow from it.

    :raises ValueError: as of :class:`TicketKey`.
    """
    end = (period + 1) * PERIOD
    return TicketKey(
        key_id=key_id,
        secret=SecretBytes(secret),
        lifetime=lifetime,
        issue_from=period * PERIOD,
        issue_until=end,
        expires_at=end + lifetime + CLOCK_SKEW,
    )


def check_lifetime(lifetime: int) -> None:
    """Check the life of tickets before it is used.

    :param lifetime: in seconds.
    :raises ValueError: it is not between 1 second and an hour.
    """
    if not 1 <= lifetime <= MAX_LIFETIME:
        raise ValueError("tickets live from 1 to 3600 seconds")
