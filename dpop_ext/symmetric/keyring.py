"""The keyring: how derivation secrets travel from an AS to one resource server.

A JWT that the authorization server signs, inside a JWE (:rfc:`7516`) for the registered
encryption key of the resource server (DPoP Symmetric Profile 1.0).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from joserfc import jwe
from joserfc.jwk import Key

from dpop_ext.core.base64url import b64url_decode
from dpop_ext.core.jose import CompactJWS, parse_compact_jws
from dpop_ext.core.key import thumbprint
from dpop_ext.core.strict_json import parse_json_object
from dpop_ext.errors import DPoPError, MalformedJOSEError, StoreError
from dpop_ext.symmetric.delivery import KEY_ALGORITHMS, choose
from dpop_ext.symmetric.encryption_key import KEY_ALGORITHMS_BY_TYPE
from dpop_ext.symmetric.keyring_claims import Keyring, read_claims
from dpop_ext.symmetric.keyring_floor import KeyringError, KeyringFloor

KEYRING_TYPE: Final = "dpop-keyring+jwt"
KEYRING_JWE_TYPE: Final = "dpop-keyring+jwe"
#: Media type of the answer with a keyring.
KEYRING_MEDIA_TYPE: Final = "application/dpop-keyring+jwt"
ENCODING: Final = "A256GCM"

#: Longest keyring, in characters.
MAX_KEYRING: Final = 64 * 1024
#: Characters ``{}[]:,`` that the claims may have: room for all denials.
MAX_STRUCTURAL: Final = 4096
#: Length of a request's nonce, in bytes.
NONCE_LENGTH: Final = 16

_HEADER_MEMBERS: Final = frozenset({"typ", "cty", "alg", "enc", "kid", "epk"})


def encrypt_keyring(signed: str, *, recipient: Key) -> str:
    """Encrypt a keyring, signed with typ :data:`KEYRING_TYPE`, for its audience.

    :param recipient: the registered key, as
        :func:`.encryption_key.import_encryption_key` passed it.
    :returns: a compact JWE.
    :raises ValueError: *recipient* is for no algorithm of this profile.
    """
    chosen = choose(recipient, key_algorithms=KEY_ALGORITHMS, encodings=(ENCODING,))
    if chosen is None:
        raise ValueError("the recipient's key cannot be used")
    algorithm, encoding = chosen
    header = {
        "typ": KEYRING_JWE_TYPE,
        "cty": "JWT",
        "alg": algorithm,
        "enc": encoding,
        "kid": thumbprint(recipient),
    }
    return jwe.encrypt_compact(header, signed, recipient, registry=_registry(algorithm))


def open_keyring(
    text: str,
    *,
    private_keys: Sequence[Key],
    verify: Callable[[CompactJWS], None],
    issuer: str,
    audience: str,
    nonce: str | None,
    floor: KeyringFloor,
    now: int,
) -> Keyring:
    """Decrypt, verify and read a keyring.

    :param text: the compact JWE, at most 64 KiB.
    :param private_keys: the registered encryption key, and those before it.
    :param verify: raises an error of this package unless the issuer signed it.
    :param issuer: the authorization server that was asked.
    :param audience: this resource server.
    :param nonce: of the request; None for a copy that was kept, which may be as old
        as a keyring is good.
    :param floor: what it must reach.
    :param now: seconds since the epoch.
    :raises KeyringError: anything is wrong with it.
    :raises StoreError: *verify* could not tell.
    """
    try:
        jws = _decrypt(text, private_keys)
    except Exception as error:
        raise KeyringError("the keyring cannot be decrypted") from error
    if jws.header.get("typ") != KEYRING_TYPE:
        raise KeyringError("the keyring is a JWT of another kind")
    try:
        verify(jws)
    except StoreError:
        raise
    except DPoPError as error:
        raise KeyringError("the keyring is not signed by the issuer") from error
    claims = jws.payload
    if claims.get("iss") != issuer:
        raise KeyringError("the keyring is of another issuer")
    if claims.get("aud") != audience:
        raise KeyringError("the keyring is for another audience")
    if nonce is not None and claims.get("nonce") != nonce:
        raise KeyringError("the keyring answers another request")
    try:
        return read_claims(claims, floor=floor, online=nonce is not None, now=now)
    except KeyringError:
        raise
    except Exception:  # noqa: BLE001 - whatever a malformed member makes Python raise
        # No cause: the exception of a parser may hold what it parsed.
        raise KeyringError("the keyring is malformed") from None


def _decrypt(text: str, private_keys: Sequence[Key]) -> CompactJWS:
    if len(text) > MAX_KEYRING or text.count(".") != 4:
        raise MalformedJOSEError("not a keyring")
    header = parse_json_object(b64url_decode(text.partition(".")[0]))
    if not header.keys() <= _HEADER_MEMBERS:
        raise MalformedJOSEError("unknown header member")
    if header["typ"] != KEYRING_JWE_TYPE or header["cty"] != "JWT":
        raise MalformedJOSEError("not a keyring")
    key = next(key for key in private_keys if thumbprint(key) == header["kid"])
    algorithm = header["alg"]
    if algorithm not in KEY_ALGORITHMS_BY_TYPE[key.key_type]:
        raise MalformedJOSEError("not an algorithm for this key")
    if header["enc"] != ENCODING:
        raise MalformedJOSEError("not an encoding of this profile")
    decrypted = jwe.decrypt_compact(text, key, registry=_registry(algorithm))
    return parse_compact_jws(
        (decrypted.plaintext or b"").decode("ascii"),
        max_length=MAX_KEYRING,
        max_structural=MAX_STRUCTURAL,
    )


class _Registry(jwe.JWERegistry):
    """The JWE registry for one algorithm."""

    # The default of 1024 is too short for P-521 with long names.
    max_protected_header_length = 2048


def _registry(algorithm: str) -> jwe.JWERegistry:
    return _Registry(algorithms=[algorithm, ENCODING])
