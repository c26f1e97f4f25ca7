"""The derivation secrets of a resource server, from the authorization server.

DPoP Symmetric Profile 1.0. A keyring is good from when it was made, not from when it
came: neither an answer of 304 nor one that cannot be verified makes it younger.
"""

from __future__ import annotations

import functools
import logging
import os
import random
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from joserfc.jwk import Key

from dpop_ext import telemetry
from dpop_ext.errors import DPoPError
from dpop_ext.log_events import log_event
from dpop_ext.resource_server.jwks import KeySource
from dpop_ext.resource_server.keyring_fetch import KeyringFetch
from dpop_ext.resource_server.keyring_request import KeyringRequest
from dpop_ext.symmetric.keyring_floor import KeyringError
from dpop_ext.symmetric.secret_ring import SecretRing

#: An interval is longer by up to this part of it, so that servers do not ask at once.
JITTER = 0.1
#: Seconds after which a request that failed is made again, at most a poll.
RETRY_INTERVAL = 10
#: Seconds from one request to the next for the sake of a version that is not known.
SYNC_INTERVAL = 5
#: Seconds that a request of a client waits for such a one.
SYNC_WAIT = 0.2
#: Seconds that the first requests of all wait for the first keyring.
FIRST_WAIT = 10
#: How long the thread that polls sleeps at a time, in seconds.
MIN_SLEEP, MAX_SLEEP = 0.05, 0.5

_logger = logging.getLogger("dpop_ext.resource_server")


def _in_background(task: Callable[[], None]) -> None:
    threading.Thread(target=task, name="dpop-keyring", daemon=True).start()


def _keep_polling(reference: weakref.ref[HTTPKeyringSource]) -> None:
    """Poll until nobody has the source any more."""
    while (source := reference()) is not None:
        wait = source.poll_if_due()
        del source
        # Not all the time at once: the clock may be set, and the source given up.
        time.sleep(min(max(wait, MIN_SLEEP), MAX_SLEEP))


