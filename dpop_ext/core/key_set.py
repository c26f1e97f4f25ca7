"""The public keys of one party, found by ``kid``: :rfc:`7517#section-5`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from joserfc.jwk import Key

from dpop_ext.core.key import import_proof_key
from dpop_ext.errors import AccessTokenError, ProofError

#: Keys that one document may have.
MAX_KEYS: Final = 64


class StaticKeys:
    """The keys of a JWK Set that was configured or registered.

    :param jwks: the public keys, as ``{"keys": [...]}``.
    :raises ValueError: not a JWK Set, or one with a private key.
    """

    def __init__(self, jwks: Mapping[str, Any]) -> None:
        keys = jwks.get("keys")
        if not isinstance(keys, list) or not 0 < len(keys) <= MAX_KEYS:
            raise ValueError("a JWK Set with at least one key is needed")
        self._keys: list[dict[str, Any]] = [_public(key) for key in keys]
        #: Their places in the set, by the identifier.
        self._named: dict[str, list[int]] = {}
        for index, key in enumerate(self._keys):
            if isinstance(key.get("kid"), str):
                self._named.setdefault(key["kid"], []).append(index)
        self._imported: dict[tuple[int, str], Key | None] = {}
        #: What was found before. Names that no key has are not kept.
        self._found: dict[tuple[str | None, str], Key] = {}

    def find(self, kid: object, *, algorithm: str) -> Key:
        """Return the key with the identifier *kid*, or the only one that fits.

        A *kid* that two keys have names neither: it would be a guess which one the
        signer means.

        :raises AccessTokenError: there is no such key, or more than one.
        """
        # A header may have anything there, and a list has no hash.
        if kid is not None and not isinstance(kid, str):
            raise AccessTokenError(check="kid")
        key = self._found.get((kid, algorithm))
        if key is None:
            key = self._found[kid, algorithm] = self._search(kid, algorithm)
        return key

    def has(self, kid: str) -> bool:
        """Tell whether a key, or more than one, has the identifier *kid*."""
        return kid in self._named

    def _search(self, kid: str | None, algorithm: str) -> Key:
        if kid is None:
            found = [self._import(i, algorithm) for i in range(len(self._keys))]
            found = [key for key in found if key is not None]
        else:
            found = [self._import(i, algorithm) for i in self._named.get(kid, ())]
        if len(found) != 1 or found[0] is None:
            raise AccessTokenError(check="kid")
        return found[0]

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


def _public(key: object) -> dict[str, Any]:
    if isinstance(key, dict) and "d" not in key and "k" not in key:
        return key
    raise ValueError("a key of the JWK Set is private, or is no JSON object")
