"""Derivation secrets from an environment variable, for tests and small set-ups.

DPoP Symmetric Profile 1.0. Whoever may look at the process can read them, and a change
needs a restart: the keyring endpoint of the authorization server has neither fault.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from dpop_ext.core.base64url import b64url_decode
from dpop_ext.resource_server.keyring_cache import load_floor
from dpop_ext.stores.memory import MemoryKeyring
from dpop_ext.stores.private_file import locked, write_private
from dpop_ext.symmetric.keyring_floor import KeyringFloor
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.secret_ring import AudienceSecret, SecretRing, SecretState

_ENTRY = re.compile(
    r"([1-9][0-9]{0,15}):([a-z_]{1,16}):([1-9][0-9]{0,15}):([A-Za-z0-9_-]*)"
)


class EnvironmentKeyring(MemoryKeyring):
    """A :class:`dpop_ext.stores.base.KeyringSource` that is read once.

    The variable has an entry for each version, separated by commas::

        7:verify_only:1790000600:<43 characters>,8:active:1790086400:<43 characters>

    which is the version, its state, when it ends, in seconds since the epoch, and the
    secret in base64url. A retired or revoked version has no secret.

    :param variable: name of the environment variable.
    :param issuer: identifier of the authorization server, as in its tokens.
    :param audience: this resource server.
    :param floor: file in which it is remembered which versions have ended, so that they
        stay so after a restart with an older variable. None: they do not.
    :param environment: of the process, if absent.
    :raises ValueError: the variable is missing or malformed, or a secret is none. The
        text says nothing of what is in it. Or *floor* is not what was written.
    :raises OSError: *floor* is there and cannot be read, trusted or written.
    """

    def __init__(
        self,
        variable: str,
        *,
        issuer: str,
        audience: str,
        floor: Path | str | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        text = environment.get(variable)
        if text is None:
            raise ValueError(f"{variable}: there is no such variable")
        try:
            entries = [_read(entry) for entry in text.split(",")]
        except ValueError:
            entries = None
        # Outside of the except clause: a cause could carry a secret.
        if entries is None:
            raise ValueError(f"{variable}: not a list of derivation secrets")
        ring = SecretRing(entries, issuer=issuer, audience=audience)
        if floor is not None:
            known = _raise_floor(Path(floor), ring)
            ring = SecretRing(
                entries,
                issuer=issuer,
                audience=audience,
                min_live=known.min_live,
                revoked=known.revoked,
            )
        super().__init__(ring)


def _raise_floor(path: Path, ring: SecretRing) -> KeyringFloor:
    """Return which versions have ended, by *ring* and by what was there before."""
    with locked(path):
        before = load_floor(path)
        live = [entry.version for entry in ring if entry.secret is not None]
        floor = before.raised(
            epoch=before.epoch,
            sequence=before.sequence,
            content=before.content,
            min_live=min(live, default=ring.highest_version + 1),
            revoked=[entry.version for entry in ring if entry.secret is None],
        )
        if floor != before:
            write_private(path, floor.dump())
    return floor


def _read(entry: str) -> AudienceSecret:
    match = _ENTRY.fullmatch(entry.strip(" "))
    if match is None:
        raise ValueError("malformed")
    version, state, expires_at, secret = match.groups()
    return AudienceSecret(
        version=int(version),
        state=cast("SecretState", state),
        not_before=0,
        expires_at=int(expires_at),
        secret=SecretBytes(b64url_decode(secret)) if secret else None,
    )
