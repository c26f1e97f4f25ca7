"""The key that this server signs with, and what it signs (RFC 7515, RFC 7517)."""

from __future__ import annotations

from typing import Any

from joserfc.jwk import Key, KeySet

from dpop_ext.core.jws_signature import sign_compact
from dpop_ext.core.key import ALGORITHMS


def sign(
    claims: dict[str, Any], found: Key | KeySet, *, algorithm: str, typ: str
) -> str:
    """Return a compact JWT, signed with the newest private key that fits.

    :param found: the private keys, oldest to newest.
    :param algorithm: an asymmetric one, by its name.
    :param typ: for the header, which also names the key.
    :raises RuntimeError: no key is private and for *algorithm*.
    """
    key = _newest(found, algorithm)
    header = {"typ": typ, "alg": algorithm}
    if key.kid:
        header["kid"] = key.kid
    return sign_compact(header, claims, key)


def _newest(found: Key | KeySet, algorithm: str) -> Key:
    keys = found.keys if isinstance(found, KeySet) else [found]
    for key in reversed(keys):
        if key.is_private and _fits(key, algorithm):
            return key
    raise RuntimeError("No private key fits the algorithm to sign with.")


def _fits(key: Key, algorithm: str) -> bool:
    members = key.as_dict(private=False)
    if members.get("use", "sig") != "sig":
        return False
    if members.get("alg", algorithm) != algorithm:
        return False
    kty, curve = ALGORITHMS[algorithm]
    return members["kty"] == kty and members.get("crv") == curve
