"""Derivation secrets that are read again now and then, and never go back.

DPoP Symmetric Profile 1.0.
"""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dpop_ext.errors import DPoPError
from dpop_ext.log_events import log_event
from dpop_ext.resource_server.keyring_cache import load_floor
from dpop_ext.stores.private_file import locked, write_private
from dpop_ext.symmetric.keyring_claims import MAX_STALE, Keyring, read_claims
from dpop_ext.symmetric.keyring_floor import KeyringError, KeyringFloor
from dpop_ext.symmetric.secret_ring import SecretRing

#: Seconds from one reading to the next for the sake of an unknown version.
SYNC_INTERVAL = 1

_logger = logging.getLogger("dpop_ext.resource_server")


class PolledKeyring(ABC):
    """A :class:`dpop_ext.stores.base.KeyringSource` that reads what is nearby.

    When that cannot be read, what was read last counts for three polls or 90 seconds,
    whichever is longer.

    :param issuer: identifier of the authorization server, as in its tokens.
    :param audience: this resource server.
    :param poll: seconds between two readings, at most 600.
    :param floor: file in which the processes of this server remember how far the
        keyrings have come, so that an older one is refused after a restart. None: it
        is not.
    :param clock: seconds since the epoch.
    :raises ValueError: *poll* is not from 1 to 600.
    :raises OSError: *floor* is there and cannot be read or trusted.
    :raises KeyringError: it is not what was written.
    """

    def __init__(
        self,
        *,
        issuer: str,
        audience: str,
        poll: int = 30,
        floor: Path | str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not 1 <= poll <= 600:
            raise ValueError("poll is from 1 to 600 seconds")
        self._issuer = issuer
        self._audience = audience
        self._poll = poll
        self._floor = KeyringFloor()
        self._floor_path: Path | None = None
        if floor is not None:
            self._floor_path = Path(floor)
            self._floor = load_floor(self._floor_path)
        self._clock = clock
        self._nothing = SecretRing((), issuer=issuer, audience=audience, good_until=0)
        self._keyring: Keyring | None = None
        self._read_at = float("-inf")
        self._reading = threading.Lock()

    @abstractmethod
    def _claims(self) -> dict[str, Any]:
        """Return what the keyring says: ``epoch``, ``seq``, ``min_live``, ``keys``.

        :raises OSError: it cannot be read.
        :raises DPoPError: likewise.
        :raises KeyringError: it is refused.
        """

    def load(self) -> SecretRing:
        """Return the current secrets.

        Those that are too old refuse every version, as does an empty ring while there
        are none.
        """
        self._read_if_older_than(self._poll)
        keyring = self._keyring
        return keyring.ring if keyring is not None else self._nothing

    def sync(self) -> None:
        """Read them again, unless that was just done."""
        self._read_if_older_than(SYNC_INTERVAL)

    def _read_if_older_than(self, age: float) -> None:
        with self._reading:
            # A clock that was set back must not stop the reading.
            if 0 <= self._clock() - self._read_at < age:
                return
            self._read_at = self._clock()
            try:
                self._read()
            except OSError as error:
                _log(type(error).__name__)
            except DPoPError as error:
                # "cannot be decrypted" is another thing to mend than "not available",
                # and a table that is not there than a database that is gone.
                cause = error.__cause__
                name = f" ({type(cause).__name__})" if cause is not None else ""
                _log(f"{error.description}{name}")
            except KeyringError as error:
                _log(str(error))
            except Exception:  # noqa: BLE001 - whatever a malformed one makes Python raise
                # Without it: the exception of a parser may hold what it parsed.
                _log("what was read is malformed")

    def _read(self) -> None:
        claims = self._claims()
        now = int(self._clock())
        # As fresh as the reading: who writes it answers for what is in it.
        claims |= {"iat": now, "exp": now + MAX_STALE, "poll": self._poll}
        if claims.get("iss") != self._issuer or claims.get("aud") != self._audience:
            raise KeyringError("the keyring is of another issuer or audience")
        if self._floor_path is None:
            keyring = read_claims(claims, floor=self._floor, online=True, now=now)
        else:
            with locked(self._floor_path):
                # Another process of this server may have come further.
                kept = load_floor(self._floor_path)
                self._floor = max(self._floor, kept, key=_come_to)
                keyring = read_claims(claims, floor=self._floor, online=True, now=now)
                if keyring.floor != self._floor:
                    write_private(self._floor_path, keyring.floor.dump())
        self._floor = keyring.floor
        self._keyring = keyring


def _log(reason: str) -> None:
    log_event(
        _logger,
        logging.ERROR,
        "keyring_unavailable",
        "no keyring: %s",
        reason,
        reason=reason,
    )


def _come_to(floor: KeyringFloor) -> tuple[int, int]:
    return (floor.epoch, floor.sequence)