class HTTPKeyringSource:
    """A :class:`dpop_ext.stores.base.KeyringSource` that polls the issuer.

    It is polled in a thread, once at a time, and requests of clients wait for the first
    poll only: what was there before is used meanwhile. When the issuer does not answer,
    symmetric proofs are accepted until the keyring is three polls old, and then refused
    with ``use_dpop_asymmetric``; asymmetric ones never depend on it.

    :param request: how to ask, and whom.
    :param audience: this resource server.
    :param private_keys: the registered encryption key, and those before it that may
        still be in use.
    :param jwks: the issuer's public keys: a JWK Set, or the source that the validator
        of its access tokens has.
    :param cache: file to keep the keyring in, as encrypted as it came, for a start
        while the issuer is out of reach, and the state that a keyring must not fall
        behind. None: an older keyring is accepted after a restart.
    :param poll: seconds between two polls, in place of what the issuer asks for, which
        is used from 30 to 600 only. How old a keyring may get stays the issuer's.
    :param run: runs a poll when a request causes one; None: a thread polls all the
        time, from the first request on.
    :param clock: seconds since the epoch.
    :raises TypeError: *private_keys* is no list, or *jwks* no JWK Set or source.
    :raises ValueError: *poll* is not positive, there is no private key, or *jwks* is a
        JWK Set without a key.
    :raises OSError: what was kept is there and cannot be read or trusted.
    :raises KeyringError: it is not what was written.
    """

    def __init__(
        self,
        request: KeyringRequest,
        *,
        audience: str,
        private_keys: Sequence[Key],
        jwks: KeySource | Mapping[str, Any],
        cache: Path | str | None = None,
        poll: float | None = None,
        run: Callable[[Callable[[], None]], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if poll is not None and poll <= 0:
            raise ValueError("poll must be positive")
        self._fetched = KeyringFetch(
            request,
            audience=audience,
            private_keys=private_keys,
            jwks=jwks,
            cache=cache,
            clock=clock,
        )
        self._poll = poll
        self._background = run is None
        self._run = run or _in_background
        self._clock = clock
        self._nothing = SecretRing(
            (), issuer=request.issuer, audience=audience, good_until=0
        )
        self._lock = threading.Lock()
        #: Set when the poll that is under way has ended.
        self._under_way: threading.Event | None = None
        self._pid = 0
        self._first = threading.Event()
        self._tried_at = self._next_at = float("-inf")

    def load(self) -> SecretRing:
        """Return the current secrets.

        Those that are too old refuse every version, as does an empty ring while there
        are none: clients go on with asymmetric proofs.
        """
        if self._pid != os.getpid():
            self._begin()
        if self._is_due():
            self._start(self._is_due, self._run)
        if self._fetched.keyring is None:
            self._first.wait(FIRST_WAIT)
        keyring = self._fetched.keyring
        return keyring.ring if keyring is not None else self._nothing

    def sync(self) -> None:
        """Ask now, for the sake of a version that is not known here.

        To be called once the token's signature has been verified: the issuer must not
        be made to work by tokens that it never issued. Waits :data:`SYNC_WAIT` seconds
        at most. Between two requests there are :data:`SYNC_INTERVAL` seconds at least.
        """
        under_way = self._start(self._may_sync, self._run)
        if under_way is not None:
            under_way.wait(SYNC_WAIT)

    def poll_if_due(self) -> float:
        """Poll in this thread, if it is time; return the seconds until it is again."""
        self._start(self._is_due, lambda task: task())
        return self._next_at - self._clock()

    def _begin(self) -> None:
        """Start what polls when no requests come, once in each process."""
        with self._lock:
            if self._pid == os.getpid():
                return
            # A poll that the process was forked with has no thread here.
            self._pid, self._under_way = os.getpid(), None
        if self._background:
            _in_background(functools.partial(_keep_polling, weakref.ref(self)))

    def _is_due(self) -> bool:
        # A clock that was set back must not stop the polls.
        return not self._tried_at <= self._clock() < self._next_at

    def _may_sync(self) -> bool:
        return not 0 <= self._clock() - self._tried_at < SYNC_INTERVAL

    def _start(
        self, wanted: Callable[[], bool], run: Callable[[Callable[[], None]], None]
    ) -> threading.Event | None:
        """Start a poll if *wanted*, unless one is under way; return what it sets."""
        with self._lock:
            if self._under_way is not None:
                return self._under_way
            if not wanted():
                return None
            ended = self._under_way = threading.Event()
        try:
            run(lambda: self._poll_once(ended))
        except BaseException:
            # No thread, no end.
            self._under_way = None
            raise
        return ended

    def _poll_once(self, ended: threading.Event) -> None:
        now = self._clock()
        wait: float = RETRY_INTERVAL
        try:
            self._fetched.fetch(now, poll=self._interval())
        except Exception as error:  # noqa: BLE001 - whatever it was, there is no keyring
            self._log(error, now)
            self._count("failed", now)
        else:
            wait = self._interval()
            self._count("answered", now)
        finally:
            wait = min(wait, self._interval())
            self._tried_at = self._clock()
            self._next_at = self._tried_at + wait * (1 + JITTER * random.random())  # noqa: S311 - spreads load
            self._under_way = None
            self._first.set()
            ended.set()

    def _interval(self) -> float:
        if self._poll is not None:
            return self._poll
        keyring = self._fetched.keyring
        return keyring.poll if keyring is not None else RETRY_INTERVAL

    def _count(self, outcome: Literal["answered", "failed"], now: float) -> None:
        keyring = self._fetched.keyring
        age = now - keyring.issued_at if keyring is not None else None
        telemetry.record_keyring_poll(outcome=outcome, age=age)

    def _log(self, error: Exception, now: float) -> None:
        """Log a poll that failed, and loudly when symmetric proofs will soon fail.

        One that was not answered is nothing yet.
        """
        keyring = self._fetched.keyring
        level, reason = logging.WARNING, type(error).__name__
        if isinstance(error, KeyringError):
            reason = str(error)
        elif isinstance(error, DPoPError):
            reason = error.code
        elif isinstance(error, OSError):
            level = logging.INFO
        if keyring is None or now - keyring.issued_at >= 2 * self._interval():
            level = logging.ERROR
        log_event(
            _logger,
            level,
            "keyring_unavailable",
            "no keyring: %s",
            reason,
            reason=reason,
        )
