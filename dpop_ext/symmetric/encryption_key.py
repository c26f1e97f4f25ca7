"""The public key that a symmetric key is encrypted for (DPoP Symmetric Profile).

It comes from whoever sends a token request, before that client is authenticated.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, Literal, NamedTuple, TypeAlias, TypeVar

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.serialization import load_der_public_key
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from dpop_ext.core.akp import AKPKey, AnyKey
from dpop_ext.core.base64url import b64url_decode
from dpop_ext.core.key import CURVES, FIELDS
from dpop_ext.errors import DPoPError, MalformedProofError, UnsupportedKeyError
from dpop_ext.symmetric import hpke
from dpop_ext.symmetric.ecdh_es import X25519Recipient

#: Longest JWK, in characters of compact JSON.
MAX_JWK_LENGTH: Final = 4096
#: Sizes of RSA moduli, in bits.
MIN_RSA_SIZE: Final = 2048
MAX_RSA_SIZE: Final = 4096
#: JWE ``alg`` values for each type of key, the one that every server has first.
KEY_ALGORITHMS_BY_TYPE: Final = {
    "EC": ("ECDH-ES", "ECDH-ES+A256KW"),
    "OKP": ("ECDH-ES", "ECDH-ES+A256KW"),
    "RSA": ("RSA-OAEP-256",),
}

#: The field of each curve. The signature curves of OKP are not among them: converting
#: such a key into one for key agreement is not done.
_FIELDS: Final = {
    **{("EC", curve): field for curve, field in FIELDS.items()},
    ("OKP", "X448"): 2**448 - 2**224 - 1,
}
_PUBLIC_MEMBERS: Final = {
    "EC": ("kty", "crv", "x", "y"),
    "OKP": ("kty", "crv", "x"),
    "RSA": ("kty", "n", "e"),
}
_PRIVATE_MEMBERS: Final = frozenset(
    {"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"}
)
_P25519: Final = 2**255 - 19
#: The points of X25519 whose order divides 8, of the curve and of its twist, by their u
#: coordinate (RFC 7748 section 6.1): whatever is agreed upon with them is zero.
LOW_ORDER: Final = frozenset(
    (
        0,
        1,
        2**255 - 20,
        0xB8495F16056286FDB1329CEB8D09DA6AC49FF1FAE35616AEB8413B7C7AEBE0,
        0x57119FD0DD4E22D8868E1C58C45C44045BEF839C55B1D0B1248C50A3BC959C5F,
    )
)
#: What stands before the octets of an X25519 key in DER (RFC 8410 section 4).
_X25519_DER: Final = bytes.fromhex("302a300506032b656e032100")
_OPERATIONS: Final = frozenset(
    {"encrypt", "wrapKey", "deriveKey", "deriveBits"}  # RFC 7517 section 4.3
)
_UNUSABLE: Final = "The encryption key cannot be used."


K = TypeVar("K")

#: What something can be encrypted for.
Recipient: TypeAlias = AnyKey | X25519Recipient


class EncryptionKey(NamedTuple):
    """A public key that is known to work for encryption."""

    key: Recipient
    #: It is the key that signed the proof, offered as such or once more as its own:
    #: one key for two purposes, which a server may not want.
    is_proof_key: bool


def import_encryption_key(
    jwk: object, *, proof_jwk: Mapping[str, Any], allow_hpke: bool = False
) -> EncryptionKey | None:
    """Check the key that a symmetric key is to be encrypted for, and try it.

    Done before the client is authenticated and before anything is spent or saved,
    because a key that turns out bad later would cost the client its code.

    :param jwk: the ``jwk`` member of the ``dsk`` claim; None: the key of the proof.
    :param proof_jwk: the verified key of the proof.
    :param allow_hpke: accept a post-quantum key too, for ``HPKE-9-KE``.
    :returns: None if only the key of the proof is offered and it cannot encrypt.
    :raises MalformedProofError: *jwk* is not an object of at most 4 KiB.
    :raises UnsupportedKeyError: it has private members; is not for encryption; is not
        a canonical key on P-256, P-384, P-521, X25519 or X448, nor RSA of 2048 to
        4096 bits with an odd exponent of 17 to 32 bits; or an exchange with it fails.
    """
    if jwk is None:
        try:
            key = _checked(dict(proof_jwk), _import_tried)
            return EncryptionKey(key=key, is_proof_key=True)
        except UnsupportedKeyError:
            return None
    if not isinstance(jwk, dict):
        raise MalformedProofError("The encryption key is not an object.")
    if allow_hpke and jwk.get("kty") == "AKP":
        # Never the key of a proof, whose alg is one for signatures.
        return EncryptionKey(key=_checked(jwk, _import_hpke), is_proof_key=False)
    key = _checked(jwk, _import_tried)
    is_proof_key = key.key_type == proof_jwk.get("kty") and all(
        jwk[name] == proof_jwk.get(name) for name in _PUBLIC_MEMBERS[key.key_type]
    )
    return tuple.__new__(EncryptionKey, (key, is_proof_key))


def import_bare_x25519(jwk: dict[str, Any]) -> EncryptionKey:
    """Return what :func:`import_encryption_key` would, of a key of usual form.

    :param jwk: ``kty`` and ``crv`` of X25519, 43 characters of ``x``, nothing else.
    :raises UnsupportedKeyError: as there.
    """
    try:
        key = _import_x25519(jwk["x"], None)
    except DPoPError:
        raise
    except Exception as error:
        raise UnsupportedKeyError(_UNUSABLE) from error
    # It is no key of a proof: nothing is signed by a key on this curve.
    return tuple.__new__(EncryptionKey, (key, False))


def generate_encryption_key(algorithm: str) -> OKPKey | AKPKey:
    """Make the key of one request, whose private half decrypts the answer.

    :param algorithm: JWE ``alg``: ``HPKE-9-KE``; any other gets an X25519 key.
    :raises ValueError: the cryptography package lacks the algorithm.
    """
    if algorithm == hpke.HPKE_ALGORITHM:
        return hpke.generate()
    return OKPKey.generate_key("X25519")


def import_recipient(jwk: dict[str, Any]) -> Key:
    """Check a public key for encryption, and try it.

    :raises MalformedProofError: as :func:`import_encryption_key`.
    :raises UnsupportedKeyError: as :func:`import_encryption_key`.
    """
    key = _checked(jwk, _import_tried)
    if not isinstance(key, X25519Recipient):
        return key
    members = {"kty": "OKP", "crv": "X25519", "x": key.x}
    if key.alg is not None:
        members["alg"] = key.alg
    return OKPKey(key.public_key, members)


def _checked(jwk: dict[str, Any], import_key: Callable[[dict[str, Any]], K]) -> K:
    try:
        return import_key(jwk)
    except DPoPError:
        raise
    except Exception as error:
        # joserfc and cryptography raise KeyError, TypeError, ValueError,
        # binascii.Error and more for keys that they do not like.
        raise UnsupportedKeyError(_UNUSABLE) from error


def _is_bare_x25519(jwk: Mapping[str, Any]) -> bool:
    """Tell whether nothing in a key is too long, or says anything of a purpose.

    So it is with what clients make for each request.
    """
    x = jwk.get("x")
    return (
        isinstance(x, str)
        and len(x) == 43
        and jwk == {"kty": "OKP", "crv": "X25519", "x": x}
    )


def _import_tried(jwk: Mapping[str, Any]) -> Key | X25519Recipient:
    if _is_bare_x25519(jwk):
        return _import_x25519(jwk["x"], None)
    _check_use(jwk)
    if jwk["kty"] == "OKP" and jwk["crv"] == "X25519":
        x = jwk["x"]
        if "alg" in jwk:
            _check_algorithm(jwk)
        return _import_x25519(x if isinstance(x, str) else "", jwk.get("alg"))
    key = _import_public(jwk)
    _try_exchange(key)
    return key


def _import_hpke(jwk: Mapping[str, Any]) -> AKPKey:
    _check_use(jwk)
    return hpke.import_public(jwk)


def _is_short(jwk: Mapping[str, Any]) -> bool:
    # JSON takes twelve characters at most for one of a string. So usual keys are known
    # to be short before they are written.
    try:
        characters = len("".join((*jwk, *jwk.values())))
    except TypeError:  # one of the values is no string
        characters = MAX_JWK_LENGTH
    if 12 * characters + 6 * len(jwk) < MAX_JWK_LENGTH:
        return True
    return len(json.dumps(jwk, separators=(",", ":"))) <= MAX_JWK_LENGTH


def _check_use(jwk: Mapping[str, Any]) -> None:
    if not _is_short(jwk):
        raise MalformedProofError("The encryption key is too long.")
    if not _PRIVATE_MEMBERS.isdisjoint(jwk):
        raise UnsupportedKeyError("The encryption key has private members.")
    operations = jwk.get("key_ops", [])
    # Web Crypto exports a public key for key agreement with an empty list.
    fits = operations == [] or not _OPERATIONS.isdisjoint(operations)
    if jwk.get("use", "enc") != "enc" or not fits:
        raise UnsupportedKeyError("The encryption key is not for encryption.")


def _import_x25519(x: str, algorithm: str | None) -> X25519Recipient:
    octets = b64url_decode(x)
    u = int.from_bytes(octets, "little")
    # As for other curves; and an exchange fails with those of low order and no others.
    if len(octets) != 32 or u >= _P25519 or u in LOW_ORDER:
        raise UnsupportedKeyError(_UNUSABLE)
    # In two thirds of the time of from_public_bytes, which imports and asks a backend.
    public = load_der_public_key(_X25519_DER + octets)
    # Half as long as by the constructor, which passes all of them on once more.
    return tuple.__new__(X25519Recipient, (public, x, algorithm))


def _import_public(jwk: Mapping[str, Any]) -> RSAKey | ECKey | OKPKey:
    kty = jwk["kty"]
    public = {name: jwk[name] for name in _PUBLIC_MEMBERS[kty]}
    if "alg" in jwk:
        _check_algorithm(jwk)
        public["alg"] = jwk["alg"]
    if kty == "RSA":
        _check_rsa_numbers(public)
        return RSAKey.import_key(public)
    field = _FIELDS[kty, public["crv"]]
    if kty == "EC":
        x = _coordinate(public["x"], field, "big")
        y = _coordinate(public["y"], field, "big")
        curve = CURVES[public["crv"]]
        # Refuses what is not on the curve.
        point = ec.EllipticCurvePublicKey.from_encoded_point(curve, b"\4" + x + y)
        return ECKey(point, public)
    _coordinate(public["x"], field, "little")
    return OKPKey.import_key(public)


def _check_algorithm(jwk: Mapping[str, Any]) -> None:
    # A key that names its algorithm is used with no other.
    if jwk["alg"] not in KEY_ALGORITHMS_BY_TYPE[jwk["kty"]]:
        raise UnsupportedKeyError("The encryption key is not for encryption.")


def _coordinate(value: object, field: int, order: Literal["big", "little"]) -> bytes:
    # One key, one text: another length, or a number that the import reduces, would give
    # it a second thumbprint.
    octets = b64url_decode(value) if isinstance(value, str) else b""
    if (
        len(octets) != (field.bit_length() + 7) // 8
        or int.from_bytes(octets, order) >= field
    ):
        raise UnsupportedKeyError(_UNUSABLE)
    return octets


def _check_rsa_numbers(public: Mapping[str, Any]) -> None:
    modulus, exponent = b64url_decode(public["n"]), b64url_decode(public["e"])
    n, e = int.from_bytes(modulus), int.from_bytes(exponent)
    if (
        not MIN_RSA_SIZE <= n.bit_length() <= MAX_RSA_SIZE
        or not 17 <= e.bit_length() <= 32
        or not n & e & 1
        or modulus[0] == 0
        or exponent[0] == 0
    ):
        raise UnsupportedKeyError("The RSA key is not of an accepted size.")


def _try_exchange(key: RSAKey | ECKey | OKPKey) -> None:
    """Use the key once, because some faults show only then.

    A low-order point of X448, for example, is imported like any other.
    """
    if isinstance(key, RSAKey):
        digest = hashes.SHA256()
        key.public_key.encrypt(
            bytes(32), padding.OAEP(padding.MGF1(digest), digest, None)
        )
    elif isinstance(key, OKPKey):
        _trial_okp_key(key.curve_name).exchange_derive_key(key)
    # With a point of a NIST curve it cannot fail: the order of each is a prime.


# Made once, because the result of the exchange is thrown away: nothing is ever
# encrypted with these keys.
@cache
def _trial_okp_key(curve: Any) -> OKPKey:
    return OKPKey.generate_key(curve)
