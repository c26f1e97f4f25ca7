"""Signatures of compact JWS, made and checked (:rfc:`7515`, :rfc:`7518`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwa import JWSAlgModel
from joserfc.jwk import ECKey, Key
from joserfc.jws import JWSRegistry

from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.jose import CompactJWS, json_segment
from dpop_ext.errors import BadSignatureError

#: Takes a message and its signature, and returns True if it is good; else it returns
#: False or raises any exception.
SignatureCheck = Callable[[bytes, bytes], bool]
_SHA256 = SHA256()
_ES256 = ec.ECDSA(_SHA256)
_PKCS1 = padding.PKCS1v15()
#: What stands before each of two numbers of 32 bytes in DER, by whether the first bits
#: are set: without a zero before it, that would be the sign.
_DER = {
    (False, False): (b"0\x44\2\x20", b"\2\x20"),
    (False, True): (b"0\x45\2\x20", b"\2\x21\0"),
    (True, False): (b"0\x45\2\x21\0", b"\2\x20"),
    (True, True): (b"0\x46\2\x21\0", b"\2\x21\0"),
}


def _algorithm(name: str) -> JWSAlgModel:
    # From the table: to ask a registry for the deprecated name EdDSA gives a warning,
    # and warnings cannot be silenced for one thread.
    model = JWSRegistry.algorithms.get(name)
    # The models of "none" and of the MACs say "oct", and "none" verifies.
    if model is None or model.key_type == "oct":
        raise UnsupportedAlgorithmError("Not an asymmetric signature algorithm")
    return model


def verify_signature(jws: CompactJWS, key: Key, *, algorithm: str) -> None:
    """Verify the signature of a parsed JWS; nothing is parsed a second time.

    :param key: the public key, and the only one that is tried.
    :param algorithm: the one algorithm that the caller accepts for this key.
    :raises BadSignatureError: the signature is not by *key* with *algorithm*.
    """
    if jws.header.get("alg") != algorithm:
        raise BadSignatureError
    check = signature_check(key, algorithm=algorithm)
    check_signature(check, jws.signing_input, jws.signature)


def check_signature(check: SignatureCheck, message: bytes, signature: bytes) -> None:
    """Verify the signature of a parsed JWS, whose ``alg`` is that of *check*.

    :raises BadSignatureError: *check* says no, or fails.
    """
    try:
        good = check(message, signature)
    except Exception as error:
        # Not InvalidSignature alone: the models and the layers under them also raise
        # ValueError, TypeError, KeyError and binascii.Error.
        raise BadSignatureError from error
    if good is not True:
        raise BadSignatureError


def signature_check(key: Key, *, algorithm: str) -> SignatureCheck:
    """Prepare *key* for the verification of many signatures.

    :param algorithm: the one algorithm that the caller accepts for this key.
    :returns: takes a message and its signature, and returns True if it is good.
    :raises BadSignatureError: the key is not for this algorithm.
    """
    try:
        model = _algorithm(algorithm)
        model.check_key(key)
        public = key.get_op_key("verify")
    except Exception as error:
        raise BadSignatureError from error
    return usual_signature_check(public, algorithm=algorithm) or (
        lambda message, signature: model.verify(message, signature, key)
    )


def usual_signature_check(public: Any, *, algorithm: str) -> SignatureCheck | None:
    """Prepare a key of ``cryptography`` that is known to be for *algorithm*.

    Does what the models of joserfc do, without asking the key the same questions again.

    :param public: of the type and curve that *algorithm* is for.
    :returns: None for all but the three algorithms that are in use.
    """
    if algorithm == "ES256":
        return partial(_verify_es256, public)
    if algorithm == "RS256":
        return partial(_verify_rs256, public)
    # EdDSA is the name for another curve, too.
    if isinstance(public, ed25519.Ed25519PublicKey):
        return partial(_verify_ed25519, public)
    return None


def _verify_es256(
    key: ec.EllipticCurvePublicKey, message: bytes, signature: bytes
) -> bool:
    if len(signature) != 64:
        return False
    key.verify(_der_signature(signature), message, _ES256)
    return True


def _der_signature(signature: bytes) -> bytes:
    """Return the two numbers of an ES256 signature as ``cryptography`` takes them.

    Its own function wants them as integers, and takes four times as long.
    """
    first, second = signature[0], signature[32]
    # One number in 256 has fewer bytes.
    if not first or not second:
        r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
        return encode_dss_signature(r, s)
    before, between = _DER[first > 127, second > 127]
    return before + signature[:32] + between + signature[32:]


def _verify_rs256(key: rsa.RSAPublicKey, message: bytes, signature: bytes) -> bool:
    key.verify(signature, message, _PKCS1, _SHA256)
    return True


def _verify_ed25519(
    key: ed25519.Ed25519PublicKey, message: bytes, signature: bytes
) -> bool:
    key.verify(signature, message)
    return True


def sign_compact(
    header: Mapping[str, Any], payload: Mapping[str, Any], key: Key
) -> str:
    """Make a compact JWS.

    :param header: protected header; its ``alg`` is an asymmetric algorithm.
    :param payload: what is signed, as a JSON object.
    :param key: the private key.
    :raises ValueError: the key does not fit the algorithm.
    """
    signing_input = f"{json_segment(header)}.{json_segment(payload)}"
    return sign_segments(signing_input, key, algorithm=header["alg"])


def sign_segments(signing_input: str, key: Key, *, algorithm: str) -> str:
    """Make a compact JWS of a header and a payload that are encoded already.

    :param signing_input: both, with the dot between them.
    :param algorithm: the ``alg`` in the header, an asymmetric one.
    :param key: the private key.
    :raises ValueError: the key does not fit the algorithm.
    """
    try:
        model = _algorithm(algorithm)
        model.check_key(key)
        message = signing_input.encode("ascii")
        if algorithm == "ES256" and isinstance(key, ECKey):
            signature = _sign_es256(key.get_op_key("sign"), message)
        else:
            signature = model.sign(message, key)
    except JoseError as error:
        raise ValueError("the key does not fit the algorithm") from error
    return f"{signing_input}.{b64url_encode(signature)}"


def _sign_es256(key: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    r, s = decode_dss_signature(key.sign(message, _ES256))
    return r.to_bytes(32) + s.to_bytes(32)
