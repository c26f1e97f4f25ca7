"""Files that only their owner may read, replaced as a whole (RFC 9449 section 11.4)."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path

#: Seconds to wait for others that change a file, and between two tries.
LOCK_TIMEOUT = 5.0
LOCK_PAUSE = 0.02

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def read_private(path: Path, *, max_size: int) -> bytes:
    """Read a private file.

    :param max_size: in bytes.
    :raises FileNotFoundError: there is none.
    :raises PermissionError: a symbolic link, no regular file, the file of another
        user, or one that group or others may read or write.
    :raises OSError: it is longer than *max_size*, or cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if path.is_symlink():
            raise _refused(path, "The file must not be a symbolic link") from error
        raise
    with os.fdopen(descriptor, "rb") as file:
        # Of the open file, not of its name, which can be moved in between.
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise _refused(path, "The file must be a regular file")
        if status.st_uid != os.geteuid():
            raise _refused(path, "The file must belong to the user who reads it")
        if status.st_mode & _OTHERS:
            raise _refused(path, "The file must have mode 0600 or less")
        content = file.read(max_size + 1)
    if len(content) > max_size:
        raise OSError(errno.EFBIG, "The file is too long", str(path))
    return content


def _refused(path: Path, reason: str) -> PermissionError:
    """Return an error that names the file, as those of the system do."""
    return PermissionError(errno.EACCES, reason, str(path))


def write_private(path: Path, content: bytes) -> None:
    """Write a file with mode 0600, in the place of one that is there.

    It appears at once and complete: a crash leaves the old one or the new one.

    :raises PermissionError: there is a device, a pipe or a socket of that name.
    :raises OSError: it cannot be written.
    """
    _check_replaceable(path)
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
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _check_replaceable(path: Path) -> None:
    """Refuse what a file must not take the place of, such as ``/dev/null`` for root."""
    with contextlib.suppress(FileNotFoundError):
        mode = path.lstat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
            raise _refused(path, "The file must be a regular file")


@contextlib.contextmanager
def locked(path: Path, *, timeout: float = LOCK_TIMEOUT) -> Iterator[None]:
    """Hold other processes off a file that is read, changed and written.

    Only those that ask in the same way. The lock is on its directory, since the file
    itself is replaced.

    :param timeout: seconds to wait for those who hold it.
    :raises TimeoutError: somebody held it for so long.
    :raises OSError: there is no such directory, or it cannot be locked.
    """
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _lock(descriptor, until=time.monotonic() + timeout)
        yield
    finally:
        # To close it is not enough: a process that was forked meanwhile has it, too.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _lock(descriptor: int, *, until: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            # A process that is stopped, or a file server that has lost one, can hold
            # it for ever, and whoever waits may be what fetches new keys.
            if time.monotonic() >= until:
                raise TimeoutError("the directory stays locked") from error
            time.sleep(LOCK_PAUSE)
        else:
            return
