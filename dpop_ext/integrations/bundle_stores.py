"""Places for a session bundle: a file, or the keyring of the desktop (RFC 9449 11.4).

Importing it needs the extra ``session``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from dpop_ext.extras import needs

with needs("session"):
    import keyring
    from filelock import FileLock, Timeout
    from keyring.backend import KeyringBackend

from dpop_ext.client.bundle_state import MAX_LENGTH
from dpop_ext.client.session_bundle import SessionBundle
from dpop_ext.errors import BundleError
from dpop_ext.stores.private_file import read_private, write_private

__all__ = ["FileBundle", "FileStore", "KeyringBundle", "KeyringStore"]


class _Lock:
    """A lock between all processes of this machine, on a file of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def try_lock(self) -> Callable[[], object] | None:
        # A new one each time: one object can be locked by its owner once more.
        lock = FileLock(self._path, mode=0o600, thread_local=False)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return None
        return lock.release


class FileStore(_Lock):
    """A file with mode 0600; beside it is one whose name ends in ``.lock``.

    :param path: in a directory that is there, and that others cannot write to.
    """

    def __init__(self, path: Path | str) -> None:
        self._file = Path(path)
        super().__init__(self._file.with_name(f"{self._file.name}.lock"))

    def read(self) -> str | None:
        """Return the content.

        :raises PermissionError: a symbolic link, no regular file, the file of another
            user, or one that group or others may read or write.
        :raises OSError: it is too long, or cannot be read.
        :raises BundleError: it is no text.
        """
        try:
            content = read_private(self._file, max_size=MAX_LENGTH)
        except FileNotFoundError:
            return None
        if not content.isascii():
            raise BundleError
        return content.decode("ascii")

    def write(self, text: str) -> None:
        """Replace the content as a whole.

        :raises OSError: it cannot be written.
        """
        write_private(self._file, text.encode("ascii"))


class KeyringStore(_Lock):
    """An entry in the keyring of the desktop.

    Some take short entries only, and a token that is a JWT may be too long for them.

    :param service: name of the application.
    :param username: whose session it is.
    :param lock: path of a file to lock. It holds nothing.
    :param backend: None is the one that the ``keyring`` package finds.
    """

    def __init__(
        self,
        service: str,
        username: str,
        *,
        lock: Path | str,
        backend: KeyringBackend | None = None,
    ) -> None:
        super().__init__(Path(lock))
        self._entry = service, username
        self._backend = backend

    def _keyring(self) -> KeyringBackend:
        return self._backend or keyring.get_keyring()

    def read(self) -> str | None:
        """Return the entry.

        :raises keyring.errors.KeyringError: there is no keyring, or it is locked.
        """
        return self._keyring().get_password(*self._entry)

    def write(self, text: str) -> None:
        """Replace the entry.

        :raises keyring.errors.KeyringError: as :meth:`read`.
        """
        self._keyring().set_password(*self._entry, text)


class FileBundle(SessionBundle):
    """A :class:`.SessionBundle` in a :class:`FileStore`.

    :param path: of the file.
    :param options: ``key``, ``algorithm`` and ``make_signer``.
    """

    def __init__(self, path: Path | str, **options: Any) -> None:
        super().__init__(FileStore(path), **options)


class KeyringBundle(SessionBundle):
    """A :class:`.SessionBundle` in a :class:`KeyringStore`.

    :param service: name of the application.
    :param username: whose session it is.
    :param lock: path of a file to lock.
    :param backend: None is the one that the ``keyring`` package finds.
    :param options: ``key``, ``algorithm`` and ``make_signer``.
    """

    def __init__(
        self,
        service: str,
        username: str,
        *,
        lock: Path | str,
        backend: KeyringBackend | None = None,
        **options: Any,
    ) -> None:
        store = KeyringStore(service, username, lock=lock, backend=backend)
        super().__init__(store, **options)
