"""A client that signs who it is: ``private_key_jwt``, :rfc:`7523#section-2.2`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

from joserfc.jwk import Key

from dpop_ext.client.external_key import ExternalKey, ExternalSignature
from dpop_ext.client.proof_maker import usual_algorithm
from dpop_ext.core.client_assertion import assertion_claims, assertion_parameters
from dpop_ext.core.jose import json_segment
from dpop_ext.core.jws_signature import sign_segments


class AssertionSigner:
    """Makes the assertions of one client for one authorization server.

    :param client_id: who the client is there.
    :param key: its private key, or what signs with it. A ``kid`` of the key is named.
    :param issuer: identifier of the server.
    :param algorithm: None is the usual one for the key.
    :param clock: returns seconds since the epoch, by the server's clock if that is
        known.
    :raises ValueError: no private key, or one that the algorithm is not for.
    """

    def __init__(
        self,
        client_id: str,
        key: Key | ExternalKey,
        *,
        issuer: str,
        algorithm: str | None = None,
        clock: Callable[[], float],
    ) -> None:
        header: dict[str, Any] = {}
        if isinstance(key, Key):
            self.algorithm = usual_algorithm(key, algorithm or key.alg)
            self._sign: Callable[[str], str] = partial(
                sign_segments, key=key, algorithm=self.algorithm
            )
            kid = key.kid
        else:
            signature = ExternalSignature(key)
            self.algorithm, self._sign = signature.algorithm, signature.sign
            if algorithm not in {None, self.algorithm}:
                raise ValueError("The key is for another algorithm.")
            kid = key.public_jwk.get("kid")
        header["alg"] = self.algorithm
        if kid is not None:
            header["kid"] = kid
        self._header = json_segment(header)
        self._client_id = client_id
        self._issuer = issuer
        self._clock = clock

    def parameters(self) -> dict[str, str]:
        """Make the two parameters of one request, which nobody can use twice."""
        claims = assertion_claims(
            self._client_id, issuer=self._issuer, now=int(self._clock())
        )
        return assertion_parameters(
            self._sign(f"{self._header}.{json_segment(claims)}")
        )

    def __repr__(self) -> str:
        return f"<AssertionSigner {self.algorithm}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key is not pickled; keep it in a key file")
