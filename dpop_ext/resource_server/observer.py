"""Counts what clients send while proofs are observed, by client."""

from __future__ import annotations

import errno
import json
import logging
import os
import stat
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from dpop_ext.core.confirmation import AccessToken
from dpop_ext.errors import StoreError
from dpop_ext.log_events import log_event
from dpop_ext.resource_server.claims import MAX_TEXT
from dpop_ext.resource_server.tally import OTHERS, SUCCESSES, Tally

#: Client of tokens that name none.
UNKNOWN: Final = "(unknown)"
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
        file: Path | str | None = None,
        interval: float = 60,
        max_clients: int = 1000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        file = None if file is None else Path(file)
        if file is not None and file.exists() and not file.is_file():
            raise ValueError("observations go to a regular file")
        self._enforces = enforce if callable(enforce) else _of_clients(enforce)
        self._file = file
        self._interval = interval
        self._max_clients = max_clients
        self._clock = clock
        self._lock = threading.Lock()
        self._counted: dict[str, Tally] = {}
        self._pending: dict[str, Tally] = {}
        #: What could not be written; it is in what was counted.
        self._unwritten: dict[str, Tally] = {}
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
        :raises StoreError: that cannot be told now.
        """
        try:
            return self._enforces(token)
        except StoreError:
            raise
        except Exception as error:
            # A table that is out of reach demands nothing, and grants nothing either.
            raise StoreError from error

    def count(self, client_id: str | None, reason: str) -> None:
        """Count one request.

        :param client_id: of its token, which is valid.
        :param reason: ``ok``, ``bearer``, or why it would be refused.
        """
        now = self._clock()
        name = client_id or UNKNOWN
        if len(name) > MAX_TEXT:
            # Not a part of it, which may be all of another one's.
            name = OTHERS
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
        """Write out what was counted since the last time.

        What cannot be written is kept for the next time.
        """
        with self._lock:
            pending = self._merged(self._unwritten, self._pending)
            counted = self._all()
            self._counted = {tally.client: tally for tally in counted}
            self._pending, self._unwritten = {}, {}
            self._flushed_at = self._clock()
        if self._file is None:
            for tally in pending:
                _log(tally)
        elif pending and (unwritten := _append(self._file, pending)):
            with self._lock:
                kept = {tally.client: tally for tally in unwritten}
                merged = self._merged(kept, self._unwritten)
                self._unwritten = {tally.client: tally for tally in merged}

    def _all(self) -> list[Tally]:
        return self._merged(self._counted, self._pending)

    def _merged(self, *groups: dict[str, Tally]) -> list[Tally]:
        merged: dict[str, Tally] = {}
        for tallies in groups:
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


def _append(file: Path, tallies: list[Tally]) -> list[Tally]:
    """Append lines to *file*; return what is not in it then."""
    left, lead = list(tallies), "\n"
    try:
        # Opened each time, so that it can be rotated away.
        # Not blocking: a pipe that nobody reads would hold up the request.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0)
        opened = os.open(file, flags, 0o600)
        try:
            if not stat.S_ISREG(os.fstat(opened).st_mode):
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            while left:
                event = {"event": "client_observed", **left[0].to_json()}
                # After a line of which another process could write a part only.
                line = f"{lead}{json.dumps(event)}\n".encode("ascii")
                # One write each: lines of several processes do not mix.
                if os.write(opened, line) < len(line) - 1:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                left, lead = left[1:], ""
        finally:
            os.close(opened)
    except OSError as error:
        log_event(
            _logger,
            logging.WARNING,
            "observations_not_kept",
            "observations of %d clients are not in the file yet: %s",
            len(left),
            type(error).__name__,
            cause=type(error).__name__,
        )
    return left


def require_observer(observer: Observer) -> Observer:
    """Refuse what is no observer, such as the name of its file.

    :raises TypeError: it is something else.
    """
    if not isinstance(observer, Observer):
        raise TypeError("observer is an Observer, such as Observer(file=path)")
    return observer
