"""The public key that a symmetric key is encrypted for (DPoP Symmetric Profile).

It comes from whoever sends a token request, before that client is authenticated.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from joserfc.jwk import Key, OKPKey

from dpop_ext.core.akp import AKPKey, AnyKey
from dpop_ext.core.key import PRIVATE_MEMBERS
from dpop_ext.errors import DPoPError, MalformedProofError, UnsupportedKeyError
from dpop_ext.symmetric import hpke
from dpop_ext.symmetric.ecdh_es import X25519Recipient
from dpop_ext.symmetric.key_numbers import UNUSABLE, import_public, import_x25519

#: Longest JWK, in characters of compact JSON.
MAX_JWK_LENGTH: Final = 4096
#: JWE ``alg`` values for each type of key, the one that every server has first.
KEY_ALGORITHMS_BY_TYPE: Final = {
    "EC": ("ECDH-ES", "ECDH-ES+A256KW"),
    "OKP": ("ECDH-ES", "ECDH-ES+A256KW"),
    "RSA": ("RSA-OAEP-256",),
}

_PUBLIC_MEMBERS: Final = {
    "EC": ("kty", "crv", "x", "y"),
    "OKP": ("kty", "crv", "x"),
    "RSA": ("kty", "n", "e"),
}
_OPERATIONS: Final = frozenset(
    {"encrypt", "wrapKey", "deriveKey", "deriveBits"}  # RFC 7517 section 4.3
)
_OTHER_PURPOSE: Final = "The encryption key is not for encryption."

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
        key = import_x25519(jwk["x"], None)
    except DPoPError:
        raise
    except Exception as error:
        raise UnsupportedKeyError(UNUSABLE) from error
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
        raise UnsupportedKeyError(UNUSABLE) from error


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
        return import_x25519(jwk["x"], None)
    _check_use(jwk)
    kty = jwk["kty"]
    public = {name: jwk[name] for name in _PUBLIC_MEMBERS[kty]}
    if "alg" in jwk:
        # A key that names its algorithm is used with no other.
        if jwk["alg"] not in KEY_ALGORITHMS_BY_TYPE[kty]:
            raise UnsupportedKeyError(_OTHER_PURPOSE)
        public["alg"] = jwk["alg"]
    if kty == "OKP" and public["crv"] == "X25519":
        x = public["x"]
        return import_x25519(x if isinstance(x, str) else "", public.get("alg"))
    return import_public(public)


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
    if not PRIVATE_MEMBERS.isdisjoint(jwk):
        raise UnsupportedKeyError("The encryption key has private members.")
    operations = jwk.get("key_ops", [])
    # Web Crypto exports a public key for key agreement with an empty list.
    fits = operations == [] or not _OPERATIONS.isdisjoint(operations)
    if jwk.get("use", "enc") != "enc" or not fits:
        raise UnsupportedKeyError(_OTHER_PURPOSE)
