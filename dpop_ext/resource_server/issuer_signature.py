"""A JWT of the authorization server: its type, algorithm and signature (RFC 8725)."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple, cast

from joserfc.jwk import Key

from dpop_ext.core.jose import CompactJWS
from dpop_ext.core.jws_signature import SignatureCheck, check_signature, signature_check
from dpop_ext.core.key import ALGORITHMS
from dpop_ext.core.key_set import MAX_KEYS, StaticKeys
from dpop_ext.core.recent import Recent
from dpop_ext.errors import AccessTokenError
from dpop_ext.resource_server.claims import optional_text
from dpop_ext.resource_server.jwks import KeySource, RemoteKeys

#: The signature algorithms that are accepted unless others are named.
DEFAULT_ALGORITHMS = ("ES256", "Ed25519", "EdDSA", "PS256", "RS256")


class _SeenHeader(NamedTuple):
    """A header, as parsed, whose type and algorithm are accepted."""

    header: dict[str, Any]
    types: Collection[str]
    kid: str | None
    algorithm: str


class IssuerSignature:
    """Verify what one issuer signed.

    :param jwks: the issuer's public keys, as a JWK Set or from a source of your own.
    :param jwks_uri: where the issuer publishes them, in place of *jwks*.
    :param algorithms: accepted signature algorithms, asymmetric ones by their names.
    :param clock: seconds since the epoch.
    :raises TypeError: *jwks* is neither.
    :raises ValueError: not exactly one of *jwks* and *jwks_uri*, or an algorithm that
        is unknown, ``none`` or a MAC.
    """

    def __init__(
        self,
        jwks: KeySource | Mapping[str, Any] | None,
        jwks_uri: str | None,
        *,
        algorithms: Iterable[str] = DEFAULT_ALGORITHMS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.algorithms = tuple(algorithms)
        if not self.algorithms or not set(self.algorithms) <= set(ALGORITHMS):
            raise ValueError("algorithms: asymmetric signature algorithms, by name")
        self._keys = _key_source(jwks, jwks_uri, clock)
        self._checks: Recent[tuple[int, str], tuple[Key, SignatureCheck]]
        self._checks = Recent(2 * MAX_KEYS)
        # What was used last: most issuers sign with one key at a time, and the tokens
        # of one key have one header, which is parsed once.
        self._last: tuple[Key, str, SignatureCheck] | None = None
        self._seen: _SeenHeader | None = None

    def verify(self, jws: CompactJWS, *, types: Collection[str]) -> None:
        """Check a parsed JWT; its claims are not looked at.

        :param types: accepted values of ``typ``, in lower case.
        :raises AccessTokenError: another type, algorithm or key.
        :raises BadSignatureError: the signature does not verify.
        :raises StoreError: the issuer's keys are not available.
        """
        header, seen = jws.header, self._seen
        if seen is None or seen.header is not header or seen.types is not types:
            kind, algorithm = header.get("typ"), header.get("alg")
            if not isinstance(kind, str) or kind.lower() not in types:
                raise AccessTokenError(check="typ")
            # The list comes before any key: neither "none" nor a MAC gets further.
            if not isinstance(algorithm, str) or algorithm not in self.algorithms:
                raise AccessTokenError(check="alg")
            kid = optional_text(header, "kid")
            seen = self._seen = _SeenHeader(header, types, kid, algorithm)
        # The source is asked each time: what it has may change.
        key = self._keys.find(seen.kid, algorithm=seen.algorithm)
        check = self._check(key, seen.algorithm)
        check_signature(check, jws.signing_input, jws.signature)

    def _check(self, key: Key, algorithm: str) -> SignatureCheck:
        """Return what was made of this very key before; its source is asked first."""
        last = self._last
        # By identity, as keys have no hash and to compare two takes long.
        if last is not None and last[0] is key and last[1] == algorithm:
            return last[2]
        place = (id(key), algorithm)
        prepared = self._checks.get(place)
        # The entry holds its key, so that no other has its id.
        if prepared is None or prepared[0] is not key:
            prepared = (key, signature_check(key, algorithm=algorithm))
            self._checks.put(place, prepared)
        self._last = (key, algorithm, prepared[1])
        return prepared[1]


def _key_source(
    jwks: KeySource | Mapping[str, Any] | None,
    jwks_uri: str | None,
    clock: Callable[[], float],
) -> KeySource:
    if jwks is None and jwks_uri is not None:
        return RemoteKeys(jwks_uri, clock=clock)
    if jwks is None or jwks_uri is not None:
        raise ValueError("give jwks or jwks_uri")
    if isinstance(jwks, Mapping):
        return StaticKeys(jwks)
    # A URL has a method of that name, too.
    if isinstance(cast("object", jwks), str) or not hasattr(jwks, "find"):
        raise TypeError("jwks is a JWK Set or a KeySource, such as RemoteKeys(url)")
    return jwks
