"""Ticket keys without anything to share but secrets (DPoP Symmetric Profile 1.0)."""

from __future__ import annotations

import time
from collections.abc import Callable

from dpop_ext.errors import DPoPError, StoreError
from dpop_ext.stores.base import KeyringSource
from dpop_ext.symmetric.secret_ring import SecretRing
from dpop_ext.symmetric.ticket_keys import (
    DEFAULT_LIFETIME,
    TicketKeys,
    check_lifetime,
    derived_ticket_key,
    period_of,
)


class DerivedTicketKeys:
    """Keys that follow from the derivation secrets of a keyring and the hour.

    For servers that share nothing else. The price: the authorization server, which made
    the secrets, could make tickets too. A ticket is good as long as the version that
    its key is from; one that is revoked ends its tickets at once.

    :param keyring: of this resource server.
    :param lifetime: life of a ticket, in seconds, at most 3600; the same everywhere.
    :param clock: seconds since the epoch.
    :raises ValueError: *lifetime* is outside its limits.
    """

    def __init__(
        self,
        keyring: KeyringSource,
        *,
        lifetime: int = DEFAULT_LIFETIME,
        clock: Callable[[], float] = time.time,
    ) -> None:
        check_lifetime(lifetime)
        self._keyring = keyring
        self._lifetime = lifetime
        self._clock = clock
        #: The keys, with what they were derived from. One tuple, so that other threads
        #: see all of it.
        self._last: tuple[SecretRing, int, TicketKeys] | None = None

    def load(self) -> TicketKeys:
        """Return the keys; see :class:`dpop_ext.stores.base.TicketKeySource`.

        :raises StoreError: the keyring cannot be loaded, is too old to be relied on, or
            two keys have the same name.
        """
        now = int(self._clock())
        try:
            ring = self._keyring.load()
        except DPoPError as error:
            raise StoreError("There are no secrets for ticket keys.") from error
        if ring.good_until is not None and now >= ring.good_until:
            # A revocation may have been missed.
            raise StoreError("There are no secrets for ticket keys.")
        period = period_of(now)
        last = self._last
        if last is not None and last[0] is ring and last[1] == period:
            return last[2]
        keys = self._derive(ring, period, now=now)
        self._last = (ring, period, keys)
        return keys

    def _derive(self, ring: SecretRing, period: int, *, now: int) -> TicketKeys:
        versions = []
        for entry in ring:
            try:
                versions.append(ring.find(entry.version, now=now))
            except DPoPError:
                continue
        # Tickets are made with the last one: the active version, not a newer one that
        # other servers may not have yet.
        versions.sort(key=lambda entry: (entry.state == "active", entry.version))
        keys = [
            derived_ticket_key(
                entry.secret.reveal(),
                hour,
                lifetime=self._lifetime,
                good_until=entry.expires_at,
            )
            for hour in range(period - 2, period + 2)
            for entry in versions
            if entry.secret is not None
        ]
        try:
            return TicketKeys(key for key in keys if key is not None)
        except ValueError as error:
            raise StoreError("Two ticket keys have the same name.") from error
