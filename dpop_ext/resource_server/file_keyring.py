"""Derivation secrets from a file that something else keeps up to date.

DPoP Symmetric Profile 1.0. For deployments that have a way to distribute secrets.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dpop_ext.core.strict_json import parse_json_object
from dpop_ext.resource_server.polled_keyring import PolledKeyring
from dpop_ext.stores.private_file import read_private
from dpop_ext.symmetric.keyring import MAX_KEYRING, MAX_STRUCTURAL
from dpop_ext.symmetric.keyring_floor import KeyringError


class FileKeyring(PolledKeyring):
    """A :class:`.PolledKeyring` that reads a private file.

    The file is a JSON object with the claims of a keyring: ``iss``, ``aud``, ``epoch``,
    ``seq``, ``min_live`` and ``keys``, and maybe ``revoked`` and ``deny``. Replace it
    by renaming, and raise ``seq`` with each change. It must belong to the user of the
    process, with mode 0600, and be no symbolic link.

    :param path: of the file.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        issuer: str,
        audience: str,
        poll: int = 30,
        floor: Path | str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(
            issuer=issuer, audience=audience, poll=poll, floor=floor, clock=clock
        )
        self._path = Path(path)

    def _claims(self) -> dict[str, Any]:
        try:
            raw = read_private(self._path, max_size=MAX_KEYRING)
        except OSError as error:
            reason = error.strerror or error
            raise KeyringError(f"the file cannot be read: {reason}") from error
        return parse_json_object(raw, max_structural=MAX_STRUCTURAL)
