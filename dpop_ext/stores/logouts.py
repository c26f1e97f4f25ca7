"""Who logged out lately, in the memory of one process (DPoP Symmetric Profile 1.0)."""

from __future__ import annotations

import hashlib
import threading

from dpop_ext.errors import StoreError
from dpop_ext.symmetric.derivation import lp


class MemoryLogoutStore:
    """Remember log-outs in this process; other processes do not see them.

    :param max_entries: log-outs that are kept at most. A full store refuses new ones
        rather than forget one that counts.
    """

    def __init__(self, max_entries: int = 100_000) -> None:
        if max_entries < 1:
            raise ValueError("max_entries must be positive")
        self._capacity = max_entries
        self._lock = threading.Lock()
        #: The last bad second and the end of each, by issuer and thumbprint.
        self._entries: dict[tuple[str, str], tuple[int, int]] = {}

    def __len__(self) -> int:
        """Count the entries; some may have expired without having been dropped yet."""
        return len(self._entries)

    def put(
        self, issuer: str, jkt: str, *, not_before: int, expires_at: int, now: int
    ) -> None:
        """Remember a log-out; see :class:`dpop_ext.stores.base.LogoutStore`.

        :raises StoreError: the store is full.
        """
        name = issuer, jkt
        with self._lock:
            if name not in self._entries and len(self._entries) >= self._capacity:
                self._drop(now)
                if len(self._entries) >= self._capacity:
                    raise StoreError("The store of log-outs is full.")
            known = self._entries.get(name, (0, 0))
            self._entries[name] = (
                max(known[0], not_before),
                max(known[1], expires_at),
            )

    def find(self, issuer: str, jkt: str, *, now: int) -> int | None:
        """Return the last bad second of this key's tickets, or None."""
        if not self._entries:
            return None
        entry = self._entries.get((issuer, jkt))
        return entry[0] if entry is not None and now < entry[1] else None

    def _drop(self, now: int) -> None:
        self._entries = {
            name: entry for name, entry in self._entries.items() if now < entry[1]
        }


def logout_name(issuer: str, jkt: str) -> bytes:
    """Return the name of a log-out in stores that others can read, 32 bytes."""
    return hashlib.sha256(lp(issuer.encode()) + lp(jkt.encode())).digest()
