"""Where a session is kept between two commands (:rfc:`9449#section-11.4`)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click

from dpop_ext.cli.group import SECRET_VARIABLE, Refusal
from dpop_ext.client.bundle_store import BundleStore

#: Before the name of an entry in the keyring.
KEYRING: Final = "keyring:"

_SERVICE = "dpop-ext"


class SessionPlace:
    """A file, or an entry of the keyring.

    :param named: path of a file, or ``keyring:NAME``; None is the usual file.
    :raises Refusal: the name is none.
    """

    def __init__(self, named: str | None) -> None:
        self._directory = Path(click.get_app_dir(_SERVICE))
        self._is_usual = named is None
        self._entry: str | None = None
        self._path = self._directory / "session.json"
        if named is not None and named.startswith(KEYRING):
            self._is_usual = True
            self._entry = named.removeprefix(KEYRING)
            if not self._entry.replace("-", "").replace("_", "").isalnum():
                raise Refusal(f"--session: {KEYRING} and a name, like {KEYRING}work")
        elif named is not None:
            self._path = Path(named)
            if not named:
                raise Refusal("--session: a file is needed")

    @property
    def store(self) -> BundleStore:
        """What reads and writes it."""
        # Who only asks for help needs no extra.
        from dpop_ext.integrations.bundle_stores import (  # noqa: PLC0415
            FileStore,
            KeyringStore,
        )

        if self._entry is None:
            return FileStore(self._path)
        lock = self._directory / f"{self._entry}.lock"
        return KeyringStore(_SERVICE, self._entry, lock=lock)

    def prepare(self) -> None:
        """Make the usual directory."""
        with refusing():
            if self._is_usual:
                self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._entry is None and self._path.is_dir():
                raise Refusal(f"--session: {self._path} is a directory")

    def delete(self) -> None:
        """Delete what is there; the file of the lock stays."""
        with refusing():
            if self._entry is None:
                self._path.unlink(missing_ok=True)
            else:
                import keyring  # noqa: PLC0415

                keyring.delete_password(_SERVICE, self._entry)

    def __str__(self) -> str:
        return str(self._path) if self._entry is None else f"{KEYRING}{self._entry}"


@contextmanager
def refusing() -> Iterator[None]:
    """Say in one line why a session cannot be read or written.

    :raises Refusal: the file or the keyring cannot be used.
    """
    from keyring.errors import KeyringError, PasswordDeleteError  # noqa: PLC0415

    try:
        yield
    except OSError as error:
        raise Refusal(f"--session: {error.strerror or error}") from error
    except PasswordDeleteError:
        return
    except KeyringError as error:
        raise Refusal(
            f"--session: the keyring is not available ({type(error).__name__})"
        ) from error


def client_secret() -> str | None:
    """Return the secret of the client, which nobody types."""
    return os.environ.get(SECRET_VARIABLE) or None
