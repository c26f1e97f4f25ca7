"""What a client asks for: the dsk claim and the dpop_sym parameter (Symmetric Profile).

The claim stands in the proof of the token request, so it is signed: nobody on the way
can swap the encryption key or remove the request unnoticed. The form parameter is for
clients whose DPoP library cannot add claims.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, Final, NamedTuple

from dpop_ext.core.akp import AnyKey
from dpop_ext.core.base64url import b64url_decode, b64url_encode
from dpop_ext.core.key import is_b64url_of
from dpop_ext.errors import MalformedProofError, MalformedRequestError

#: Longest list of algorithm names.
MAX_NAMES: Final = 16
#: Lists of names that are remembered.
MAX_LISTS: Final = 64
#: Longest JWE with key material from the client, in characters.
MAX_KEY_MATERIAL: Final = 4096
#: Content encryption that is offered by a client that names none.
DEFAULT_ENCODINGS: Final = ("A256GCM",)
#: Key encryption that is offered by a client that names none: the first that fits.
DEFAULT_KEY_ALGORITHMS: Final = ("ECDH-ES", "RSA-OAEP-256")

_NAME: Final = re.compile(r"[A-Za-z0-9+._-]{1,32}")
#: Longest form parameter: so many names of 32 characters, and a space after each.
_MAX_PARAMETER: Final = 33 * MAX_NAMES


class KeyRequest(NamedTuple):
    """A well-formed request for a symmetric key."""

    #: MAC algorithms, the preferred one first.
    algorithms: tuple[str, ...]
    #: The public key to encrypt for, not checked yet; None: the key of the proof.
    encryption_jwk: dict[str, Any] | None = None
    #: JWE ``alg`` values, the preferred one first.
    key_algorithms: tuple[str, ...] = DEFAULT_KEY_ALGORITHMS
    #: JWE ``enc`` values, the preferred one first.
    encodings: tuple[str, ...] = DEFAULT_ENCODINGS
    #: Refuse the request rather than issue a token without a key.
    must: bool = False
    #: The client's part of the random value in the token, 32 bytes (``n``).
    n: bytes | None = None
    #: Key material of the client, encrypted for the server (``k_jwe``).
    key_material: str | None = None

    def __repr__(self) -> str:
        # Without the key, of which nobody has checked that it is public.
        return f"<KeyRequest {self.algorithms!a}>"


def parse_key_request(dsk: object | None, dpop_sym: str | None) -> KeyRequest | None:
    """Read what a token request asks for.

    The encryption key is not looked at here: see
    :func:`dpop_ext.symmetric.encryption_key.import_encryption_key`.

    :param dsk: the claim of the verified proof; None if there is none.
    :param dpop_sym: the form parameter; None or empty if there is none.
    :returns: None if no key is asked for.
    :raises MalformedProofError: the claim is malformed.
    :raises MalformedRequestError: the claim has both kinds of key material; the
        parameter is malformed, or names other algorithms than the claim.
    """
    claimed = None if dsk is None else _parse_claim(dsk)
    if not dpop_sym:
        return claimed
    names = _parameter_names(dpop_sym)
    if claimed is None:
        return KeyRequest(algorithms=names)
    if claimed.algorithms != names:
        raise MalformedRequestError("dpop_sym and dsk name different algorithms.")
    return claimed


def usual_key_request(
    jwk: dict[str, Any], names: tuple[str, str | None, str | None]
) -> KeyRequest:
    """Return what :func:`parse_key_request` would, of a usual claim.

    :param jwk: its ``jwk``.
    :param names: from :func:`.usual_claims.read_asking_claims`.
    """
    algorithm, key_algorithm, encoding = names
    values = (
        (algorithm,),
        jwk,
        DEFAULT_KEY_ALGORITHMS if key_algorithm is None else (key_algorithm,),
        DEFAULT_ENCODINGS if encoding is None else (encoding,),
        False,  # must
        None,  # n
        None,  # key_material
    )
    # Half as long as by the constructor, which passes all of them on once more.
    return tuple.__new__(KeyRequest, values)


def key_request_claim(
    *,
    algorithms: Sequence[str],
    encryption_key: AnyKey | None = None,
    key_algorithms: Sequence[str] = (),
    encodings: Sequence[str] = (),
    n: bytes | None = None,
    key_material: str | None = None,
    must: bool = False,
) -> dict[str, Any]:
    """Make the ``dsk`` claim of a token request's proof.

    :param algorithms: MAC algorithms, the preferred one first.
    :param encryption_key: whose public half encrypts the key that is delivered; best
        a new one for each request. None offers the key of the proof.
    :param key_algorithms: JWE ``alg`` values; none offers the one that every server
        has for the type of the key.
    :param encodings: JWE ``enc`` values; none offers ``A256GCM``.
    :param n: 32 random bytes, which go into the random value of the token.
    :param key_material: from :func:`.key_material.encrypt_key_material`; not beside
        *n*.
    :param must: rather get an error than a token without a key.
    """
    claim: dict[str, Any] = {"algs": list(algorithms)}
    if encryption_key is not None:
        claim["jwk"] = encryption_key.as_dict(private=False)
    if key_algorithms:
        claim["kalgs"] = list(key_algorithms)
    if encodings:
        claim["encs"] = list(encodings)
    if n is not None:
        claim["n"] = b64url_encode(n)
    if key_material is not None:
        claim["k_jwe"] = key_material
    if must:
        claim["must"] = True
    return claim


def _parse_claim(dsk: object) -> KeyRequest:
    if not isinstance(dsk, dict):
        raise MalformedProofError("The dsk claim is not an object.")
    jwk = dsk.get("jwk")
    if not isinstance(jwk, dict) and "jwk" in dsk:
        raise MalformedProofError("The encryption key is not an object.")
    must = dsk.get("must", False)
    if not isinstance(must, bool):
        raise MalformedProofError("The dsk claim is malformed.")
    values = (
        _names(dsk.get("algs")),
        jwk,
        _names(dsk["kalgs"]) if "kalgs" in dsk else DEFAULT_KEY_ALGORITHMS,
        _names(dsk["encs"]) if "encs" in dsk else DEFAULT_ENCODINGS,
        must,
        _n(dsk) if "n" in dsk else None,
        _key_material(dsk["k_jwe"]) if "k_jwe" in dsk else None,
    )
    # Half as long as by the constructor, which passes all of them on once more.
    return tuple.__new__(KeyRequest, values)


def _parameter_names(text: str) -> tuple[str, ...]:
    # A form may be of any length, and this is before anybody authenticated.
    if len(text) <= _MAX_PARAMETER:
        with suppress(ValueError):
            return _checked_names(tuple(text.split(" ")))
    raise MalformedRequestError("The dpop_sym parameter is malformed.")


def _names(value: object) -> tuple[str, ...]:
    values = tuple(value) if isinstance(value, list) else ()
    try:
        return _checked_names(values)
    except (TypeError, ValueError):  # one of them is a list or an object
        pass
    raise MalformedProofError("The dsk claim is malformed.")


# All clients send the same few lists. An error is not remembered, nor what led to it.
@lru_cache(MAX_LISTS)
def _checked_names(values: tuple[Any, ...]) -> tuple[str, ...]:
    """Return *values*, which are algorithm names, known here or not.

    :raises ValueError: they are something else, or too many.
    """
    if not 0 < len(values) <= MAX_NAMES:
        raise ValueError("no list of names")
    for value in values:
        if not isinstance(value, str) or not _NAME.fullmatch(value):
            raise ValueError("no name of an algorithm")
    return values


def _n(dsk: Mapping[str, Any]) -> bytes:
    if "k_jwe" in dsk:
        raise MalformedRequestError("The dsk claim has both n and k_jwe.")
    if not is_b64url_of(dsk["n"], length=32):
        raise MalformedProofError("The dsk claim is malformed.")
    return b64url_decode(dsk["n"])


def _key_material(text: object) -> str:
    # No more is known of it before it is decrypted, for a client that authenticated.
    if (
        not isinstance(text, str)
        or len(text) > MAX_KEY_MATERIAL
        or text.count(".") != 4
    ):
        raise MalformedProofError("The dsk claim is malformed.")
    return text
