"""The resource server's view of the derivation secrets: its own, read repeatedly."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from demo_server.derivation_secrets import DerivationSecrets
from dpop_ext.errors import StoreError, UnknownKeyError
from dpop_ext.symmetric.secret_ring import SecretRing

#: How old the snapshot gets before it is read again, in seconds.
POLL_INTERVAL = 2

#: How old it gets when that fails. Then symmetric proofs are no longer accepted: a
#: revocation might have been missed, and asymmetric proofs do as well.
MAX_STALE = 30

log = logging.getLogger(__name__)


class PolledKeyring:
    """A :class:`~dpop_ext.stores.base.KeyringSource` that reads one audience's secrets.

    :param secrets: where they are.
    :param audience: identifier of this resource server; no other's are ever read.
    :param clock: seconds since the epoch.
    """

    def __init__(
        self,
        secrets: DerivationSecrets,
        *,
        audience: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._secrets = secrets
        self._audience = audience
        self._clock = clock
        self._reading = threading.Lock()
        self._ring: SecretRing | None = None
        self._read_at = self._tried_at = float("-inf")

    def load(self) -> SecretRing:
        """Return the current snapshot.

        :raises StoreError: there is none yet.
        :raises UnknownKeyError: the snapshot is too old to be trusted.
        """
        now = self._clock()
        # One thread reads; the others go on with what there is, or wait for the first.
        nothing = self._ring is None
        if (nothing or self._is_due(now)) and self._reading.acquire(blocking=nothing):
            try:
                if self._is_due(now):
                    self._read(now)
            finally:
                self._reading.release()
        if self._ring is None:
            raise StoreError
        # In this order: another thread may be reading at this moment.
        read_at = self._read_at
        if not 0 <= self._clock() - read_at <= MAX_STALE:
            raise UnknownKeyError
        return self._ring

    def _is_due(self, now: float) -> bool:
        # A clock that was set back must not stop the reading.
        return not 0 <= now - self._tried_at < POLL_INTERVAL

    def _read(self, now: float) -> None:
        self._tried_at = now
        try:
            self._ring = self._secrets.read(self._audience)
        except StoreError as error:
            log.warning("derivation secrets not read: %s", error.code)
        else:
            self._read_at = now
