"""The numbers of a public key to encrypt for (RFC 7518 section 6, RFC 8037 section 2).

One key has one text: a number of another length, or one that the import reduces, would
give it a second thumbprint.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final, Literal

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.serialization import load_der_public_key
from joserfc.jwk import ECKey, OKPKey, RSAKey

from dpop_ext.core.base64url import b64url_decode
from dpop_ext.core.key import CURVES, FIELDS, P25519
from dpop_ext.errors import UnsupportedKeyError
from dpop_ext.symmetric.ecdh_es import X25519Recipient

UNUSABLE: Final = "The encryption key cannot be used."
#: Sizes of RSA moduli, in bits.
MIN_RSA_SIZE: Final = 2048
MAX_RSA_SIZE: Final = 4096

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
#: The field of each other curve. The signature curves of OKP are not among them:
#: converting such a key into one for key agreement is not done.
_FIELDS: Final = {
    **{("EC", curve): field for curve, field in FIELDS.items()},
    ("OKP", "X448"): 2**448 - 2**224 - 1,
}
_OAEP: Final = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)


def import_x25519(x: str, algorithm: str | None) -> X25519Recipient:
    """Import a public key on the curve that most clients use.

    :param x: its coordinate, base64url.
    :param algorithm: the only JWE ``alg`` to use it with; None: it names none.
    :raises UnsupportedKeyError: *x* is not canonical, or a point of low order.
    :raises MalformedJOSEError: *x* is not base64url.
    """
    octets = b64url_decode(x)
    u = int.from_bytes(octets, "little")
    # As for other curves; and an exchange fails with those of low order and no others.
    if len(octets) != 32 or u >= P25519 or u in LOW_ORDER:
        raise UnsupportedKeyError(UNUSABLE)
    # In two thirds of the time of from_public_bytes, which imports and asks a backend.
    public = load_der_public_key(_X25519_DER + octets)
    # Half as long as by the constructor, which passes all of them on once more.
    return tuple.__new__(X25519Recipient, (public, x, algorithm))


def import_public(public: dict[str, Any]) -> RSAKey | ECKey | OKPKey:
    """Import any other public key, and use it where some faults show only then.

    :param public: those members of its JWK that say which key it is, and ``alg``.
    :raises UnsupportedKeyError: a number is not canonical, or RSA of another size than
        2048 to 4096 bits with an odd exponent of 17 to 32 bits.
    :raises Exception: whatever joserfc and cryptography raise of what is no key.
    """
    kty = public["kty"]
    if kty == "RSA":
        _check_rsa_numbers(public)
        rsa = RSAKey.import_key(public)
        rsa.public_key.encrypt(bytes(32), _OAEP)
        return rsa
    field = _FIELDS[kty, public["crv"]]
    if kty == "EC":
        x = _coordinate(public["x"], field, "big")
        y = _coordinate(public["y"], field, "big")
        curve = CURVES[public["crv"]]
        # Refuses what is not on the curve. With what is, an exchange cannot fail: the
        # order of each is a prime.
        point = ec.EllipticCurvePublicKey.from_encoded_point(curve, b"\4" + x + y)
        return ECKey(point, public)
    _coordinate(public["x"], field, "little")
    x448 = OKPKey.import_key(public)
    # A point of low order is imported like any other.
    _trial_x448().exchange_derive_key(x448)
    return x448


def _coordinate(value: object, field: int, order: Literal["big", "little"]) -> bytes:
    octets = b64url_decode(value) if isinstance(value, str) else b""
    if (
        len(octets) != (field.bit_length() + 7) // 8
        or int.from_bytes(octets, order) >= field
    ):
        raise UnsupportedKeyError(UNUSABLE)
    return octets


def _check_rsa_numbers(public: dict[str, Any]) -> None:
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


# Made once, because the result of the exchange is thrown away: nothing is ever
# encrypted with this key.
@cache
def _trial_x448() -> OKPKey:
    return OKPKey.generate_key("X448")
