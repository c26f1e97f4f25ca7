"""Makes the proofs of a client, of both kinds: :rfc:`9449#section-4.2`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, NoReturn

from joserfc.jwk import ECKey, OKPKey, RSAKey

from dpop_ext.client.external_key import ExternalKey, ExternalSignature
from dpop_ext.core import ml_dsa
from dpop_ext.core.akp import AKPKey, AnyKey, any_thumbprint
from dpop_ext.core.key import ALGORITHMS, import_proof_key
from dpop_ext.core.ml_dsa import ML_DSA
from dpop_ext.core.proof_making import proof_header, proof_signing_input, sign_proof
from dpop_ext.errors import DPoPError, ProofTooLongError
from dpop_ext.symmetric.delivery import DeliveredKey
from dpop_ext.symmetric.proof import make_symmetric_proof
from dpop_ext.symmetric.ticket_delivery import DeliveredTicket

#: Characters of a proof that common servers take in a header field: nginx, Apache and
#: gunicorn have room for 8 KiB with the name of the field.
MAX_FIELD: Final = 8000
#: Characters of the claims of the shortest proof with an access token.
SHORT_CLAIMS: Final = 180


class ProofMaker:
    """A private key, its algorithm and a clock.

    :param key: the private key, or what signs with it.
    :param algorithm: the one to sign with; by default the usual one for the key. One
        that signs elsewhere knows its own.
    :param clock: returns seconds since the epoch.
    :raises ValueError: no private key, or one that the algorithm is not for.
    """

    def __init__(
        self,
        key: AnyKey | ExternalKey,
        *,
        algorithm: str | None,
        clock: Callable[[], float],
    ) -> None:
        if not isinstance(key, AnyKey):
            external = ExternalSignature(key)
            key = external.public_key
            if algorithm not in {None, external.algorithm}:
                raise ValueError("The key is for another algorithm.")
            algorithm = external.algorithm
            self._sign = external.sign
        else:
            if isinstance(key, AKPKey):
                algorithm = _only_algorithm(key, algorithm)
            else:
                algorithm = usual_algorithm(key, algorithm)
            self._sign = partial(sign_proof, key=key, algorithm=algorithm)
        self._clock = clock
        self.algorithm = algorithm
        self.jkt = any_thumbprint(key)
        #: Its proofs may be longer than a header field.
        self.is_long = isinstance(key, AKPKey)
        self._header = proof_header(key, algorithm=algorithm)
        self._signature_length = 0
        if isinstance(key, AKPKey):
            self._signature_length = ML_DSA[key.alg].signature * 4 // 3

    def now(self) -> int:
        """Return the present time, in whole seconds since the epoch."""
        return int(self._clock())

    def asymmetric(
        self,
        *,
        method: str,
        url: str,
        access_token: str | None = None,
        nonce: str | None = None,
        jti: str | None = None,
        claims: Mapping[str, Any] | None = None,
        offset: int = 0,
    ) -> str:
        """Make an :rfc:`9449` proof for a request that goes out now.

        :param offset: seconds that the server's clock is ahead of this one.
        """
        return self._sign(
            proof_signing_input(
                self._header,
                method=method,
                url=url,
                now=self.now() + offset,
                access_token=access_token,
                nonce=nonce,
                jti=jti,
                claims=claims,
            )
        )

    @property
    def needs_symmetric_key(self) -> bool:
        """Whether an asymmetric proof is too long for any request with a token."""
        return self._signature_length + len(self._header) + SHORT_CLAIMS > MAX_FIELD

    def fits_field(self, proof: str) -> bool:
        """Tell whether *proof* fits a header field."""
        return not self.is_long or len(proof) <= MAX_FIELD

    def field(self, proof: str) -> str:
        """Return *proof* as the value of a header field.

        :raises ProofTooLongError: it does not fit.
        """
        if not self.fits_field(proof):
            raise ProofTooLongError
        return proof

    def symmetric(
        self,
        delivered: DeliveredKey | DeliveredTicket,
        *,
        method: str,
        url: str,
        access_token: str,
        nonce: str | None = None,
        claims: Mapping[str, Any] | None = None,
        offset: int = 0,
    ) -> str:
        """Make a symmetric proof for a request that goes out now.

        :param offset: seconds that the server's clock is ahead of this one.
        """
        return make_symmetric_proof(
            delivered.key,
            algorithm=delivered.algorithm,
            method=method,
            url=url,
            now=self.now() + offset,
            access_token=access_token,
            nonce=nonce,
            ticket=delivered.ticket if isinstance(delivered, DeliveredTicket) else None,
            claims=claims,
        )

    def __repr__(self) -> str:
        return f"<{self.algorithm} {self.jkt}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key is not pickled; keep it in a key file")


def _only_algorithm(key: AKPKey, algorithm: str | None) -> str:
    # For its errors: of a public key, and of a process that has no ML-DSA.
    ml_dsa.signer(key)
    if algorithm not in (None, key.alg):
        raise ValueError("The key is for another algorithm.")
    return key.alg


def usual_algorithm(key: AnyKey, algorithm: str | None) -> str:
    """Return the algorithm to sign with: *algorithm*, or the usual one for the key.

    :raises ValueError: no private key, or one that the algorithm is not for.
    """
    if not isinstance(key, ECKey | OKPKey | RSAKey) or not key.is_private:
        raise ValueError("A proof is signed with an asymmetric private key.")
    public = key.as_dict(private=False)
    shape = (public["kty"], public.get("crv"))
    # The first that fits is the usual one: PS256 for RSA, Ed25519 for its curve.
    fitting = [name for name, needed in ALGORITHMS.items() if needed == shape]
    algorithm = algorithm or next(iter(fitting), "")
    try:
        import_proof_key(public, algorithm=algorithm)
    except DPoPError as error:
        raise ValueError("No server accepts this key with this use.") from error
    return algorithm
