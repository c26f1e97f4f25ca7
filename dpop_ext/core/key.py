"""The public key in a proof: :rfc:`7517`, :rfc:`7518#section-6`, :rfc:`7638`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final, TypeAlias, TypeGuard

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from dpop_ext.core.base64url import b64url_decode, b64url_encode
from dpop_ext.errors import MalformedJOSEError, MalformedProofError, UnsupportedKeyError

#: The signature algorithms that a policy may allow, with key type and curve.
ALGORITHMS: Final[Mapping[str, tuple[str, str | None]]] = {
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "PS256": ("RSA", None),
    "RS256": ("RSA", None),
    "Ed25519": ("OKP", "Ed25519"),
    "EdDSA": ("OKP", "Ed25519"),
}

_REQUIRED = {
    "EC": ("crv", "kty", "x", "y"),
    "OKP": ("crv", "kty", "x"),
    "RSA": ("e", "kty", "n"),
}
#: What a thumbprint is the hash of: the members in the order of their names, and
#: without escapes, as all are base64url or the name of a type or curve.
_THUMBPRINT_INPUT = {
    kty: "{" + ",".join(f'"{name}":"%({name})s"' for name in names) + "}"
    for kty, names in _REQUIRED.items()
}
#: Members of JWKs that no proof may have.
PRIVATE_MEMBERS: Final = frozenset(
    ("d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv")
)
#: The field of each curve (FIPS 186-4): some imports reduce a coordinate that is not
#: smaller, which gives the same key.
FIELDS: Final = {
    "P-256": 2**256 - 2**224 + 2**192 + 2**96 - 1,
    "P-384": 2**384 - 2**128 - 2**96 + 2**32 - 1,
    "P-521": 2**521 - 1,
}
#: The same as octets, which have the order of the numbers if they are as many.
_FIELD_OCTETS: Final = {
    name: field.to_bytes((field.bit_length() + 7) // 8)
    for name, field in FIELDS.items()
}
#: 32 bytes in base64url: of the last character, two bits stand for nothing.
_THUMBPRINT = re.compile(r"[\w-]{42}[048AEIMQUYcgkosw]", re.ASCII)
#: And each curve, as ``cryptography`` has it.
CURVES: Final = {
    "P-256": ec.SECP256R1(),
    "P-384": ec.SECP384R1(),
    "P-521": ec.SECP521R1(),
}
_RSA_BITS = range(2048, 4096 + 1)
_RSA_EXPONENT_BITS = range(17, 32 + 1)

#: The number of elements of the field of Ed25519 and X25519.
P25519 = 2**255 - 19
_ORDER_8_Y = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
#: The points whose order divides 8, all of them, by their y coordinate. Such a key
#: verifies signatures that nobody made. With y below p as well, no other encoding of
#: them is left, and each point has one thumbprint.
_SMALL_ORDER_Y = frozenset((0, 1, P25519 - 1, _ORDER_8_Y, P25519 - _ORDER_8_Y))


#: As ``cryptography`` has them.
PublicKey: TypeAlias = (
    ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey
)


def import_proof_key(jwk: object, *, algorithm: str) -> Key:
    """Import the ``jwk`` header of a proof, as :func:`read_public_key` reads it."""
    return as_key(*read_public_key(jwk, algorithm=algorithm))


def as_key(public_key: PublicKey, jwk: dict[str, Any]) -> Key:
    """Return what :func:`read_public_key` returned as a key of joserfc."""
    members = {name: jwk[name] for name in _REQUIRED[jwk["kty"]]}
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        return ECKey(public_key, members)
    if isinstance(public_key, rsa.RSAPublicKey):
        return RSAKey(public_key, members)
    return OKPKey(public_key, members)


def read_public_key(jwk: object, *, algorithm: str) -> tuple[PublicKey, dict[str, Any]]:
    """Read the ``jwk`` header of a proof, for use with *algorithm*.

    Only a key with one encoding is accepted, because another encoding would be the
    same key under another thumbprint. Members that are not needed (``kid``, ``x5c``,
    ``x5u`` and the rest) are ignored.

    :param jwk: the header member, as parsed.
    :param algorithm: one of :data:`ALGORITHMS`.
    :returns: the key, and *jwk* itself.
    :raises MalformedProofError: not a JSON object, or a member is missing or mistyped.
    :raises UnsupportedKeyError: private or symmetric; not meant for signatures or for
        *algorithm*; of another type, curve or size; or a weak key.
    """
    if not isinstance(jwk, dict):
        raise MalformedProofError("The DPoP proof has no public key.")
    check_purpose(jwk, algorithm)
    if algorithm not in ALGORITHMS:
        raise UnsupportedKeyError
    kty, crv = ALGORITHMS[algorithm]
    if jwk.get("kty") != kty or (crv is not None and jwk.get("crv") != crv):
        raise UnsupportedKeyError
    try:
        if kty == "EC":
            return _read_ec(jwk), jwk
        return (_read_rsa(jwk) if kty == "RSA" else _read_ed25519(jwk)), jwk
    except MalformedJOSEError as error:
        raise MalformedProofError from error
    except ValueError as error:
        # Off the curve, or otherwise no key.
        raise UnsupportedKeyError from error


def thumbprint(key: Key) -> str:
    """Return the :rfc:`7638` SHA-256 thumbprint of *key*, base64url."""
    if key.key_type not in _REQUIRED:
        return key.thumbprint()
    return thumbprint_of(key.dict_value)


def thumbprint_of(members: Mapping[str, Any]) -> str:
    """Return the :rfc:`7638` SHA-256 thumbprint of a public key, base64url.

    :param members: of a JWK that is valid; those that are not needed are ignored.
    """
    text = _THUMBPRINT_INPUT[members["kty"]] % members
    return b64url_encode(hashlib.sha256(text.encode()).digest())


def is_thumbprint(value: object) -> TypeGuard[str]:
    """Tell whether *value* is a SHA-256 thumbprint in canonical base64url."""
    return isinstance(value, str) and _THUMBPRINT.fullmatch(value) is not None


def is_b64url_of(value: object, *, length: int) -> TypeGuard[str]:
    """Tell whether *value* is the canonical base64url of *length* bytes."""
    try:
        return isinstance(value, str) and len(b64url_decode(value)) == length
    except MalformedJOSEError:
        return False


def check_purpose(jwk: Mapping[str, Any], algorithm: str) -> None:
    """Check the members that say what the key is for (:rfc:`7517#section-4`).

    :raises UnsupportedKeyError: private or symmetric, or not meant for signatures with
        *algorithm*.
    """
    # By name and before anything is imported: whatever the type and the value say, a
    # private key must not be made welcome in a header.
    if not PRIVATE_MEMBERS.isdisjoint(jwk):
        raise UnsupportedKeyError("The key in the DPoP proof is not a public key.")
    if jwk.get("use", "sig") != "sig" or jwk.get("alg", algorithm) != algorithm:
        raise UnsupportedKeyError
    if "key_ops" in jwk:
        operations = jwk["key_ops"]
        # A string would pass `in` too, and no operation may be listed twice.
        if not isinstance(operations, list) or operations.count("verify") != 1:
            raise UnsupportedKeyError


def _octets(jwk: dict[str, Any], name: str) -> bytes:
    value = jwk.get(name)
    if not isinstance(value, str):
        raise MalformedProofError("The key in the DPoP proof lacks a member.")
    return b64url_decode(value)


def _read_ec(jwk: dict[str, Any]) -> ec.EllipticCurvePublicKey:
    x, y, field = _octets(jwk, "x"), _octets(jwk, "y"), _FIELD_OCTETS[jwk["crv"]]
    if len(x) != len(field) or len(y) != len(field) or max(x, y) >= field:
        raise UnsupportedKeyError
    # An uncompressed point. That it is on the curve is checked by the import.
    point = b"\4" + x + y
    return ec.EllipticCurvePublicKey.from_encoded_point(CURVES[jwk["crv"]], point)


def _read_rsa(jwk: dict[str, Any]) -> rsa.RSAPublicKey:
    n, e = _octets(jwk, "n"), _octets(jwk, "e")
    modulus, exponent = int.from_bytes(n), int.from_bytes(e)
    if (
        n[:1] == b"\0"
        or e[:1] == b"\0"
        or modulus.bit_length() not in _RSA_BITS
        or exponent.bit_length() not in _RSA_EXPONENT_BITS
        or not modulus & exponent & 1
    ):
        raise UnsupportedKeyError
    return rsa.RSAPublicNumbers(exponent, modulus).public_key()


def _read_ed25519(jwk: dict[str, Any]) -> ed25519.Ed25519PublicKey:
    x = _octets(jwk, "x")
    y = int.from_bytes(x, "little") & (2**255 - 1)
    if len(x) != 32 or y >= P25519 or y in _SMALL_ORDER_Y:
        raise UnsupportedKeyError
    return ed25519.Ed25519PublicKey.from_public_bytes(x)
