"""How long a derivation secret is in each state (DPoP Symmetric Profile 1.0)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dpop_ext.symmetric.keyring_claims import MAX_POLL, MIN_POLL, SKEW

#: Versions that may be live at once: one in each state.
MAX_LIVE: Final = 3
#: Shortest and longest time for which a version is issued with, in seconds.
MIN_ACTIVE: Final = 360
MAX_ACTIVE: Final = 259_200
#: A key ends this long before its derivation secret does, in seconds: the clocks and
#: the caches of resource servers need not be ours.
SECRET_MARGIN: Final = 120
#: Longest access token, in seconds.
MAX_TOKEN_LIFETIME: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationPlan:
    """How the secrets of an audience are rotated. All times are in seconds.

    :raises ValueError: the numbers do not fit together; the text says what would.
    """

    #: Seconds between two polls of a resource server, which adds up to a tenth.
    poll: int = 300
    #: After which a poll that was not answered has failed.
    fetch_timeout: int = 10
    #: Life of the longest access token.
    token_lifetime: int = 600
    #: How long keys are issued with a version.
    active_period: int = 86_400
    #: How long a version is published before; 0: as short as may be. With as much as
    #: the active period there is always one that can take over when one is revoked.
    pending_period: int = 0
    #: How long a version is good after; 0: as short as may be.
    verify_period: int = 0

    def __post_init__(self) -> None:
        if not MIN_POLL <= self.poll <= MAX_POLL:
            raise ValueError(f"poll is from {MIN_POLL} to {MAX_POLL} seconds")
        if not 1 <= self.fetch_timeout <= 60:
            raise ValueError("fetch_timeout is from 1 to 60 seconds")
        if not 1 <= self.token_lifetime <= MAX_TOKEN_LIFETIME:
            raise ValueError(
                f"token_lifetime is from 1 to {MAX_TOKEN_LIFETIME} seconds"
            )
        if not MIN_ACTIVE <= self.active_period <= MAX_ACTIVE:
            raise ValueError(
                f"active_period is from {MIN_ACTIVE} to {MAX_ACTIVE} seconds"
            )
        self._at_least("pending_period", self.least_pending)
        self._at_least("verify_period", self.token_lifetime + SECRET_MARGIN)
        least = -(-(self.pending_period + self.verify_period) // (MAX_LIVE - 1))
        if self.active_period < least:
            raise ValueError(
                f"active_period must be {least} seconds or more, half of pending_period"
                f" and verify_period, or more than {MAX_LIVE} versions would live"
            )

    @property
    def least_pending(self) -> int:
        """How long a version is published before it is issued with, at least."""
        # Twice the longest interval between two polls, as one of them may fail.
        return 2 * (self.poll + self.poll // 10) + SKEW + self.fetch_timeout

    def _at_least(self, name: str, least: int) -> None:
        value = getattr(self, name) or least
        if value < least:
            raise ValueError(f"{name} must be {least} seconds or more")
        object.__setattr__(self, name, value)
