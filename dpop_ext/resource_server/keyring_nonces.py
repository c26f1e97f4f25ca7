"""Nonces under keys that are derived from the keyring (DPoP Symmetric Profile, R2252).

For those who want the rotation of the derivation secrets to be the rotation of nonces,
too. A secret of the resource server's own is the default, because the authorization
server could make these.
"""

from __future__ import annotations

import threading
from typing import Literal

from dpop_ext.core.nonce import NonceIssuer
from dpop_ext.errors import DPoPError, StoreError
from dpop_ext.stores.base import KeyringSource
from dpop_ext.symmetric.derivation import nonce_secret
from dpop_ext.symmetric.secret_ring import SecretRing


class KeyringNonces:
    """:class:`~dpop_ext.core.nonce.NonceIssuer` on the secrets of a keyring.

    Nonces are made under the version that was active at the poll before, and recognised
    under every live one: so no server is asked to recognise what it cannot, although
    all of them poll at times of their own.

    :param keyring: the one that the verifier has.
    """

    def __init__(self, keyring: KeyringSource) -> None:
        self._keyring = keyring
        self._lock = threading.Lock()
        self._ring: SecretRing | None = None
        self._active: int | None = None
        self._issuer: NonceIssuer | None = None
        self._versions: tuple[int, ...] = ()

    def __repr__(self) -> str:
        return f"<KeyringNonces under {list(self._versions)}>"

    def issue(self, *, purpose: Literal["as", "rs"], now: int) -> str:
        """Return the current nonce, as :meth:`NonceIssuer.issue`.

        :raises StoreError: there is no secret to make one of.
        """
        return self._current(now).issue(purpose=purpose, now=now)

    def verify(self, nonce: object, *, purpose: Literal["as", "rs"], now: int) -> int:
        """Recognise a nonce, as :meth:`NonceIssuer.verify`.

        :raises StoreError: there is no secret to make or recognise one of.
        """
        return self._current(now).verify(nonce, purpose=purpose, now=now)

    def _current(self, now: int) -> NonceIssuer:
        ring = self._load()
        with self._lock:
            if ring is not self._ring:
                # Another poll: what the one before called active, all servers have.
                self._active = _active(self._ring or ring)
                self._ring = ring
            secrets = _live(ring, now=now)
            if not secrets:
                raise StoreError("There is no derivation secret for nonces.")
            # The last one makes them: after a revocation that is the newest.
            maker = self._active if self._active in secrets else max(secrets)
            order = (*(v for v in secrets if v != maker), maker)
            if self._issuer is None or order != self._versions:
                self._versions = order
                self._issuer = NonceIssuer([secrets[v] for v in order])
            return self._issuer

    def _load(self) -> SecretRing:
        try:
            return self._keyring.load()
        except DPoPError:
            # Too old for symmetric proofs, which is no reason to refuse all others.
            if self._ring is None:
                raise StoreError from None
            return self._ring


def _active(ring: SecretRing) -> int | None:
    return next((entry.version for entry in ring if entry.state == "active"), None)


def _live(ring: SecretRing, *, now: int) -> dict[int, bytes]:
    """Return the secrets of nonces by version, oldest first."""
    return {
        entry.version: nonce_secret(entry.secret.reveal())
        for entry in ring
        if entry.secret is not None
        and entry.is_usable(now=now)
        and entry.version >= ring.min_live
        and entry.version not in ring.revoked
    }
