"""The private keys for what clients encrypt: a JWK Set in a file (RFC 7517)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from joserfc.jwk import ECKey

from demo_server import private_file
from demo_server.private_file import PrivateFileError
from dpop_ext.stores.private_keys import PrivateKeyFile

#: Name of the file in the directory of the keys.
KEY_FILE = "decryption.json"


def open_keys(path: Path, *, clock: Callable[[], float] = time.time) -> PrivateKeyFile:
    """Return the keys in a file, which is made if there is none.

    To rotate, put a new key before the others; remove the old one a while later.

    :param clock: seconds since the epoch.
    :raises PrivateFileError: it cannot be read or trusted, or is no such file.
    """
    private_file.read_or_create(path, _new_file)
    try:
        return PrivateKeyFile(path, clock=clock)
    except (OSError, ValueError) as error:
        raise PrivateFileError(f"{path}: {error}") from error


def _new_file() -> bytes:
    key = ECKey.generate_key("P-256", {"use": "enc"})
    return json.dumps({"keys": [key.as_dict(private=True)]}, indent=1).encode()
