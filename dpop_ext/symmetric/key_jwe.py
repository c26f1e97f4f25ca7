"""What the JWE with a symmetric key must say, for the client (RFC 7516 section 4).

These checks raise whatever a malformed member makes Python raise:
:func:`dpop_ext.symmetric.delivery.unwrap_key` has one error for all of it.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection, Mapping
from typing import Any, Final

from dpop_ext.core.confirmation import MAX_VERSION
from dpop_ext.core.jose import b64url_decode, parse_json_object
from dpop_ext.core.proof import access_token_hash
from dpop_ext.symmetric.derivation import MAC_ALGORITHMS
from dpop_ext.symmetric.secret_bytes import SecretBytes

KEY_JWE_TYPE: Final = "dpop-sym+jwe"
CONTENT_TYPE: Final = "jwk+json"
#: Longest JWE, in characters. Usual ones have about 750.
MAX_JWE_LENGTH: Final = 4096

_HEADER_MEMBERS: Final = frozenset({"typ", "cty", "alg", "enc", "kid", "dsk", "epk"})
#: Members of ``dsk`` that answer key material from the client, which sends none.
_UNASKED: Final = ("n", "r_as", "r")


def parse_header(text: str) -> dict[str, Any]:
    """Parse the protected header of a compact JWE, strictly.

    :raises ValueError: not a compact JWE of at most 4096 characters.
    """
    if len(text) > MAX_JWE_LENGTH:
        raise ValueError("the JWE is too long")
    segments = text.split(".")
    if len(segments) != 5:
        raise ValueError("not a compact JWE")
    # What parses here is read in the same way by the library, which parses once more.
    return parse_json_object(b64url_decode(segments[0]))


def check_header(
    header: Mapping[str, Any],
    *,
    kid: str,
    key_algorithms: Collection[str],
    encodings: Collection[str],
) -> None:
    """Check what the header says about the encryption.

    :param kid: thumbprint of the encryption key.
    :param key_algorithms: the ``alg`` values to accept.
    :param encodings: the ``enc`` values to accept.
    """
    # zip and crit among others: nothing is understood that is not checked.
    if not header.keys() <= _HEADER_MEMBERS:
        raise ValueError("unknown header member")
    if header["typ"] != KEY_JWE_TYPE or header["cty"] != CONTENT_TYPE:
        raise ValueError("not a JWE with a symmetric key")
    if header["alg"] not in key_algorithms:
        raise ValueError("alg was not offered")
    if header["enc"] not in encodings:
        raise ValueError("enc was not offered")
    if header["kid"] != kid:
        raise ValueError("not for this key")


def check_claims(
    dsk: dict[str, Any], *, issuer: str, audience: str, access_token: str, now: int
) -> dict[str, Any]:
    """Check what the header says about the key, and return it."""
    ath = dsk["ath"].encode()
    if not hmac.compare_digest(ath, access_token_hash(access_token).encode()):
        raise ValueError("for another access token")
    if dsk["iss"] != issuer or dsk["aud"] != audience:
        raise ValueError("from another issuer or for another audience")
    if type(dsk["exp"]) is not int or dsk["exp"] <= now:
        raise ValueError("expired")
    if type(dsk["v"]) is not int or not 1 <= dsk["v"] <= MAX_VERSION:
        raise ValueError("not a version")
    if any(name in dsk for name in _UNASKED):
        raise ValueError("answers key material that was not sent")
    return dsk


def read_key(
    plaintext: bytes | None, *, algorithms: Collection[str], version: int
) -> tuple[str, SecretBytes] | None:
    """Return the MAC algorithm and the key, or None for anything but one good JWK."""
    try:
        jwk = parse_json_object(plaintext or b"")
        algorithm = jwk["alg"]
        if (
            jwk["kty"] != "oct"
            or jwk["use"] != "sig"
            or jwk["key_ops"] != ["sign"]
            or jwk["kid"] != str(version)
            or algorithm not in algorithms
        ):
            return None
        value = b64url_decode(jwk["k"])
        if len(value) != MAC_ALGORITHMS[algorithm]:
            return None
    except Exception:  # noqa: BLE001 - whatever a hostile JWK makes Python raise
        return None
    return algorithm, SecretBytes(value)
