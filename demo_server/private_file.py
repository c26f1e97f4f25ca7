"""Files that hold keys: made once, mode 0600, replaced whole."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path


class PrivateFileError(Exception):
    """A key file cannot be read, written, or trusted."""


def read(path: Path) -> bytes:
    """Read a private file.

    :raises PrivateFileError: not a regular file of ours, or others may read it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise PrivateFileError(f"{path}: {error.strerror}") from error
    try:
        # Of the open file: its name may be given to another one meanwhile.
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            raise PrivateFileError(f"{path}: must be a regular file that we own")
        if stat.S_IMODE(status.st_mode) & 0o077:
            raise PrivateFileError(f"{path}: others have access; chmod 600 it")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def read_or_create(path: Path, make: Callable[[], bytes]) -> bytes:
    """Read a private file, made first if there is none.

    Two processes that start at once end with the same content: one creates the
    file, the other reads it.

    :param make: called for the content of a new file.
    :raises PrivateFileError: as :func:`read`, or it cannot be written.
    """
    if not path.exists():
        temporary = _write_temporary(path, make())
        try:
            # A link never replaces: the first process to come here wins.
            os.link(temporary, path)
        except FileExistsError:
            pass
        except OSError as error:
            raise PrivateFileError(f"{path}: {error.strerror}") from error
        finally:
            temporary.unlink()
    return read(path)


def replace(path: Path, content: bytes) -> None:
    """Put new content in the place of the old, as one step for every reader.

    :raises PrivateFileError: it cannot be written.
    """
    temporary = _write_temporary(path, content)
    try:
        temporary.replace(path)
    except OSError as error:
        temporary.unlink()
        raise PrivateFileError(f"{path}: {error.strerror}") from error


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold other processes off a file while it is read, changed and replaced."""
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write_temporary(path: Path, content: bytes) -> Path:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(temporary, flags, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise PrivateFileError(f"{path}: {error.strerror}") from error
    return temporary
