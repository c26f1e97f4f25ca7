"""How a resource server says who it is: ``private_key_jwt`` (RFC 7523 section 2.2)."""

from __future__ import annotations

import time
from collections.abc import Callable

from joserfc.jwk import Key

from dpop_ext.core.client_assertion import assertion_claims, assertion_parameters
from dpop_ext.core.jws_signature import sign_compact
from dpop_ext.core.key import ALGORITHMS


class ClientAssertions:
    """Signs an assertion for each request: no secret is shared with the issuer.

    :param client_id: as which this resource server is registered.
    :param issuer: identifier of the authorization server, which they are for.
    :param signing_key: private key, of which the public one is registered.
    :param algorithm: signature algorithm of *signing_key*.
    :param clock: seconds since the epoch.
    :raises ValueError: *signing_key* is not private, or for encryption (``use``), or
        the algorithm is none for it.
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
        # Not of its class: who gives the name of a file is to read what is needed.
        is_private = getattr(signing_key, "is_private", False)
        if algorithm not in ALGORITHMS or not is_private:
            raise ValueError(
                "signing_key is a private key, such as load_key(path) returns, and "
                "algorithm an asymmetric one"
            )
        if signing_key.get("use", "sig") != "sig":
            raise ValueError("signing_key is for signatures, this one has another use")
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
        header = {"alg": self._algorithm, "typ": "JWT"}
        if self._key.kid:
            header["kid"] = self._key.kid
        claims = assertion_claims(
            self._client_id, issuer=self._issuer, now=int(self._clock())
        )
        return assertion_parameters(sign_compact(header, claims, self._key))
