"""The derivation secrets of the authorization server: their key, and their schedule."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Engine

from demo_server import private_file
from demo_server.private_file import PrivateFileError
from demo_server.settings import ENVIRONMENT_PREFIX, Settings
from dpop_ext.core.base64url import b64url_decode, b64url_encode
from dpop_ext.errors import MalformedJOSEError
from dpop_ext.integrations.sqla_denials import SQLDenials
from dpop_ext.integrations.sqla_secrets import SQLAudienceSecrets
from dpop_ext.symmetric.rotation_plan import RotationPlan
from dpop_ext.symmetric.sealed_row import ROW_KEY_LENGTH
from dpop_ext.symmetric.secret_bytes import SecretBytes

#: The key itself, base64url, for those who keep keys out of files.
KEY_VARIABLE = f"{ENVIRONMENT_PREFIX}DATABASE_KEY"
KEY_FILE = "database.key"

#: How often a resource server asks for its secrets, unless it has reasons of its own;
#: in seconds.
POLL_INTERVAL = 30


def open_secrets(
    settings: Settings,
    engine: Engine,
    *,
    denials: SQLDenials | None = None,
    clock: Callable[[], float] = time.time,
) -> SQLAudienceSecrets:
    """Return the secrets of the issuer.

    :param denials: tokens that were revoked, to be published with them.
    :param clock: seconds since the epoch.
    :raises PrivateFileError: as :func:`load_key`.
    """
    key = load_key(settings.keys_directory)
    return SQLAudienceSecrets(
        engine, key, issuer=settings.issuer_url, denials=denials, clock=clock
    )


def rotation_plan(settings: Settings) -> RotationPlan:
    """Return how the secrets are rotated."""
    return RotationPlan(
        poll=POLL_INTERVAL, token_lifetime=settings.access_token_lifetime
    )


def load_key(keys_directory: Path) -> SecretBytes:
    """Take the key of the rows from the environment, or from its file.

    The file is made when it is missing.

    :raises PrivateFileError: the file cannot be trusted, or there is no key in it.
    """
    path = keys_directory / KEY_FILE
    text = os.environ.get(KEY_VARIABLE)
    source = KEY_VARIABLE
    if text is None:
        source = str(path)
        text = private_file.read_or_create(path, _new_key).decode("ascii", "replace")
    try:
        key = b64url_decode(text.strip())
    except MalformedJOSEError as error:
        raise PrivateFileError(f"{source}: not base64url") from error
    if len(key) != ROW_KEY_LENGTH:
        raise PrivateFileError(f"{source}: the key must be {ROW_KEY_LENGTH} bytes")
    return SecretBytes(key)


def _new_key() -> bytes:
    return b64url_encode(secrets.token_bytes(ROW_KEY_LENGTH)).encode("ascii")
