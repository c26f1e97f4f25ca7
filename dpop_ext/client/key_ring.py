"""The symmetric keys of a client, and what servers said about them (Symmetric Profile).

In memory only: a key dies with its access token, and the next token brings another.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dpop_ext.client.destination import Destination
from dpop_ext.core.request_binding import access_token_hash
from dpop_ext.log_events import log_event
from dpop_ext.symmetric.delivery import DeliveredKey

#: Keys to hold; the one used longest ago is dropped, and its token goes on with
#: asymmetric proofs.
MAX_KEYS = 100
#: Paths that demanded asymmetric proofs, and audiences with a stale version.
MAX_REMEMBERED = 256

_log = logging.getLogger("dpop_ext.client")


@dataclass(slots=True)
class _Entry:
    delivered: DeliveredKey
    bases: tuple[str, ...]
    #: Use asymmetric proofs until then, in seconds since the epoch.
    paused_until: int = 0


class KeyRing:
    """Symmetric keys by access token. Threads may share it."""

    def __init__(self) -> None:
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._asymmetric_only: OrderedDict[str, None] = OrderedDict()
        self._stale: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._lock = threading.Lock()

    def add(
        self, access_token: str, delivered: DeliveredKey, *, bases: Sequence[str]
    ) -> None:
        """Keep the key that came with *access_token*.

        A key of a version that a server has called stale is not used: the refresh did
        not help, another one would not either, and asymmetric proofs work.

        :param bases: URLs at or below which it may be used: what its audience stands
            for.
        """
        audience = (delivered.issuer, delivered.audience)
        entry = _Entry(delivered, tuple(bases))
        with self._lock:
            if _version(delivered) <= self._stale.get(audience, -1):
                entry.paused_until = delivered.expires_at
                log_event(
                    _log,
                    logging.WARNING,
                    "symmetric_key_stale",
                    "symmetric key not used: version %d is stale at the resource "
                    "server, but new tokens still have it",
                    _version(delivered),
                    version=_version(delivered),
                )
            self._entries[access_token_hash(access_token)] = entry
            _trim(self._entries, MAX_KEYS)

    def find(
        self,
        access_token: str,
        destination: Destination,
        *,
        now: int,
        for_answers: bool = False,
    ) -> DeliveredKey | None:
        """Return the key to use for a request, or None for an asymmetric proof.

        :param now: seconds since the epoch.
        :param for_answers: the key is for the proofs of answers, which there are on
            paths that demand asymmetric proofs, too.
        """
        name = access_token_hash(access_token)
        with self._lock:
            entry = self._entries.get(name)
            if entry is None:
                return None
            if now >= entry.delivered.expires_at:
                del self._entries[name]
                return None
            self._entries.move_to_end(name)
            if (
                now < entry.paused_until
                or (destination.htu in self._asymmetric_only and not for_answers)
                or not destination.is_within(entry.bases)
            ):
                return None
            return entry.delivered

    def __contains__(self, access_token: str) -> bool:
        """Whether there is a key for *access_token*, in use at the moment or not."""
        with self._lock:
            return access_token_hash(access_token) in self._entries

    def expires_at(self, access_token: str) -> int | None:
        """Return the end of the key of *access_token*, in seconds since the epoch."""
        with self._lock:
            entry = self._entries.get(access_token_hash(access_token))
            return entry.delivered.expires_at if entry is not None else None

    def drop(self, access_token: str) -> None:
        """Forget the key of *access_token*."""
        with self._lock:
            self._entries.pop(access_token_hash(access_token), None)

    def drop_stale(self, access_token: str) -> None:
        """Forget the key, and refuse another of the same version or an older one."""
        with self._lock:
            entry = self._entries.pop(access_token_hash(access_token), None)
            if entry is not None:
                audience = (entry.delivered.issuer, entry.delivered.audience)
                stale = max(_version(entry.delivered), self._stale.get(audience, -1))
                self._stale[audience] = stale
                _trim(self._stale, MAX_REMEMBERED)

    def pause(self, access_token: str, *, until: int) -> None:
        """Keep the key, but use asymmetric proofs for a while.

        :param until: seconds since the epoch.
        """
        with self._lock:
            entry = self._entries.get(access_token_hash(access_token))
            if entry is not None:
                entry.paused_until = max(until, entry.paused_until)

    def demands_asymmetric(self, destination: Destination) -> bool:
        """Tell whether asymmetric proofs were demanded for this path."""
        return destination.htu in self._asymmetric_only

    def demand_asymmetric(self, destination: Destination) -> None:
        """Use asymmetric proofs for this path from now on, with every token."""
        with self._lock:
            self._asymmetric_only[destination.htu] = None
            self._asymmetric_only.move_to_end(destination.htu)
            _trim(self._asymmetric_only, MAX_REMEMBERED)


def _version(delivered: DeliveredKey) -> int:
    """Return the version of the secret, or 0: a key without one is like all others."""
    return delivered.version or 0


def _trim(entries: OrderedDict[Any, Any], limit: int) -> None:
    while len(entries) > limit:
        entries.popitem(last=False)
