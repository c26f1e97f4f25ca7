"""Post-quantum signatures: ML-DSA of FIPS 204, in JOSE by :rfc:`9964#section-5`."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.backends.openssl.backend import backend

from dpop_ext.core.akp import SEED_LENGTH, AKPKey, read_public, read_seed
from dpop_ext.core.jws_signature import SignatureCheck
from dpop_ext.core.key import check_purpose
from dpop_ext.errors import MalformedJOSEError, MalformedProofError, UnsupportedKeyError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import mldsa


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What an algorithm takes, in bytes."""

    public_key: int
    signature: int


#: The algorithms, none of which a policy allows unless it names them.
ML_DSA: Final[Mapping[str, Sizes]] = {
    "ML-DSA-44": Sizes(public_key=1312, signature=2420),
    "ML-DSA-65": Sizes(public_key=1952, signature=3309),
    "ML-DSA-87": Sizes(public_key=2592, signature=4627),
}


def is_supported() -> bool:
    """Tell whether the cryptography package of this process has ML-DSA."""
    # Since version 47, and only with a TLS library that has it.
    asked = getattr(backend, "mldsa_supported", None)
    return asked is not None and bool(asked())


def require_support() -> None:
    """Fail early where the algorithms are wanted and cannot be had.

    :raises ValueError: the cryptography package has no ML-DSA.
    """
    if not is_supported():
        raise ValueError(
            "ML-DSA needs cryptography 48 or newer, with a TLS library that has it"
        )


def generate(algorithm: str) -> AKPKey:
    """Make a new key pair.

    :param algorithm: one of :data:`ML_DSA`.
    :raises ValueError: the cryptography package has no ML-DSA.
    """
    require_support()
    return _key_pair(algorithm, secrets.token_bytes(SEED_LENGTH))


def import_proof_key(jwk: object, *, algorithm: str) -> AKPKey:
    """Import the ``jwk`` header of a proof for use with *algorithm*.

    :param jwk: the header member, as parsed.
    :param algorithm: one of :data:`ML_DSA`.
    :raises MalformedProofError: not a JSON object.
    :raises UnsupportedKeyError: private or symmetric; not meant for signatures; not of
        the type AKP for *algorithm*; or of another length.
    """
    if not isinstance(jwk, dict):
        raise MalformedProofError("The DPoP proof has no public key.")
    check_purpose(jwk, algorithm)
    try:
        return _read(jwk, algorithm)
    except MalformedJOSEError as error:
        raise UnsupportedKeyError from error


def import_private(jwk: Mapping[str, Any]) -> AKPKey:
    """Import a key pair.

    :raises ValueError: not a key pair of one of these algorithms, or its halves do not
        belong together, or the cryptography package has no ML-DSA.
    """
    algorithm = jwk.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ML_DSA:
        raise MalformedJOSEError("not a key for ML-DSA")
    public = _read(jwk, algorithm).public
    require_support()
    key = _key_pair(algorithm, read_seed(jwk))
    if key.public != public:
        raise MalformedJOSEError("the public key is another one's")
    return key


def signer(key: AKPKey) -> Callable[[bytes], bytes]:
    """Return what signs messages with a private key.

    :raises ValueError: *key* is no private key for one of these algorithms, or the
        cryptography package has no ML-DSA.
    """
    if key.alg not in ML_DSA or key.seed is None:
        raise ValueError("not a private key for ML-DSA")
    require_support()
    # The context is empty, as RFC 9964 wants it.
    return _private_key(key.alg, key.seed).sign


def signature_check(key: AKPKey) -> SignatureCheck:
    """Return what verifies signatures by a key.

    :param key: from :func:`import_proof_key`.
    :returns: takes a message and its signature, and returns True if it is good; else
        it returns False or raises.
    :raises ValueError: the cryptography package has no ML-DSA.
    """
    require_support()
    public, length = _public_key(key), ML_DSA[key.alg].signature

    def check(message: bytes, signature: bytes) -> bool:
        if len(signature) != length:
            return False
        public.verify(signature, message)
        return True

    return check


def _read(jwk: Mapping[str, Any], algorithm: str) -> AKPKey:
    sizes = ML_DSA[algorithm]
    return read_public(jwk, algorithm=algorithm, length=sizes.public_key)


def _key_pair(algorithm: str, seed: bytes) -> AKPKey:
    public = _private_key(algorithm, seed).public_key().public_bytes_raw()
    return AKPKey(alg=algorithm, public=public, seed=seed)


def _private_key(
    algorithm: str, seed: bytes
) -> mldsa.MLDSA44PrivateKey | mldsa.MLDSA65PrivateKey | mldsa.MLDSA87PrivateKey:
    # Here, and not on top: older versions of the package have no such module.
    from cryptography.hazmat.primitives.asymmetric import mldsa  # noqa: PLC0415

    if algorithm == "ML-DSA-44":
        return mldsa.MLDSA44PrivateKey.from_seed_bytes(seed)
    if algorithm == "ML-DSA-65":
        return mldsa.MLDSA65PrivateKey.from_seed_bytes(seed)
    return mldsa.MLDSA87PrivateKey.from_seed_bytes(seed)


def _public_key(
    key: AKPKey,
) -> mldsa.MLDSA44PublicKey | mldsa.MLDSA65PublicKey | mldsa.MLDSA87PublicKey:
    from cryptography.hazmat.primitives.asymmetric import mldsa  # noqa: PLC0415

    if key.alg == "ML-DSA-44":
        return mldsa.MLDSA44PublicKey.from_public_bytes(key.public)
    if key.alg == "ML-DSA-65":
        return mldsa.MLDSA65PublicKey.from_public_bytes(key.public)
    return mldsa.MLDSA87PublicKey.from_public_bytes(key.public)
