"""Authorization requests that were pushed and not yet answered (RFC 9126)."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from dpop_ext.errors import StoreError


@dataclass(frozen=True, slots=True, kw_only=True)
class PushedRequest:
    """An authorization request that was validated when its client pushed it."""

    #: The client that authenticated: nobody else can use the request.
    client_id: str
    #: Every parameter but the client's credentials, each with all of its values.
    parameters: Mapping[str, Sequence[Any]] = field(repr=False)
    #: Thumbprint of the proof that came along, which binds the code; None without one.
    dpop_jkt: str | None
    #: First second in which it is no longer good, in seconds since the epoch.
    expires_at: int


class PushedRequestStore(Protocol):
    """Keeps pushed requests until they are consumed or expire.

    A *reference* is the random part of a ``request_uri``. A store that others can read
    keeps its hash only.
    """

    def save(self, reference: str, pushed: PushedRequest, *, now: int) -> None:
        """Store *pushed*; a good moment to drop what has expired.

        :param now: seconds since the epoch.
        :raises StoreError: the store does not answer, or is full.
        """
        ...

    def load(self, reference: str) -> PushedRequest | None:
        """Return a request that was saved and not consumed; its time may be over.

        :raises StoreError: the store does not answer.
        """
        ...

    def consume(self, reference: str) -> bool:
        """Remove a request in one atomic step.

        :returns: True for exactly one of all calls with this reference.
        :raises StoreError: the store does not answer.
        """
        ...


class MemoryPushedRequestStore:
    """Keep pushed requests in this process; other processes do not see them.

    :param max_entries: requests that are kept at most. A full store refuses new ones.
    """

    def __init__(self, max_entries: int = 10_000) -> None:
        if max_entries < 1:
            raise ValueError("max_entries must be positive")
        self._capacity = max_entries
        self._lock = threading.Lock()
        #: In the order of arrival, which is nearly that of expiry.
        self._entries: dict[str, PushedRequest] = {}

    def __len__(self) -> int:
        """Count the requests; some may have expired without having been dropped yet."""
        return len(self._entries)

    def save(self, reference: str, pushed: PushedRequest, *, now: int) -> None:
        """Store *pushed*, and drop the oldest ones as far as they have expired.

        :raises StoreError: the store is full.
        """
        with self._lock:
            while self._entries:
                oldest = next(iter(self._entries))
                if self._entries[oldest].expires_at > now:
                    break
                del self._entries[oldest]
            if len(self._entries) >= self._capacity:
                raise StoreError("The store of pushed requests is full.")
            self._entries[reference] = pushed

    def load(self, reference: str) -> PushedRequest | None:
        """Return a request that was saved and not consumed."""
        with self._lock:
            return self._entries.get(reference)

    def consume(self, reference: str) -> bool:
        """Remove a request; True for the one call that did."""
        with self._lock:
            return self._entries.pop(reference, None) is not None
