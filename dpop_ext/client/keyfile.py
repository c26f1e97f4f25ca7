"""A private key in a file that only its owner can read: :rfc:`9449#section-11.4`."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import stat
from pathlib import Path

from joserfc.jwk import ECKey, Key, OKPKey, RSAKey, import_key

#: Bytes of a key file. A 4096 bit RSA key takes 3.2 kB.
MAX_SIZE = 16384

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def save_key(path: Path | str, key: Key) -> None:
    """Write a private key as a JWK, with mode 0600.

    The file appears at once and complete: a crash leaves the old one or the new one.

    :param path: where to write; a file there is replaced.
    :param key: the private key.
    :raises ValueError: the key is no private key.
    :raises PermissionError: *path* is a symbolic link.
    """
    if not isinstance(key, ECKey | OKPKey | RSAKey) or not key.is_private:
        raise ValueError("Only a private key is worth a key file.")
    path = Path(path)
    if path.is_symlink():
        raise PermissionError("The key file must not be a symbolic link.")
    content = json.dumps(key.as_dict(private=True), indent=2).encode("ascii") + b"\n"
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    # O_EXCL: the name is new, and no link that someone put there is followed.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    descriptor = os.open(temporary, flags, stat.S_IRUSR | stat.S_IWUSR)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _sync_directory(path.parent)


def load_key(path: Path | str) -> Key:
    """Read the private key that :func:`save_key` wrote.

    :raises FileNotFoundError: there is no such file.
    :raises PermissionError: a symbolic link, no regular file, the file of another
        user, or one that group or others may read or write.
    :raises ValueError: the content is no private JWK.
    """
    content = _read_private(Path(path))
    try:
        key = import_key(json.loads(content))
        private = isinstance(key, ECKey | OKPKey | RSAKey) and key.is_private
    except Exception:  # noqa: BLE001  joserfc lets KeyError, TypeError and others out
        private = False
    # Raised outside of the except clause: its cause could carry the key.
    if not private:
        raise ValueError("The key file does not hold a private JWK.")
    return key


def _read_private(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if path.is_symlink():
            message = "The key file must not be a symbolic link."
            raise PermissionError(message) from error
        raise
    with os.fdopen(descriptor, "rb") as file:
        # Of the open file, not of its name, which can be moved in between.
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise PermissionError("The key file must be a regular file.")
        if status.st_uid != os.geteuid():
            raise PermissionError("The key file must belong to the user who reads it.")
        if status.st_mode & _OTHERS:
            raise PermissionError("The key file must have mode 0600 or less.")
        return file.read(MAX_SIZE)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
