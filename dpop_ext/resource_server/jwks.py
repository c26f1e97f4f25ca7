"""The keys of an authorization server, given or fetched: :rfc:`7517#section-5`."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from joserfc.jwk import Key

from dpop_ext.core.jose import parse_json_object
from dpop_ext.core.key import import_proof_key
from dpop_ext.errors import AccessTokenError, ProofError, StoreError
from dpop_ext.resource_server.transport import fetch, require_secure_url

#: Seconds between two fetches while the last one failed.
RETRY_INTERVAL = 2
#: Keys that one document may have.
MAX_KEYS = 64
#: Characters ``{}[]:,`` that it may have.
_MAX_STRUCTURAL = 4096

_logger = logging.getLogger("dpop_ext.resource_server")


class KeySource(Protocol):
    """Where an access token validator finds the key of a token."""

    def find(self, kid: str | None, *, algorithm: str) -> Key:
        """Return the one key that a token may be signed with.

        :param kid: of the token's header.
        :raises AccessTokenError: there is no such key, or more than one.
        :raises StoreError: that cannot be told now.
        """
        ...


class StaticKeys:
    """The keys of a JWK Set that is part of the configuration.

    :param jwks: the public keys, as ``{"keys": [...]}``.
    :raises ValueError: not a JWK Set, or one with a private key.
    """

    def __init__(self, jwks: Mapping[str, Any]) -> None:
        keys = jwks.get("keys")
        if not isinstance(keys, list) or not 0 < len(keys) <= MAX_KEYS:
            raise ValueError("a JWK Set with at least one key is needed")
        self._keys: list[dict[str, Any]] = [_public(key) for key in keys]
        self._imported: dict[tuple[int, str], Key | None] = {}

    def find(self, kid: str | None, *, algorithm: str) -> Key:
        """Return the key with the identifier *kid*, or the only one that fits.

        A *kid* that two keys have names neither: it would be a guess which one the
        issuer means.
        """
        if kid is None:
            found = [self._import(i, algorithm) for i in range(len(self._keys))]
            found = [key for key in found if key is not None]
        else:
            named = [i for i, key in enumerate(self._keys) if key.get("kid") == kid]
            found = [self._import(i, algorithm) for i in named]
        if len(found) != 1 or found[0] is None:
            raise AccessTokenError
        return found[0]

    def has(self, kid: str | None) -> bool:
        """Tell whether a key, or more than one, has the identifier *kid*."""
        return any(key.get("kid") == kid for key in self._keys)

    def _import(self, index: int, algorithm: str) -> Key | None:
        """Return the key for *algorithm*, or None if it is not for it."""
        place = (index, algorithm)
        if place not in self._imported:
            try:
                key = import_proof_key(self._keys[index], algorithm=algorithm)
            except ProofError:
                key = None
            self._imported[place] = key
        return self._imported[place]


class RemoteKeys:
    """The keys at the ``jwks_uri`` of an authorization server, kept for a while.

    They are fetched when first needed and again after *max_age*. A token with an
    unknown ``kid`` causes one more fetch, as the issuer may have a new key, but none
    within *min_interval* of the last, so that made-up tokens cannot be used to flood
    the issuer. If it does not answer, it is asked again after :data:`RETRY_INTERVAL`;
    meanwhile keys that are known go on to be used, until *max_stale*, and a token that
    needs another key cannot be decided upon.

    :param jwks_uri: https, or http to a loopback address.
    :param max_age: seconds until the keys are fetched again.
    :param max_stale: seconds since the last good answer after which the keys are given
        up: a key that the issuer withdrew must not live on because it is out of reach.
    :param min_interval: seconds between two fetches for the sake of unknown keys.
    :param fetch: gets the document; it must bound time and size, follow no redirect,
        and raise any exception when it fails.
    :param clock: seconds since the epoch.
    :raises ValueError: *jwks_uri* is plain http.
    """

    def __init__(
        self,
        jwks_uri: str,
        *,
        max_age: float = 600,
        max_stale: float = 3600,
        min_interval: float = 30,
        fetch: Callable[[str], bytes] = fetch,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._uri = require_secure_url(jwks_uri)
        self._max_age = max_age
        self._max_stale = max_stale
        self._min_interval = min_interval
        self._fetch = fetch
        self._clock = clock
        self._keys: StaticKeys | None = None
        self._fetched_at = 0.0
        self._tried_at: float | None = None
        #: The last try gave no keys: what is unknown may be a key that we missed.
        self._failed = False
        self._fetching = threading.Lock()

    def find(self, kid: str | None, *, algorithm: str) -> Key:
        """Return the key with the identifier *kid*, or the only one that fits."""
        keys, age = self._keys, self._age()
        if keys is None or age >= self._max_stale or _lacks(keys, kid):
            self._refresh(keys, wait=True)
        elif age >= self._max_age:
            # One thread asks; the others go on with what they have.
            self._refresh(keys, wait=False)
        keys = self._keys
        if (
            keys is None
            or self._age() >= self._max_stale
            or (self._failed and _lacks(keys, kid))
        ):
            raise StoreError("The keys of the authorization server are not available.")
        return keys.find(kid, algorithm=algorithm)

    def _age(self) -> float:
        """Return the seconds since the last good answer."""
        age = self._clock() - self._fetched_at
        # A clock that was set back tells nothing: as old as can be.
        return age if age >= 0 else self._max_stale

    def _refresh(self, known: StaticKeys | None, *, wait: bool) -> None:
        """Fetch the keys, unless another thread has done so or it is too soon."""
        if not self._fetching.acquire(blocking=wait):
            return
        try:
            if self._keys is not known or not self._may_try():
                return
            try:
                document = parse_json_object(
                    self._fetch(self._uri), max_structural=_MAX_STRUCTURAL
                )
                self._keys = StaticKeys(document)
            except Exception as error:  # noqa: BLE001 - whatever it was, there are none
                self._failed = True
                _logger.warning(
                    "no keys from %s: %s", ascii(self._uri), type(error).__name__
                )
            else:
                self._fetched_at = self._clock()
                self._failed = False
            # After the answer: those who waited for it do not all try again.
            self._tried_at = self._clock()
        finally:
            self._fetching.release()

    def _may_try(self) -> bool:
        if self._tried_at is None:
            return True
        interval = min(RETRY_INTERVAL, self._min_interval)
        if not self._failed:
            interval = self._min_interval
        # A clock that was set back must not keep us from trying.
        return not 0 <= self._clock() - self._tried_at < interval


def _lacks(keys: StaticKeys, kid: str | None) -> bool:
    return kid is not None and not keys.has(kid)


def _public(key: object) -> dict[str, Any]:
    if isinstance(key, dict) and "d" not in key and "k" not in key:
        return key
    raise ValueError("a key of the JWK Set is private, or is no JSON object")
