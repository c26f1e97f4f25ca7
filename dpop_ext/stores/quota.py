"""A share for each key: one client must not fill the replay store (RFC 9449 11.1).

A proof is remembered only for a client that is allowed to make the request. But such
a client can make as many proofs as it has time for.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

from dpop_ext.errors import TooManyRequestsError

#: Expiries are counted together in groups of so many seconds, a power of two.
GROUP: Final = 8


class KeyQuota:
    """Count the live proofs of each key, in this process.

    With several processes each one has its own count: together they let through as
    many times as much. Threads that come at the same moment can exceed the share by
    their number.

    :param max_proofs: live proofs of one key; a proof lives for a minute or so.
    :param max_keys: keys that are counted at most; the one that was used longest ago
        is forgotten first.
    """

    def __init__(self, max_proofs: int, *, max_keys: int = 10_000) -> None:
        if max_proofs < 1 or max_keys < 1:
            raise ValueError("max_proofs and max_keys must be positive")
        self._max_proofs = max_proofs
        self._max_keys = max_keys
        self._lock = threading.Lock()
        #: Number of live proofs by their last second, rounded up, for each key.
        self._counts: OrderedDict[str, dict[int, int]] = OrderedDict()

    def check(self, jkt: str, *, now: int) -> None:
        """Refuse a proof of a key whose share is used up.

        :param jkt: thumbprint of the key.
        :param now: seconds since the epoch.
        :raises TooManyRequestsError: there are as many live ones as there may be.
        """
        with self._lock:
            counts = self._counts.get(jkt)
            if counts is None:
                return
            # Each time: a client that never uses its share up would else have one
            # more group for every few seconds, for as long as this process lives.
            for end in [end for end in counts if end < now]:
                del counts[end]
            if sum(counts.values()) >= self._max_proofs:
                raise TooManyRequestsError

    def count(self, jkt: str, *, expires_at: int) -> None:
        """Count a proof that the store has added.

        :param jkt: thumbprint of the key.
        :param expires_at: as it was given to the store, in seconds since the epoch.
        """
        end = expires_at | (GROUP - 1)
        with self._lock:
            counts = self._counts.setdefault(jkt, {})
            counts[end] = counts.get(end, 0) + 1
            self._counts.move_to_end(jkt)
            if len(self._counts) > self._max_keys:
                self._counts.popitem(last=False)
