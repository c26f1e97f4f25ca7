"""Private keys that stay where they are: :rfc:`9449#section-11.4`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from joserfc.jwk import Key

from dpop_ext.core.base64url import b64url_decode, b64url_encode
from dpop_ext.core.key import import_proof_key
from dpop_ext.errors import DPoPError

#: Bytes of a signature; of RSA, those of the modulus.
_LENGTHS: Final[Mapping[str, int]] = {
    "ES256": 64,
    "ES384": 96,
    "ES512": 132,
    "EdDSA": 64,
    "Ed25519": 64,
}


class ExternalKey(Protocol):
    """A private key in a KMS, a PKCS#11 token or a TPM, which is asked to sign.

    Nothing else of it is needed. It signs for all threads that share a
    :class:`.ProofSigner`, and an asyncio client waits for it like for any computation.
    What it raises comes out of the request that was to be signed.
    """

    @property
    def algorithm(self) -> str:
        """What it signs with, one of :data:`dpop_ext.core.key.ALGORITHMS`."""

    @property
    def public_jwk(self) -> Mapping[str, Any]:
        """The public key as a JWK; members that its thumbprint lacks are left out."""

    def sign(self, signing_input: bytes) -> bytes:
        """Return the JWS signature.

        :param signing_input: the message itself, not yet hashed.
        :returns: in the form of JWS: of ECDSA that is R and S in bytes of equal number
            (:rfc:`7518#section-3.4`), not the DER that most services return.
        """


class ExternalSignature:
    """The public half of an :class:`ExternalKey`, checked, and its signatures.

    :raises TypeError: it cannot sign.
    :raises ValueError: no server accepts such a key, or not with its algorithm.
    """

    def __init__(self, key: ExternalKey) -> None:
        if not callable(getattr(key, "sign", None)):
            raise TypeError(
                "key is one, such as load_key(path) returns, or an ExternalKey"
            )
        self._key = key
        self.algorithm = key.algorithm
        try:
            self.public_key: Key = import_proof_key(
                dict(key.public_jwk), algorithm=self.algorithm
            )
        except DPoPError as error:
            raise ValueError("No server accepts this key with this use.") from error
        self._length = _LENGTHS.get(self.algorithm) or len(
            b64url_decode(key.public_jwk["n"])
        )

    def sign(self, signing_input: str) -> str:
        """Return the compact JWS.

        :raises ValueError: the signature has another length than those of the
            algorithm: in DER, perhaps.
        """
        signature = self._key.sign(signing_input.encode("ascii"))
        if len(signature) != self._length:
            raise ValueError("The signature of the key is not in the form of JWS.")
        return f"{signing_input}.{b64url_encode(signature)}"
