"""Derivation secrets from rows in a database or in Redis, each of them sealed.

DPoP Symmetric Profile 1.0. For servers that have one of these in common anyway; a
change is there as soon as it is made.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dpop_ext.resource_server.polled_keyring import PolledKeyring
from dpop_ext.stores.secret_rows import SecretRows
from dpop_ext.symmetric.keyring_claims import keyring_claims
from dpop_ext.symmetric.keyring_floor import KeyringError
from dpop_ext.symmetric.sealed_row import ROW_KEY_LENGTH, open_rows
from dpop_ext.symmetric.secret_bytes import SecretBytes

_EPOCH = 1


class RowKeyring(PolledKeyring):
    """A :class:`.PolledKeyring` that reads sealed rows.

    Whoever can write the rows can take secrets away, and bring none: what is said about
    a secret is sealed with it, and the floor refuses an older row in its place.

    :param rows: where they are: :class:`dpop_ext.stores.secret_rows.SQLSecretRows` or
        :class:`dpop_ext.stores.secret_rows_redis.RedisSecretRows`.
    :param key: opens the rows of this audience and of no other, 32 bytes; the
        authorization server's operator makes it with ``dpop-ext secrets export-key``.
    :raises ValueError: *key* has another length; or as :class:`.PolledKeyring`.
    """

    def __init__(
        self,
        rows: SecretRows,
        key: SecretBytes,
        *,
        issuer: str,
        audience: str,
        poll: int = 30,
        floor: Path | str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if len(key) != ROW_KEY_LENGTH:
            raise ValueError("a key for rows is 32 bytes")
        super().__init__(
            issuer=issuer, audience=audience, poll=poll, floor=floor, clock=clock
        )
        self._rows = rows
        self._key = key

    def _claims(self) -> dict[str, Any]:
        rows = self._rows.read()
        if not rows:
            raise KeyringError("there are no derivation secrets for this audience")
        ring = open_rows(
            rows, issuer=self._issuer, audience=self._audience, key=self._key
        )
        return keyring_claims(
            ring,
            epoch=_EPOCH,
            sequence=max(row.sequence for row in rows),
            poll=self._poll,
        )
