"""Access tokens that were revoked before their time (DPoP Symmetric Profile)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from dpop_ext.core.confirmation import AccessToken
from dpop_ext.errors import AccessTokenError
from dpop_ext.symmetric.derivation import SECRET_LENGTH

#: Longest ``jti`` that can be denied, in characters.
MAX_TOKEN_ID: Final = 256
#: Most denials of one audience. Whoever needs more revokes the version of the secret.
MAX_DENIALS: Final = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """One access token, by its ``jti`` or by the ``r`` of its symmetric key.

    :raises TypeError: the time is not an integer.
    :raises ValueError: neither name or both are given, or one is outside its limits.
    """

    token_id: str | None = None
    #: 32 bytes.
    r: bytes | None = None
    #: When the token would have ended, in seconds since the epoch.
    expires_at: int

    def __post_init__(self) -> None:
        if type(self.expires_at) is not int:
            raise TypeError("a time is an integer")
        if (self.token_id is None) == (self.r is None):
            raise ValueError("a denial names a token by its jti or by its r")
        if self.token_id is not None and not 0 < len(self.token_id) <= MAX_TOKEN_ID:
            raise ValueError("a jti has 1 to 256 characters")
        # No JSON that is read here has these, and a keyring with one would be refused.
        if b"\0" in (self.token_id or "").encode():
            raise ValueError("a jti has no NUL")
        if self.r is not None and len(self.r) != SECRET_LENGTH:
            raise ValueError("r has 32 bytes")


class DenyList:
    """The denials of one audience. Immutable.

    :raises ValueError: there are more than :data:`MAX_DENIALS`.
    """

    __slots__ = ("_by_name", "_denials", "is_empty")

    def __init__(self, denials: Iterable[Denial] = ()) -> None:
        self._denials = tuple(denials)
        if len(self._denials) > MAX_DENIALS:
            raise ValueError("too many denials")
        # A jti is text and an r is bytes: one cannot pass for the other.
        self._by_name: dict[str | bytes, int] = {}
        for denial in self._denials:
            name = denial.token_id or denial.r or b""
            known = self._by_name.get(name, denial.expires_at)
            self._by_name[name] = max(known, denial.expires_at)
        #: Whether there is no denial.
        self.is_empty = not self._denials

    def __iter__(self) -> Iterator[Denial]:
        """Iterate in the given order."""
        return iter(self._denials)

    def check(self, token: AccessToken, *, now: int) -> None:
        """Refuse a token that is on the list.

        :param token: verified.
        :param now: seconds since the epoch.
        :raises AccessTokenError: it is.
        """
        confirmation = token.confirmation
        dsk = confirmation.dsk if confirmation is not None else None
        for name in (token.token_id, dsk.r if dsk is not None else None):
            if name is not None and now < self._by_name.get(name, 0):
                raise AccessTokenError
