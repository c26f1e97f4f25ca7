"""A secret that does not show itself (DPoP Symmetric Profile, threat T20)."""

from __future__ import annotations

import hashlib
import hmac
from typing import NoReturn


class SecretBytes:
    """Key material that stays out of logs, tracebacks and pickles.

    The reason for this being a class is that ``bytes`` end up in a ``repr`` sooner or
    later: of a dataclass, of a failed assertion, of the arguments in an error report.

    :param value: the secret; whoever needs it asks for it by :meth:`reveal`.
    """

    __slots__ = ("_value",)

    # Equal values are compared in constant time; a hash table would not.
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, value: bytes) -> None:
        if not isinstance(value, bytes):
            raise TypeError("a secret is made of bytes")
        self._value = value

    def reveal(self) -> bytes:
        """Return the secret itself."""
        return self._value

    def __len__(self) -> int:
        return len(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SecretBytes):
            return NotImplemented
        return hmac.compare_digest(self._value, other._value)

    def __repr__(self) -> str:
        digest = hashlib.sha256(self._value).hexdigest()
        return f"<{len(self._value)} bytes, sha256 {digest[:8]}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")
