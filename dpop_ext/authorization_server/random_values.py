"""The random value of each symmetric key (DPoP Symmetric Profile, T16)."""

from __future__ import annotations

import hashlib
import os
from typing import Final

from dpop_ext.authorization_server.refusal import log
from dpop_ext.core.recent import Recent
from dpop_ext.errors import SymmetricUnavailableError
from dpop_ext.symmetric.delivery import CompositeR
from dpop_ext.symmetric.derivation import SECRET_LENGTH

#: Values that are remembered at least half of, in this process.
MAX_REMEMBERED: Final = 10_000


class RandomValues:
    """Draws values, and notices a generator that repeats itself.

    Trap: two tokens of one client with the same value have the same key. It happens to
    the copy of a virtual machine, and where the system has no randomness yet; a process
    cannot see what another drew, so clients send an ``n`` of their own against that.
    """

    __slots__ = ("_recent",)

    def __init__(self) -> None:
        self._recent: Recent[bytes, bytes] = Recent(MAX_REMEMBERED)

    def draw(self) -> bytes:
        """Return a value for a token that was not drawn before, 32 bytes.

        :raises SymmetricUnavailableError: it was, so no key may be issued.
        """
        value = os.urandom(SECRET_LENGTH)
        self._check(value)
        return value

    def draw_secret(self, length: int) -> bytes:
        """Return a value that nobody may see, and that was not drawn before.

        :param length: in bytes.
        :raises SymmetricUnavailableError: it was, so no key may be issued.
        """
        value = os.urandom(length)
        # Only its hash is kept.
        self._check(hashlib.sha256(value).digest())
        return value

    def compose(self, n: bytes) -> CompositeR:
        """Return a value that a client had a part in, and that was not there before.

        :param n: the client's part, 32 bytes.
        :raises SymmetricUnavailableError: it was, so no key may be issued.
        """
        composite = CompositeR(n=n, r_as=os.urandom(SECRET_LENGTH))
        self._check(composite.r)
        return composite

    def _check(self, name: bytes) -> None:
        if not self._recent.add(name, name):
            log.error("The random number generator repeats itself: no key is issued.")
            raise SymmetricUnavailableError(lacks="random")
