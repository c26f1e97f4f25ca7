"""Nonce secrets in a file that all processes of a server read (RFC 9449 section 8)."""

from __future__ import annotations

import errno
import json
import logging
import os
import secrets
import threading
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from dpop_ext.core.base64url import b64url_decode, b64url_encode
from dpop_ext.core.nonce import MIN_SECRET_LENGTH, PREVIOUS_STEPS, STEP, NonceIssuer
from dpop_ext.errors import StoreError
from dpop_ext.log_events import log_event
from dpop_ext.stores.private_file import locked, read_private, write_private

#: Seconds that a new secret has to reach every process before one makes nonces of it.
DELAY: Final = 60
#: Seconds for which nonces of a secret are good after it made the last one.
GRACE: Final = (PREVIOUS_STEPS + 1) * STEP
#: Bytes of the longest file.
MAX_SIZE: Final = 65_536

_NEVER: Final = 1 << 62

_log = logging.getLogger("dpop_ext.stores")


class _Entry(NamedTuple):
    secret: bytes
    #: When it begins to make nonces, in seconds since the epoch.
    begins_at: int


class FileNonces:
    """:class:`~dpop_ext.core.nonce.NonceIssuer` on secrets that can change.

    For several processes, here or on other machines that get the same file. It is
    looked at once a second. A new secret is recognised as soon as it is in the file
    and makes nonces from its own time on, so that no process is asked to recognise a
    nonce whose secret it has not seen. While the file cannot be read, the secrets that
    were read last stay in use.

    :param path: from :func:`create_nonce_file`, mode 0600.
    :raises StoreError: the file cannot be read now, at the start.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()
        self._looked_at = -1
        self._version = _version(self._path)
        self._entries = _load(self._path)
        self._issuer, self._changes_at = _issuer(self._entries, now=0)

    def __repr__(self) -> str:
        return f"<FileNonces with {len(self._entries)} secret(s)>"

    def issue(self, *, purpose: Literal["as", "rs"], now: int) -> str:
        """Return the current nonce, as :meth:`NonceIssuer.issue`."""
        return self._current(now).issue(purpose=purpose, now=now)

    def verify(self, nonce: object, *, purpose: Literal["as", "rs"], now: int) -> int:
        """Recognise a nonce, as :meth:`NonceIssuer.verify`."""
        return self._current(now).verify(nonce, purpose=purpose, now=now)

    def _current(self, now: int) -> NonceIssuer:
        if now != self._looked_at:
            with self._lock:
                self._looked_at = now
                self._look()
                if now >= self._changes_at:
                    self._issuer, self._changes_at = _issuer(self._entries, now=now)
        return self._issuer

    def _look(self) -> None:
        version = _version(self._path)
        if version == self._version:
            return
        try:
            entries = _load(self._path)
        except StoreError as error:
            log_event(
                _log,
                logging.ERROR,
                "nonce_secrets_unavailable",
                "the nonce secrets in %s could not be read: %s",
                ascii(str(self._path)),
                error.description,
                file=str(self._path),
                reason=error.description,
            )
            return
        # Of before it was read: a file replaced in between is read once more.
        self._version, self._entries, self._changes_at = version, entries, 0


def create_nonce_file(path: Path) -> None:
    """Make a file with one secret, unless there is one.

    :raises OSError: it cannot be written.
    """
    if path.exists():
        return
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    write_private(temporary, _dump([_Entry(_new_secret(), 0)]))
    try:
        # A link never replaces: of several processes the first one wins.
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()


def rotate_nonce_file(path: Path, *, now: int, delay: int = DELAY) -> int:
    """Add a secret; drop those whose nonces are no longer good.

    A nonce that was issued before stays good for its time, so no client notices.

    :param now: seconds since the epoch.
    :param delay: seconds until the new secret makes nonces. 0 makes some clients try
        again that come to a process which has not looked at the file.
    :returns: when the new secret begins to make nonces, in seconds since the epoch.
    :raises StoreError: the file cannot be read.
    :raises OSError: it cannot be written, or would be longer than what is read of it.
    """
    if delay < 0:
        raise ValueError("delay must not be negative")
    with locked(path):
        entries = _load(path)
        begins_at = max(now + delay, entries[-1].begins_at)
        following = [entry.begins_at for entry in entries[1:]] + [begins_at]
        kept = [
            entry
            for entry, until in zip(entries, following, strict=True)
            if now < until + GRACE
        ]
        content = _dump([*kept, _Entry(_new_secret(), begins_at)])
        # Else no server could start any more, and no rotation make it shorter.
        if len(content) > MAX_SIZE:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        write_private(path, content)
    return begins_at


def _issuer(entries: list[_Entry], *, now: int) -> tuple[NonceIssuer, int]:
    """Return what makes nonces now, and when that changes."""
    pending = [entry for entry in entries[1:] if entry.begins_at > now]
    begun = entries[: len(entries) - len(pending)]
    # The last one makes nonces, all of them are recognised.
    issuer = NonceIssuer([entry.secret for entry in (*pending, *begun)])
    return issuer, pending[0].begins_at if pending else _NEVER


def _new_secret() -> bytes:
    return secrets.token_bytes(MIN_SECRET_LENGTH)


def _version(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _dump(entries: list[_Entry]) -> bytes:
    items = [
        {"secret": b64url_encode(entry.secret), "begins_at": entry.begins_at}
        for entry in entries
    ]
    return json.dumps(items, indent=1).encode()


#: What a file of something else leads to: deep brackets and infinite times among it.
_FAULTS = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError),
    *(RecursionError, OverflowError),
)


def _advice(error: Exception) -> str:
    """Return what is to be done about a file that :func:`_load` could not use."""
    if isinstance(error, FileNotFoundError):
        return "There is no file of nonce secrets: dpop-ext nonces create makes one."
    if isinstance(error, PermissionError):
        return (
            "The file of nonce secrets must be a regular file with mode 0600 that "
            "belongs to the user of the process."
        )
    if isinstance(error, OSError):
        return "The file of nonce secrets cannot be read."
    return "The file of nonce secrets is none that dpop-ext nonces create makes."


def _load(path: Path) -> list[_Entry]:
    """Return the secrets, oldest to newest.

    :raises StoreError: the file cannot be read, trusted or understood.
    """
    try:
        items: Any = json.loads(read_private(path, max_size=MAX_SIZE))
        entries = [
            _Entry(b64url_decode(item["secret"]), int(item["begins_at"]))
            for item in items
        ]
        NonceIssuer([entry.secret for entry in entries])
    except _FAULTS as error:
        raise StoreError(_advice(error)) from error
    if sorted(entries, key=lambda entry: entry.begins_at) != entries:
        raise StoreError("The file of nonce secrets is not in order.")
    return entries
