"""The keys of an authorization server, given or fetched: :rfc:`7517#section-5`."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

from joserfc.jwk import Key

from dpop_ext.core.key_set import StaticKeys
from dpop_ext.core.strict_json import parse_json_object
from dpop_ext.errors import StoreError
from dpop_ext.log_events import log_event
from dpop_ext.resource_server.transport import fetch, require_secure_url, why

#: Seconds between two fetches while the last one failed.
RETRY_INTERVAL = 2
#: Characters ``{}[]:,`` that it may have.
_MAX_STRUCTURAL = 4096

_logger = logging.getLogger("dpop_ext.resource_server")


class KeySource(Protocol):
    """Where an access token validator finds the key of a token."""

    def find(self, kid: str | None, *, algorithm: str) -> Key:
        """Return the one key that a token may be signed with.

        :param kid: of the token's header.
        :raises AccessTokenError: there is no such key, or more than one.
        :raises StoreError: that cannot be told now.
        """
        ...


class RemoteKeys:
    """The keys at the ``jwks_uri`` of an authorization server, kept for a while.

    They are fetched when first needed and again after *max_age*. A token with an
    unknown ``kid`` causes one more fetch, as the issuer may have a new key, but none
    within *min_interval* of the last, so that made-up tokens cannot be used to flood
    the issuer. If it does not answer, it is asked again after :data:`RETRY_INTERVAL`;
    meanwhile keys that are known go on to be used, until *max_stale*, and a token that
    needs another key cannot be decided upon.

    :param jwks_uri: https, or http to a loopback address.
    :param max_age: seconds until the keys are fetched again.
    :param max_stale: seconds since the last good answer after which the keys are given
        up: a key that the issuer withdrew must not live on because it is out of reach.
    :param min_interval: seconds between two fetches for the sake of unknown keys.
    :param fetch: gets the document; it must bound time and size, follow no redirect,
        and raise any exception when it fails.
    :param clock: seconds since the epoch.
    :raises ValueError: *jwks_uri* is plain http.
    """

    def __init__(
        self,
        jwks_uri: str,
        *,
        max_age: float = 600,
        max_stale: float = 3600,
        min_interval: float = 30,
        fetch: Callable[[str], bytes] = fetch,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._uri = require_secure_url(jwks_uri, "jwks_uri")
        self._max_age = max_age
        self._max_stale = max_stale
        self._min_interval = min_interval
        self._fetch = fetch
        self._clock = clock
        self._keys: StaticKeys | None = None
        self._fetched_at = 0.0
        self._tried_at: float | None = None
        #: The last try gave no keys: what is unknown may be a key that we missed.
        self._failed = False
        self._fetching = threading.Lock()

    def find(self, kid: str | None, *, algorithm: str) -> Key:
        """Return the key with the identifier *kid*, or the only one that fits."""
        keys, age = self._keys, self._age()
        if keys is None or age >= self._max_stale or _lacks(keys, kid):
            # Nobody waits for an issuer that did not answer last time: made-up tokens
            # would take all threads, and others are served without it.
            self._refresh(keys, wait=keys is None or not self._failed)
        elif age >= self._max_age:
            # One thread asks; the others go on with what they have.
            self._refresh(keys, wait=False)
        keys = self._keys
        if (
            keys is None
            or self._age() >= self._max_stale
            or (self._failed and _lacks(keys, kid))
        ):
            raise StoreError("The keys of the authorization server are not available.")
        return keys.find(kid, algorithm=algorithm)

    def _age(self) -> float:
        """Return the seconds since the last good answer."""
        # In this order: another thread may be fetching at this moment.
        fetched_at = self._fetched_at
        age = self._clock() - fetched_at
        # A clock that was set back tells nothing: as old as can be.
        return age if age >= 0 else self._max_stale

    def _refresh(self, known: StaticKeys | None, *, wait: bool) -> None:
        """Fetch the keys, unless another thread has done so or it is too soon."""
        if not self._fetching.acquire(blocking=wait):
            return
        try:
            if self._keys is not known or not self._may_try():
                return
            try:
                document = parse_json_object(
                    self._fetch(self._uri), max_structural=_MAX_STRUCTURAL
                )
                self._keys = StaticKeys(document)
            except Exception as error:  # noqa: BLE001 - whatever it was, there are none
                self._failed = True
                log_event(
                    _logger,
                    logging.WARNING,
                    "keys_unavailable",
                    "no keys from %s: %s",
                    ascii(self._uri),
                    why(error),
                    cause=type(error).__name__,
                )
            else:
                self._fetched_at = self._clock()
                self._failed = False
            # After the answer: those who waited for it do not all try again.
            self._tried_at = self._clock()
        finally:
            self._fetching.release()

    def _may_try(self) -> bool:
        if self._tried_at is None:
            return True
        interval = min(RETRY_INTERVAL, self._min_interval)
        if not self._failed:
            interval = self._min_interval
        # A clock that was set back must not keep us from trying.
        return not 0 <= self._clock() - self._tried_at < interval


def _lacks(keys: StaticKeys, kid: str | None) -> bool:
    return kid is not None and not keys.has(kid)
