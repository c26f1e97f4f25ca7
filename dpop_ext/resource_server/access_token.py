"""Access tokens that are JWTs: :rfc:`9068#section-4`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from types import MappingProxyType
from typing import Any

from dpop_ext.core.confirmation import AccessToken
from dpop_ext.core.token_text import parse_token, token_confirmation
from dpop_ext.errors import AccessTokenError, StoreError
from dpop_ext.resource_server.claims import (
    MAX_TEXT,
    check_times,
    optional_text,
    require_identifier,
    required_audience,
)
from dpop_ext.resource_server.issuer_signature import (
    DEFAULT_ALGORITHMS,
    IssuerSignature,
)
from dpop_ext.resource_server.jwks import KeySource
from dpop_ext.resource_server.token_cache import TokenCache
from dpop_ext.resource_server.token_finder import TokenFinder

_TYPES = ("at+jwt", "application/at+jwt")
_TIMES = ("exp", "iat")
#: The claims that must be there and be text.
_TEXTS = ("iss", "sub", "client_id", "jti")
_texts = itemgetter(*_TEXTS)
#: Each parse makes new strings of the names. Remembered tokens share these instead.
_NAMES = {
    name: name
    for name in (
        *("iss", "aud", "sub", "client_id", "iat", "exp", "nbf", "jti", "scope", "cnf"),
        *("auth_time", "acr", "amr", "roles", "groups", "entitlements"),
    )
}


class AccessTokenValidator(TokenFinder):
    """Verify the access tokens of one issuer, which are JWTs.

    Each token has typ ``at+jwt``, an asymmetric algorithm from the list, a signature by
    a key of the issuer, and the claims that :rfc:`9068#section-2.2` requires. It is
    parsed once, as strictly as a proof, and nothing is used but what was parsed.
    Revocation cannot be seen in a JWT: keep their lifetime short, or introspect.

    A token that was verified is remembered for a moment. Its expiry is checked on every
    request all the same, its scope and its binding by whoever asked for it.

    :param issuer: identifier of the authorization server, exactly as in ``iss``.
    :param audience: this resource server's own identifier, which must be in ``aud``.
    :param jwks: the issuer's public keys, as a JWK Set or from a source of your own.
    :param jwks_uri: where the issuer publishes them, in place of *jwks*.
    :param algorithms: accepted signature algorithms, asymmetric ones by their names.
    :param remember: seconds for which a verified token is not verified again. A key
        that the issuer withdrew is good for so much longer, with tokens that were seen
        before. 0 verifies every time.
    :param clock: seconds since the epoch.
    :raises TypeError: *jwks* is neither.
    :raises ValueError: *issuer* or *audience* is no text; not exactly one of *jwks* and
        *jwks_uri*, an algorithm that is unknown, ``none`` or a MAC, or *remember* is
        negative.
    """

    def __init__(
        self,
        issuer: str,
        audience: str,
        *,
        jwks: KeySource | Mapping[str, Any] | None = None,
        jwks_uri: str | None = None,
        algorithms: Iterable[str] = DEFAULT_ALGORITHMS,
        remember: float = 60,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.issuer = require_identifier(issuer, "issuer")
        self.audience = require_identifier(audience, "audience")
        self._signature = IssuerSignature(
            jwks, jwks_uri, algorithms=algorithms, clock=clock
        )
        self.algorithms = self._signature.algorithms
        self._audience: tuple[str, ...] = (audience,)
        self._clock = clock
        #: The names that the claims of a token had. The union with claims of the same
        #: names has these very strings, and not those that the parser made.
        self._names: dict[str, Any] = {}
        self._cache = TokenCache(max_age=remember, clock=clock)

    def __call__(self, text: str) -> AccessToken:
        """Return the verified token.

        :param text: as received, at most 16 KiB.
        :raises AccessTokenError: malformed, of another type, algorithm or issuer, not
            signed by the issuer, not for this server, outside its time, or bound in a
            way that cannot be verified.
        :raises StoreError: the issuer's keys are not available.
        """
        return self._cache.find(text, self._verify)

    def recalling(self) -> Callable[[bytes], AccessToken | None] | None:
        """Return what finds remembered tokens, by the SHA-256 of their text.

        None if no token is remembered.
        """
        return self._cache.get if self._cache.max_age else None

    def _verify(self, text: str) -> AccessToken:
        try:
            jws = parse_token(text)
            self._signature.verify(jws, types=_TYPES)
            return self._read_claims(jws.payload)
        except (AccessTokenError, StoreError):
            raise
        except Exception as error:
            # Also what a parser below did not foresee: never a fault of the server.
            raise AccessTokenError from error

    def _read_claims(self, claims: dict[str, Any]) -> AccessToken:
        try:
            texts = _texts(claims)
        except KeyError as error:
            raise AccessTokenError(check=_no_text(claims)) from error
        for text in texts:
            if type(text) is not str or not 0 < len(text) <= MAX_TEXT:
                raise AccessTokenError(check=_no_text(claims))
        issuer, _, client_id, token_id = texts
        if issuer != self.issuer:
            raise AccessTokenError(check="iss")
        audience = self._audience
        if claims.get("aud") != self.audience:
            audience = required_audience(claims, self.audience)
            if audience == self._audience:
                audience = self._audience
        expires_at = check_times(claims, now=int(self._clock()), required=_TIMES)
        confirmation = token_confirmation(claims["cnf"]) if "cnf" in claims else None
        scope = optional_text(claims, "scope") or ""
        # With the names, and the text of iss, in one string for all tokens.
        names = self._names
        shared = names | claims
        if not len(names) == len(shared) == len(claims):
            # The claims have other names than last time.
            shared = {_NAMES.get(name, name): claims[name] for name in claims}
            self._names = dict.fromkeys(shared)
        shared["iss"] = self.issuer
        values = (
            self.issuer,
            audience,
            client_id,
            expires_at,
            token_id,
            confirmation,
            scope,
            # Read-only, as all requests with this token share it.
            MappingProxyType(shared),
        )
        # Half as long as by the constructor, which passes all of them on once more.
        return tuple.__new__(AccessToken, values)


def _no_text(claims: dict[str, Any]) -> str | None:
    """Return the first of the claims that must be text and is none, for the log."""
    for name in _TEXTS:
        text = claims.get(name)
        if not isinstance(text, str) or not 0 < len(text) <= MAX_TEXT:
            return name
    return None
