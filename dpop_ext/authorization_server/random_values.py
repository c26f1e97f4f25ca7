"""The random value in each token with a symmetric key (DPoP Symmetric Profile, T16)."""

from __future__ import annotations

import os
from typing import Final

from dpop_ext.authorization_server.refusal import log
from dpop_ext.core.recent import Recent
from dpop_ext.errors import SymmetricUnavailableError
from dpop_ext.symmetric.derivation import SECRET_LENGTH

#: Values that are remembered at least half of, in this process.
MAX_REMEMBERED: Final = 10_000


class RandomValues:
    """Draws values of 32 bytes, and notices a generator that repeats itself.

    Trap: two tokens of one client with the same value have the same key. It happens to
    the copy of a virtual machine, and where the system has no randomness yet; a process
    cannot see what another drew, so clients send an ``n`` of their own against that.
    """

    __slots__ = ("_recent",)

    def __init__(self) -> None:
        self._recent: Recent[bytes, bool] = Recent(MAX_REMEMBERED)

    def draw(self) -> bytes:
        """Return a value that was not drawn before.

        :raises SymmetricUnavailableError: it was, so no key may be issued.
        """
        value = os.urandom(SECRET_LENGTH)
        if self._recent.get(value):
            log.error("The random number generator repeats itself: no key is issued.")
            raise SymmetricUnavailableError
        self._recent.put(value, True)  # noqa: FBT003 - the map needs a value
        return value
