"""The key that this server signs with, and what it signs (RFC 7515, RFC 7517)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from joserfc.jwk import Key, KeySet

from dpop_ext.core.jose import json_segment
from dpop_ext.core.jws_signature import sign_segments
from dpop_ext.core.key import ALGORITHMS

#: Headers that are kept: a server has one for each key and kind of token.
MAX_HEADERS: Final = 64


def sign(
    claims: dict[str, Any], found: Key | KeySet, *, algorithm: str, typ: str
) -> str:
    """Return a compact JWT, signed with the newest private key that fits.

    :param found: the private keys, oldest to newest.
    :param algorithm: an asymmetric one, by its name.
    :param typ: for the header, which also names the key.
    :raises TypeError: *found* is neither a key nor a set of keys.
    :raises RuntimeError: no key is private and for *algorithm*.
    """
    key = _newest(found, algorithm)
    signing_input = f"{_header(typ, algorithm, key.kid)}.{json_segment(claims)}"
    return sign_segments(signing_input, key, algorithm=algorithm)


@lru_cache(MAX_HEADERS)
def _header(typ: str, algorithm: str, kid: str | None) -> str:
    header = {"typ": typ, "alg": algorithm}
    if kid:
        header["kid"] = kid
    return json_segment(header)


def _newest(found: Key | KeySet, algorithm: str) -> Key:
    keys = found.keys if isinstance(found, KeySet) else [found]
    try:
        for key in reversed(keys):
            if key.is_private and fits(key, algorithm):
                return key
    except AttributeError as error:
        raise TypeError(
            "The signing keys are a Key, or a KeySet of several."
        ) from error
    raise RuntimeError(
        f"No private key is for {algorithm}, the algorithm to sign with."
    )


def fits(key: Key, algorithm: str) -> bool:
    """Tell whether *key* is for signatures with *algorithm*."""
    if key.get("use", "sig") != "sig" or key.get("alg", algorithm) != algorithm:
        return False
    kty, curve = ALGORITHMS[algorithm]
    return key.key_type == kty and key.get("crv") == curve
