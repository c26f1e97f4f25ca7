"""Access tokens that were verified a moment ago: :rfc:`9068#section-4`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from dpop_ext.core.confirmation import AccessToken
from dpop_ext.core.recent import Recent
from dpop_ext.core.token_text import token_digest

#: Tokens that are remembered at most. Each takes up to 2 kB, plus its own claims.
MAX_TOKENS = 10_000


class TokenCache:
    """Put before a check of access tokens; a token that passed is not checked again.

    Only what passed is kept, under the SHA-256 of the whole text, and for as long as
    two limits allow: the token's own expiry, which is looked at each time, and
    *max_age*, within which a revoked token stays good. Once one of them is over, or the
    clock was set back, the token is checked anew.

    :param max_age: seconds; 0 keeps nothing.
    :param clock: seconds since the epoch.
    :raises ValueError: *max_age* is negative.
    """

    def __init__(
        self,
        *,
        max_age: float,
        clock: Callable[[], float],
    ) -> None:
        if not max_age >= 0:
            raise ValueError("seconds to remember a token for are not negative")
        self.max_age: Final = max_age
        self._clock = clock
        #: Each token with the time at which its check began, and from which on it is
        #: not good without another.
        self._tokens: Recent[bytes, tuple[AccessToken, float, float]] = Recent(
            MAX_TOKENS
        )

    def find(self, text: str, check: Callable[[str], AccessToken]) -> AccessToken:
        """Return the token that *check* returned for *text*, now or before.

        :param check: raises an error for a token that is not good.
        """
        if not self.max_age:
            return check(text)
        now = self._clock()
        name = token_digest(text)
        entry = self._tokens.get(name)
        if entry is not None and entry[1] <= now < entry[2]:
            return entry[0]
        token = check(text)
        end = now + self.max_age
        if token.expires_at is not None:
            end = min(end, token.expires_at)
        self._tokens.put(name, (token, now, end))
        return token

    def get(self, name: bytes) -> AccessToken | None:
        """Return the token that a check returned a moment ago, or None.

        It is good as :meth:`find` has it, which would return the same object.

        :param name: the SHA-256 of its whole text.
        """
        entry = self._tokens.young.get(name) or self._tokens.get(name)
        if entry is not None and entry[1] <= self._clock() < entry[2]:
            return entry[0]
        return None
