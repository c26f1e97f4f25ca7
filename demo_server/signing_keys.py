"""The keys that sign access tokens: a private JWK Set in a file (RFC 7517)."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from demo_server import private_file
from demo_server.private_file import PrivateFileError

ALGORITHM = "ES256"

#: Name of the file in the directory of the keys.
SIGNING_KEYS_FILE = "signing.json"


@dataclass(frozen=True, slots=True)
class _Entry:
    key: ECKey
    #: When a key that signs no more is dropped, in seconds; None for the one that does.
    expires_at: int | None


class SigningKeys:
    """The key that signs, and the ones before it whose tokens are still out.

    The file is looked at on every use, so that a rotation by another process counts
    from the next token on.

    :param path: made at first use, mode 0600.
    :param clock: seconds since the epoch.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._version: tuple[int, int, int] | None = None
        self._entries: list[_Entry] = []

    def signing_key(self) -> ECKey:
        """Return the private key to sign with.

        :raises PrivateFileError: the file cannot be read, or has no such key.
        """
        for entry in self._load():
            if entry.expires_at is None:
                return entry.key
        raise PrivateFileError(f"{self._path}: no key that signs")

    def public_jwks(self) -> dict[str, list[dict[str, Any]]]:
        """Return the public keys of live tokens as a JWK Set (:rfc:`7517#section-5`).

        :raises PrivateFileError: the file cannot be read.
        """
        return {
            "keys": [dict(entry.key.as_dict(private=False)) for entry in self._live()]
        }

    def rotate(self, *, keep_until: int) -> str:
        """Sign with a new key from now on; return its ``kid``.

        :param keep_until: when the last token of the old key has expired, in seconds
            since the epoch.
        :raises PrivateFileError: the file cannot be read or written.
        """
        private_file.read_or_create(self._path, _new_file)
        with private_file.locked(self._path):
            entries = [
                _Entry(entry.key, entry.expires_at or keep_until)
                for entry in self._live()
            ]
            new = _Entry(_new_key(), None)
            private_file.replace(self._path, _dump([new, *entries]))
        return new.key.kid or ""

    def _live(self) -> list[_Entry]:
        now = self._clock()
        return [
            entry
            for entry in self._load()
            if entry.expires_at is None or now < entry.expires_at
        ]

    def _load(self) -> list[_Entry]:
        with self._lock:
            version = self._file_version()
            if version is None or version != self._version:
                content = private_file.read_or_create(self._path, _new_file)
                self._entries = _parse(self._path, content)
                # Taken before the content, never after it: a file replaced in between
                # is read once more, not missed.
                self._version = version
            return self._entries

    def _file_version(self) -> tuple[int, int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size


def _new_key() -> ECKey:
    key = ECKey.generate_key("P-256", {"use": "sig", "alg": ALGORITHM})
    return ECKey.import_key({**key.as_dict(private=True), "kid": key.thumbprint()})


def _new_file() -> bytes:
    return _dump([_Entry(_new_key(), None)])


def _dump(entries: list[_Entry]) -> bytes:
    keys = [
        {"key": entry.key.as_dict(private=True), "expires_at": entry.expires_at}
        for entry in entries
    ]
    return json.dumps(keys, indent=1).encode()


def _parse(path: Path, content: bytes) -> list[_Entry]:
    try:
        return [
            _Entry(ECKey.import_key(item["key"]), item["expires_at"])
            for item in json.loads(content)
        ]
    except (ValueError, KeyError, TypeError, JoseError) as error:
        raise PrivateFileError(f"{path}: not a file of signing keys") from error
