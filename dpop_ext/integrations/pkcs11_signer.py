"""Keys in a PKCS#11 token, which no client can lose: :rfc:`9449#section-11.4`.

Importing it needs the extra ``pkcs11``.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from joserfc.jwk import ECKey

from dpop_ext.extras import needs

with needs("pkcs11"):
    from pkcs11 import KeyType, Mechanism, ObjectClass, Session
    from pkcs11.util.ec import encode_ec_public_key

__all__ = ["PKCS11Key"]

#: By the name of the curve: the algorithm, and its hash.
_ALGORITHMS: Final[Mapping[str, tuple[str, Callable[[bytes], Any]]]] = {
    "secp256r1": ("ES256", hashlib.sha256),
    "secp384r1": ("ES384", hashlib.sha384),
    "secp521r1": ("ES512", hashlib.sha512),
}


class PKCS11Key:
    """An EC key pair in a token, for :class:`~dpop_ext.client.ProofSigner`.

    ::

        token = pkcs11.lib("/usr/lib/softhsm/libsofthsm2.so").get_token("desk")
        session = token.open(user_pin=pin)
        signer = ProofSigner(PKCS11Key(session, label="dpop"))

    Threads may share it: it signs for one after the other.

    :param session: logged in, and open as long as the key is used. Nothing else uses
        it meanwhile.
    :param label: of the private key and of its public key.
    :raises pkcs11.exceptions.PKCS11Error: there is no such key, or more than one.
    :raises ValueError: its curve is none of P-256, P-384 and P-521.
    """

    def __init__(self, session: Session, *, label: str) -> None:
        self._private: Any = session.get_key(
            object_class=ObjectClass.PRIVATE_KEY, key_type=KeyType.EC, label=label
        )
        public: Any = session.get_key(
            object_class=ObjectClass.PUBLIC_KEY, key_type=KeyType.EC, label=label
        )
        key = load_der_public_key(encode_ec_public_key(public))
        if (
            not isinstance(key, ec.EllipticCurvePublicKey)
            or key.curve.name not in _ALGORITHMS
        ):
            raise ValueError("A proof is signed on P-256, P-384 or P-521.")
        self._algorithm, self._hash = _ALGORITHMS[key.curve.name]
        self._jwk = ECKey.import_key(key).as_dict(private=False)
        self._lock = threading.Lock()

    @property
    def algorithm(self) -> str:
        """``ES256``, ``ES384`` or ``ES512``, as the curve has it."""
        return self._algorithm

    @property
    def public_jwk(self) -> Mapping[str, Any]:
        """The public key as a JWK."""
        return self._jwk

    def sign(self, signing_input: bytes) -> bytes:
        """Return the signature, made in the token.

        :raises pkcs11.exceptions.PKCS11Error: the token refuses or is gone.
        """
        # Hashed here: tokens that hash themselves are fewer.
        digest = self._hash(signing_input).digest()
        with self._lock:
            return bytes(self._private.sign(digest, mechanism=Mechanism.ECDSA))

    def __repr__(self) -> str:
        return f"<PKCS11Key {self._algorithm}>"
