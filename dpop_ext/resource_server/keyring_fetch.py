"""One keyring at a time: asked for, verified, kept and never an older one.

DPoP Symmetric Profile 1.0. When to ask is not decided here.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from joserfc.jwk import Key

from dpop_ext.core.jose import CompactJWS
from dpop_ext.log_events import log_event
from dpop_ext.resource_server.issuer_signature import IssuerSignature
from dpop_ext.resource_server.jwks import KeySource
from dpop_ext.resource_server.keyring_cache import KeyringCache
from dpop_ext.resource_server.keyring_request import KeyringRequest
from dpop_ext.symmetric.keyring import KEYRING_TYPE, open_keyring
from dpop_ext.symmetric.keyring_claims import Keyring
from dpop_ext.symmetric.keyring_floor import KeyringError, KeyringFloor

#: A keyring that is good for fewer polls is asked for even if it has not changed.
_CONDITIONAL = 1.5

_logger = logging.getLogger("dpop_ext.resource_server")


class KeyringFetch:
    """Holds the latest keyring of an issuer. One thread at a time may fetch.

    The parameters are those of :class:`.HTTPKeyringSource`.

    :raises TypeError: *private_keys* is no list, or *jwks* no JWK Set or source.
    :raises ValueError: there is no private key, or one for signatures (``use``), or
        *jwks* is a JWK Set without a key.
    :raises OSError: what was kept is there and cannot be read or trusted.
    :raises KeyringError: it is not what was written.
    """

    def __init__(
        self,
        request: KeyringRequest,
        *,
        audience: str,
        private_keys: Sequence[Key],
        jwks: KeySource | Mapping[str, Any],
        cache: Path | str | None,
        clock: Callable[[], float],
    ) -> None:
        # One key is a mapping of its members, and no list.
        if not isinstance(private_keys, Sequence):
            raise TypeError("private_keys is a list of private keys")
        if not private_keys or not all(key.is_private for key in private_keys):
            raise ValueError("private_keys has the private half of the registered key")
        if any(key.get("use", "enc") != "enc" for key in private_keys):
            raise ValueError("private_keys are for decryption, one has another use")
        self._request = request
        self._audience = audience
        self._private_keys = list(private_keys)
        self._signature = IssuerSignature(jwks, None, clock=clock)
        self._cache = KeyringCache(cache) if cache is not None else None
        self._clock = clock
        self._floor = self._cache.load_floor() if self._cache else KeyringFloor()
        self._etag: str | None = None
        #: The latest; None while there is none.
        self.keyring: Keyring | None = None

    def fetch(self, now: float, *, poll: float) -> None:
        """Ask for a keyring, and take it if it is a good one.

        :param now: seconds since the epoch.
        :param poll: seconds between two polls: one that ends soon after the next is
            asked for even if it has not changed.
        :raises OSError: the issuer did not answer. If there was no keyring yet, the one
            that was kept has been taken.
        :raises KeyringError: it gives none, or not a good one; or the one that was kept
            is none.
        :raises DPoPError: its signature is not the issuer's.
        """
        etag = self._etag if self._is_good_for_long(now, poll=poll) else None
        try:
            nonce, answer = self._request.send(etag=etag)
            if answer.status >= 500:
                raise OSError("the issuer is not available")
        except OSError:
            # Only if the issuer cannot be asked: what it says now counts for more.
            if self.keyring is None and self._cache is not None:
                with contextlib.suppress(FileNotFoundError):
                    self._accept(self._cache.load(), nonce=None)
            raise
        if answer.status == 304 and etag is not None:
            return
        if answer.status != 200:
            raise KeyringError(
                "the issuer gives no keyring to this client: the status is "
                f"{answer.status}"
            )
        text = answer.body.decode("ascii", "replace")
        keyring = self._accept(text, nonce=nonce)
        self._etag = answer.etag
        if self._cache is not None:
            try:
                self._cache.save(text, keyring.floor)
            except OSError as error:
                # It is good all the same. What is lost is the memory of it.
                cause = type(error).__name__
                log_event(
                    _logger,
                    logging.ERROR,
                    "keyring_not_kept",
                    "keyring not kept: %s",
                    cause,
                    cause=cause,
                )

    def _accept(self, text: str, *, nonce: str | None) -> Keyring:
        if self._cache is not None:
            # Another process may have seen a later one.
            self._floor = max(
                self._floor,
                self._cache.load_floor(),
                key=lambda floor: (floor.epoch, floor.sequence),
            )
        keyring = open_keyring(
            text,
            private_keys=self._private_keys,
            verify=self._verify,
            issuer=self._request.issuer,
            audience=self._audience,
            nonce=nonce,
            floor=self._floor,
            now=int(self._clock()),
        )
        self._floor = keyring.floor
        self.keyring = keyring
        return keyring

    def _verify(self, jws: CompactJWS) -> None:
        self._signature.verify(jws, types=(KEYRING_TYPE,))

    def _is_good_for_long(self, now: float, *, poll: float) -> bool:
        keyring = self.keyring
        if keyring is None or keyring.ring.good_until is None:
            return False
        return keyring.ring.good_until - now > _CONDITIONAL * poll
