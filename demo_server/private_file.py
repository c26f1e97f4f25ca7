"""Files that hold keys: made once, and locked while they are changed."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from dpop_ext.stores.private_file import locked as locked_directory
from dpop_ext.stores.private_file import read_private, write_private

_MAX_SIZE = 65_536
#: Seconds in which another process makes its keys, on a busy machine.
LOCK_TIMEOUT = 20.0


class PrivateFileError(Exception):
    """A key file cannot be read, written, or trusted."""


def read(path: Path) -> bytes:
    """Read a private file.

    :raises PrivateFileError: not a regular file of ours, or others may read it.
    """
    with _named(path):
        return read_private(path, max_size=_MAX_SIZE)


def read_or_create(path: Path, make: Callable[[], bytes]) -> bytes:
    """Read a private file, made first if there is none.

    Two processes that start at once end with the same content: one creates the
    file, the other reads it.

    :param make: called for the content of a new file.
    :raises PrivateFileError: as :func:`read`, or it cannot be written.
    """
    with _named(path):
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            content = make()
            with tempfile.TemporaryDirectory(dir=path.parent) as directory:
                temporary = Path(directory) / path.name
                write_private(temporary, content)
                # A link never replaces: the first process to come here wins.
                with contextlib.suppress(FileExistsError):
                    os.link(temporary, path)
    return read(path)


def replace(path: Path, content: bytes) -> None:
    """Put new content in the place of the old, as one step for every reader.

    :raises PrivateFileError: it cannot be written.
    """
    with _named(path):
        write_private(path, content)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold other processes off a file while it is read, changed and replaced.

    :raises PrivateFileError: another one has held it for 20 seconds, or there is no
        such directory.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked_directory(path, timeout=LOCK_TIMEOUT))
        except TimeoutError as error:
            raise PrivateFileError(
                f"{path}: another process holds its directory for too long"
            ) from error
        except OSError as error:
            raise PrivateFileError(f"{path}: {error.strerror}") from error
        yield


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Raise what the operating system raises with the name of the file."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise PrivateFileError(f"{path}: {reason}") from error
