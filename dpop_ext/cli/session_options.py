"""Where a session is kept between two commands, and how it is taken up again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import click
from keyring.errors import KeyringError

from dpop_ext.cli.group import Refusal
from dpop_ext.client.session_bundle import BundleStore, SessionBundle
from dpop_ext.core.akp import AnyKey
from dpop_ext.errors import LostKeyError
from dpop_ext.integrations.bundle_stores import FileStore, KeyringStore
from dpop_ext.integrations.requests_client import OAuth2Session

SESSION_VARIABLE: Final = "DPOP_EXT_SESSION"
SECRET_VARIABLE: Final = "DPOP_EXT_CLIENT_SECRET"
#: Before the name of an entry in the keyring.
KEYRING: Final = "keyring:"

_SERVICE = "dpop-ext"


def session_store(place: str | None, *, create: bool = False) -> BundleStore:
    """Return where a session is kept.

    :param place: path of a file, or ``keyring:NAME``; None is the usual file.
    :param create: make the usual directory.
    :raises Refusal: it cannot be made.
    """
    directory = Path(click.get_app_dir(_SERVICE))
    if create and (place is None or place.startswith(KEYRING)):
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise Refusal(f"{directory}: {error.strerror}") from error
    if place is None:
        return FileStore(directory / "session.json")
    if place.startswith(KEYRING):
        name = place.removeprefix(KEYRING)
        if not name or "/" in name or os.sep in name or name.startswith("."):
            raise Refusal(f"--session: {KEYRING} and a name, such as {KEYRING}work")
        return KeyringStore(_SERVICE, name, lock=directory / f"{name}.lock")
    return FileStore(place)


def open_bundle(place: str | None, *, key: AnyKey | None) -> SessionBundle:
    """Return the session that was saved.

    :param place: as for :func:`session_store`.
    :param key: for a session that has none of its own.
    :raises Refusal: there is none, or it cannot be used.
    """
    store = session_store(place)
    try:
        if store.read() is None:
            raise Refusal("there is no session yet: dpop-ext login makes one")
        try:
            return SessionBundle(store)
        except LostKeyError:
            if key is None:
                raise
            return SessionBundle(store, key=key)
    except LostKeyError as error:
        raise Refusal(
            "the session has no key of its own: --key names the one it was made with"
        ) from error
    except (OSError, KeyringError) as error:
        raise Refusal(f"--session: {_reason(error)}") from error
    except ValueError as error:
        raise Refusal(f"--key: {error}") from error


def open_session(bundle: SessionBundle) -> OAuth2Session:
    """Return what sends requests with the token of *bundle*, and refreshes it."""
    about = bundle.about
    return OAuth2Session(
        about.get("client_id"),
        os.environ.get(SECRET_VARIABLE),
        bundle=bundle,
        token_endpoint=about.get("token_endpoint"),
        token_endpoint_auth_method=about.get("client_auth"),
        issuer=about.get("issuer"),
        resource=about.get("resource"),
        # The process ends before anything in the background would have begun.
        refresh="foreground",
    )


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return f"the keyring is not available ({type(error).__name__})"
