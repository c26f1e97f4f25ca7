"""The key of symmetric proofs, prepared for many MACs (RFC 2104 section 4)."""

from __future__ import annotations

import hashlib
import hmac
from typing import NoReturn

from dpop_ext.symmetric.derivation import MAC_ALGORITHMS

_DIGESTS = {"HS256": hashlib.sha256, "HS512": hashlib.sha512}


class MacKey:
    """A key that was hashed once; each MAC continues from a copy of that state.

    Threads may share it: what it holds is only ever copied.

    :param key: 32 bytes for ``HS256``, 64 for ``HS512``.
    :raises ValueError: *key* has another length than *algorithm* demands.
    """

    __slots__ = ("_state", "algorithm")

    def __init__(self, algorithm: str, key: bytes) -> None:
        if MAC_ALGORITHMS.get(algorithm) != len(key):
            raise ValueError("the key does not fit the algorithm")
        self.algorithm = algorithm
        self._state = hmac.new(key, digestmod=_DIGESTS[algorithm])

    def tag(self, message: bytes) -> bytes:
        """Return the MAC of *message*."""
        mac = self._state.copy()
        mac.update(message)
        return mac.digest()

    def __repr__(self) -> str:
        return f"<MacKey for {self.algorithm}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")
