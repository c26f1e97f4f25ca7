"""Counts what clients send while proofs are observed, by client."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from dpop_ext.core.confirmation import AccessToken
from dpop_ext.resource_server.readiness import SUCCESSES, Tally
from dpop_ext.telemetry import log_event

#: Client of tokens that name none.
UNKNOWN: Final = "(unknown)"
#: Where clients are counted for which there is no room.
OTHERS: Final = "(others)"

#: Characters of a client identifier that are kept.
_MAX_NAME = 200

_logger = logging.getLogger("dpop_ext.resource_server")


class Observer:
    """Lets requests pass that have no good proof, and counts them by client.

    One object serves all requests of a process. What it has counted goes out every
    *interval* seconds, with the next request: as lines of a file that the processes of
    a machine share, or as log events ``client_observed``. ``dpop-ext readiness`` adds
    them up. Call :meth:`flush` when the process ends, or the last ones are lost::

        observer = Observer(file=Path("/var/log/api/dpop.jsonl"))
        atexit.register(observer.flush)

    That nothing is enforced stands in the log once, as a warning.

    :param enforce: clients of which good proofs are demanded already: their
        identifiers, or a function of the verified access token. For them there is no
        Bearer any more.
    :param file: where lines are appended; None writes log events.
    :param interval: in seconds.
    :param max_clients: that are counted by name; the rest is counted together.
    :param clock: seconds since the epoch.
    """

    def __init__(
        self,
        *,
        enforce: Iterable[str] | Callable[[AccessToken], bool] = (),
        file: Path | None = None,
        interval: float = 60,
        max_clients: int = 1000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._enforces = enforce if callable(enforce) else _of_clients(enforce)
        self._file = file
        self._interval = interval
        self._max_clients = max_clients
        self._clock = clock
        self._lock = threading.Lock()
        self._counted: dict[str, Tally] = {}
        self._pending: dict[str, Tally] = {}
        self._flushed_at = clock()
        log_event(
            _logger,
            logging.WARNING,
            "not_enforced",
            "DPoP proofs are observed and not enforced",
        )

    def enforces(self, token: AccessToken) -> bool:
        """Tell whether a good proof is demanded of whoever sends this token.

        :param token: verified.
        """
        return self._enforces(token)

    def count(self, client_id: str | None, reason: str) -> None:
        """Count one request.

        :param client_id: of its token, which is valid.
        :param reason: ``ok``, ``bearer``, or why it would be refused.
        """
        now = self._clock()
        name = client_id[:_MAX_NAME] if client_id else UNKNOWN
        with self._lock:
            tally = _tally_of(self._pending, name, self._max_clients)
            tally.count(reason, now=int(now))
            # A clock that was set back must not stop it.
            is_due = not self._flushed_at <= now < self._flushed_at + self._interval
        if is_due:
            self.flush()

    def tallies(self) -> list[Tally]:
        """Return what this process has counted, by client."""
        with self._lock:
            return self._all()

    def flush(self) -> None:
        """Write out what was counted since the last time."""
        with self._lock:
            pending, counted = list(self._pending.values()), self._all()
            self._counted = {tally.client: tally for tally in counted}
            self._pending = {}
            self._flushed_at = self._clock()
        if self._file is None:
            for tally in pending:
                _log(tally)
        elif pending:
            _append(self._file, pending)

    def _all(self) -> list[Tally]:
        merged: dict[str, Tally] = {}
        for tallies in (self._counted, self._pending):
            for tally in tallies.values():
                _tally_of(merged, tally.client, self._max_clients).add(tally)
        return list(merged.values())


def _of_clients(clients: Iterable[str]) -> Callable[[AccessToken], bool]:
    # A string is an iterable of strings too, and its letters are no clients.
    names = frozenset([clients] if isinstance(clients, str) else clients)
    return lambda token: token.client_id in names


def _tally_of(tallies: dict[str, Tally], client: str, limit: int) -> Tally:
    if client not in tallies and len(tallies) >= limit:
        client = OTHERS
    return tallies.setdefault(client, Tally(client=client))


def _log(tally: Tally) -> None:
    fields = tally.to_json()
    log_event(
        _logger,
        logging.INFO,
        "client_observed",
        "observed: client=%s requests=%d clean=%d",
        # ascii() leaves no character that could forge a line of the log.
        ascii(tally.client),
        sum(tally.reasons.values()),
        sum(tally.reasons.get(reason, 0) for reason in SUCCESSES),
        **fields,
    )


def _append(file: Path, tallies: list[Tally]) -> None:
    lines = [
        json.dumps({"event": "client_observed", **tally.to_json()}) + "\n"
        for tally in tallies
    ]
    try:
        # Opened each time, so that it can be rotated away.
        opened = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            # One write each: lines of several processes do not mix.
            for line in lines:
                os.write(opened, line.encode("ascii"))
        finally:
            os.close(opened)
    except OSError as error:
        log_event(
            _logger,
            logging.WARNING,
            "observations_not_kept",
            "observations of %d clients are lost: %s",
            len(tallies),
            type(error).__name__,
            cause=type(error).__name__,
        )
