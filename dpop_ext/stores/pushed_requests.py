"""Authorization requests that were pushed and not yet answered (RFC 9126)."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from dpop_ext.errors import StoreError, TooManyRequestsError

#: Live requests that one client may have, unless the store is told another number.
#: Public clients push without a secret: others could push in their name without end.
MAX_PER_CLIENT: Final = 5_000


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
        :raises TooManyRequestsError: its client has as many as it may have.
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


def name_hash(text: str) -> bytes:
    """Return what a store that others can read keeps of a reference or a client."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def dump_request(pushed: PushedRequest) -> str:
    """Return *pushed* as a text that a store can keep."""
    return json.dumps(
        {
            "client_id": pushed.client_id,
            "parameters": {name: list(v) for name, v in pushed.parameters.items()},
            "dpop_jkt": pushed.dpop_jkt,
            "expires_at": pushed.expires_at,
        }
    )


def parse_request(text: str | bytes) -> PushedRequest:
    """Return what :func:`dump_request` wrote.

    :raises StoreError: it is something else.
    """
    try:
        return PushedRequest(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise StoreError("A pushed request cannot be read.") from error


class MemoryPushedRequestStore:
    """Keep pushed requests in this process; other processes do not see them.

    :param max_entries: requests that are kept at most. A full store refuses new ones.
    :param max_per_client: live requests of one client.
    """

    def __init__(
        self, max_entries: int = 10_000, *, max_per_client: int = MAX_PER_CLIENT
    ) -> None:
        if max_entries < 1 or max_per_client < 1:
            raise ValueError("max_entries and max_per_client must be positive")
        self._capacity = max_entries
        self._max_per_client = max_per_client
        self._lock = threading.Lock()
        #: In the order of arrival, which is nearly that of expiry.
        self._entries: dict[str, PushedRequest] = {}
        self._of_client: Counter[str] = Counter()

    def __len__(self) -> int:
        """Count the requests; some may have expired without having been dropped yet."""
        return len(self._entries)

    def save(self, reference: str, pushed: PushedRequest, *, now: int) -> None:
        """Store *pushed*, and drop the oldest ones as far as they have expired.

        :raises TooManyRequestsError: its client has as many as it may have.
        :raises StoreError: the store is full.
        """
        with self._lock:
            while self._entries:
                oldest = next(iter(self._entries))
                if self._entries[oldest].expires_at > now:
                    break
                self._remove(oldest)
            if self._of_client[pushed.client_id] >= self._max_per_client:
                raise TooManyRequestsError
            if len(self._entries) >= self._capacity:
                raise StoreError("The store of pushed requests is full.")
            self._entries[reference] = pushed
            self._of_client[pushed.client_id] += 1

    def load(self, reference: str) -> PushedRequest | None:
        """Return a request that was saved and not consumed."""
        with self._lock:
            return self._entries.get(reference)

    def consume(self, reference: str) -> bool:
        """Remove a request; True for the one call that did."""
        with self._lock:
            return self._remove(reference)

    def _remove(self, reference: str) -> bool:
        pushed = self._entries.pop(reference, None)
        if pushed is None:
            return False
        self._of_client[pushed.client_id] -= 1
        if not self._of_client[pushed.client_id]:
            del self._of_client[pushed.client_id]
        return True
