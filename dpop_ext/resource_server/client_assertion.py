"""How a resource server says who it is: ``private_key_jwt`` (RFC 7523 section 2.2)."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Final

from joserfc.jwk import Key

from dpop_ext.core.jws_signature import sign_compact
from dpop_ext.core.key import ALGORITHMS

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#: Seconds for which an assertion is good.
LIFETIME: Final = 60


class ClientAssertions:
    """Signs an assertion for each request: no secret is shared with the issuer.

    :param client_id: as which this resource server is registered.
    :param issuer: identifier of the authorization server, which they are for.
    :param signing_key: private key, of which the public one is registered.
    :param algorithm: signature algorithm of *signing_key*.
    :param clock: seconds since the epoch.
    :raises ValueError: *signing_key* is not private, or the algorithm is none for it.
    """

    def __init__(
        self,
        client_id: str,
        *,
        issuer: str,
        signing_key: Key,
        algorithm: str = "ES256",
        clock: Callable[[], float] = time.time,
    ) -> None:
        if algorithm not in ALGORITHMS or not signing_key.is_private:
            raise ValueError("a private key and an asymmetric algorithm are needed")
        public = signing_key.as_dict(private=False)
        if ALGORITHMS[algorithm] != (public["kty"], public.get("crv")):
            raise ValueError("algorithm is not one for the signing key")
        self._client_id = client_id
        self._issuer = issuer
        self._key = signing_key
        self._algorithm = algorithm
        self._clock = clock

    def parameters(self) -> dict[str, str]:
        """Return what to add to the form of one request."""
        return {
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": self._sign(),
        }

    def _sign(self) -> str:
        now = int(self._clock())
        header = {"alg": self._algorithm, "typ": "JWT"}
        if self._key.kid:
            header["kid"] = self._key.kid
        claims = {
            "iss": self._client_id,
            "sub": self._client_id,
            "aud": self._issuer,
            "iat": now,
            "exp": now + LIFETIME,
            "jti": secrets.token_urlsafe(16),
        }
        return sign_compact(header, claims, self._key)
