"""What a JWE with a symmetric key must say, for whoever decrypts it (RFC 7516).

These checks raise whatever a malformed member makes Python raise: their callers have
one error for all of it.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Collection, Mapping
from typing import Any, Final

from joserfc import jwe
from joserfc.registry import HeaderParameter

from dpop_ext.core.akp import AKPKey, AnyKey, any_thumbprint
from dpop_ext.core.base64url import b64url_decode, b64url_encode
from dpop_ext.core.confirmation import MAX_VERSION
from dpop_ext.core.key import is_thumbprint
from dpop_ext.core.request_binding import access_token_hash
from dpop_ext.core.strict_json import parse_json_object
from dpop_ext.symmetric import ecdh_es, hpke
from dpop_ext.symmetric.derivation import MAC_ALGORITHMS, composite_r
from dpop_ext.symmetric.ecdh_es import X25519Recipient
from dpop_ext.symmetric.encryption_key import KEY_ALGORITHMS_BY_TYPE, Recipient
from dpop_ext.symmetric.secret_bytes import SecretBytes

KEY_JWE_TYPE: Final = "dpop-sym+jwe"
CONTENT_TYPE: Final = "jwk+json"
#: JWE ``enc`` values of this profile, the one that every server has first.
ENCODINGS: Final = ("A256GCM", "A128GCM")
#: Longest JWE, in characters. Usual ones have about 750.
MAX_JWE_LENGTH: Final = 4096

_HEADER_MEMBERS: Final = frozenset({"typ", "cty", "alg", "enc", "kid", "dsk"})
_ALGORITHMS: Final = {**KEY_ALGORITHMS_BY_TYPE, "AKP": (hpke.HPKE_ALGORITHM,)}
#: Members of ``dsk`` that answer the ``n`` of a client.
_COMPOSITION: Final = ("n", "r_as", "r")


class KeyRegistry(jwe.JWERegistry):
    """The JWE registry for one pair of algorithms."""

    # The default of 1024 is too short for P-521 with long identifiers.
    max_protected_header_length = 2048

    def __init__(self, algorithm: str, encoding: str) -> None:
        super().__init__(
            header_registry={
                "dsk": HeaderParameter("Symmetric key", "jwk", required=True)
            },
            algorithms=(algorithm, encoding),
        )


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
    typ: str,
    kid: str,
    key_algorithms: Collection[str],
    encodings: Collection[str],
) -> None:
    """Check what the header says about the encryption.

    :param typ: the one that this party accepts for this use.
    :param kid: thumbprint of the encryption key.
    :param key_algorithms: the ``alg`` values to accept.
    :param encodings: the ``enc`` values to accept.
    """
    # zip and crit among others: nothing is understood that is not checked.
    ephemeral = "ek" if header["alg"] == hpke.HPKE_ALGORITHM else "epk"
    if not header.keys() <= _HEADER_MEMBERS | {ephemeral}:
        raise ValueError("unknown header member")
    if header["typ"] != typ or header["cty"] != CONTENT_TYPE:
        raise ValueError("not a JWE with a symmetric key for this use")
    if header["alg"] not in key_algorithms:
        raise ValueError("alg is not accepted")
    if header["enc"] not in encodings:
        raise ValueError("enc is not accepted")
    if header["kid"] != kid:
        raise ValueError("not for this key")


def check_claims(
    dsk: dict[str, Any],
    *,
    issuer: str,
    audience: str,
    access_token: str,
    n: bytes | None,
    now: int,
) -> dict[str, Any]:
    """Check what the header says about the key, and return it.

    :param n: what the request contributed, if anything.
    """
    ath = dsk["ath"].encode()
    if not hmac.compare_digest(ath, access_token_hash(access_token).encode()):
        raise ValueError("for another access token")
    if dsk["iss"] != issuer or dsk["aud"] != audience:
        raise ValueError("from another issuer or for another audience")
    if type(dsk["exp"]) is not int or dsk["exp"] <= now:
        raise ValueError("expired")
    # A key that is not derived has no version.
    if "v" in dsk and (type(dsk["v"]) is not int or not 1 <= dsk["v"] <= MAX_VERSION):
        raise ValueError("not a version")
    if n is not None:
        _check_composition(dsk, n)
    elif any(name in dsk for name in _COMPOSITION):
        raise ValueError("answers what was not sent")
    return dsk


def _check_composition(dsk: Mapping[str, Any], n: bytes) -> None:
    if not all(is_thumbprint(dsk[name]) for name in _COMPOSITION):  # 32 bytes each
        raise ValueError("not 32 bytes")
    sent, r_as, r = (b64url_decode(dsk[name]) for name in _COMPOSITION)
    if not hmac.compare_digest(sent, n):
        raise ValueError("answers another request")
    if not hmac.compare_digest(r, composite_r(r_as, n)):
        raise ValueError("not composed of the client's part")


def read_key(
    plaintext: SecretBytes,
    *,
    algorithms: Collection[str],
    operation: str,
    version: int | None,
) -> tuple[str, SecretBytes] | None:
    """Return the MAC algorithm and the key, or None for anything but one good JWK.

    :param algorithms: the MAC algorithms to accept.
    :param operation: ``sign`` or ``verify``.
    :param version: of the secret that the key is derived from; None: of none.
    """
    try:
        jwk = parse_json_object(plaintext.reveal())
        algorithm = jwk["alg"]
        if (
            jwk["kty"] != "oct"
            or jwk["use"] != "sig"
            or jwk["key_ops"] != [operation]
            or jwk.get("kid") != (None if version is None else str(version))
            or algorithm not in algorithms
        ):
            return None
        value = b64url_decode(jwk["k"])
        if len(value) != MAC_ALGORITHMS[algorithm]:
            return None
    except Exception:  # noqa: BLE001 - whatever a hostile JWK makes Python raise
        return None
    return algorithm, SecretBytes(value)


def encrypt_key(
    key: SecretBytes,
    dsk: str,
    *,
    typ: str,
    algorithm: str,
    encoding: str,
    recipient: Recipient,
    mac_algorithm: str,
    operation: str,
    version: int | None,
) -> str:
    """Make the JWE with a symmetric key that :func:`read_key` reads.

    :param dsk: what the header says about *key*: an object, as JSON in ASCII.
    :param typ: of the JWE.
    :param algorithm: its ``alg``.
    :param encoding: its ``enc``.
    :param recipient: whose thumbprint becomes the ``kid``.
    :param mac_algorithm: what *key* is for.
    :param operation: ``sign`` or ``verify``.
    :param version: of the secret that the key is derived from; None: of none.
    :raises ValueError: *key* does not fit *mac_algorithm*, or *recipient* does not fit
        *algorithm*.
    """
    value = key.reveal()
    if MAC_ALGORITHMS.get(mac_algorithm) != len(value):
        raise ValueError("the key does not fit the algorithm")
    if not fits(algorithm, recipient) or encoding not in ENCODINGS:
        raise ValueError("the recipient does not fit the algorithm")
    # Nothing in either needs an escape, and a JSON encoder takes several times as long.
    name = "" if version is None else f',"kid":"{version:d}"'
    plaintext = (
        f'{{"kty":"oct","use":"sig","key_ops":["{operation}"],"alg":"{mac_algorithm}",'
        f'"k":"{b64url_encode(value)}"{name}}}'
    ).encode("ascii")
    if isinstance(recipient, X25519Recipient):
        kid = recipient.thumbprint()
    else:
        kid = any_thumbprint(recipient)
    header = (
        f'"typ":"{typ}","alg":"{algorithm}","enc":"{encoding}","dsk":{dsk},'
        f'"cty":"{CONTENT_TYPE}","kid":"{kid}"'
    )
    if isinstance(recipient, X25519Recipient):
        return ecdh_es.encrypt(
            header, plaintext, recipient, algorithm=algorithm, encoding=encoding
        )
    members = json.loads(f"{{{header}}}")
    if isinstance(recipient, AKPKey):
        return hpke.encrypt(members, plaintext, recipient)
    public = recipient.public_key
    if ecdh_es.is_for(public):
        return ecdh_es.encrypt(
            header, plaintext, public, algorithm=algorithm, encoding=encoding
        )
    registry = KeyRegistry(algorithm, encoding)
    return jwe.encrypt_compact(members, plaintext, recipient, registry=registry)


def decrypt(
    text: str, *, header: Mapping[str, Any], private_key: AnyKey
) -> SecretBytes:
    """Decrypt a JWE whose header was found good.

    :param header: of *text*, as parsed.
    """
    if isinstance(private_key, AKPKey):
        return SecretBytes(hpke.decrypt(text, header=header, private_key=private_key))
    registry = KeyRegistry(header["alg"], header["enc"])
    decrypted = jwe.decrypt_compact(text, private_key, registry=registry)
    return SecretBytes(decrypted.plaintext or b"")


def fits(algorithm: str, key: Recipient) -> bool:
    """Tell whether a JWE ``alg`` is one for *key*."""
    # A key that names its algorithm is used with no other.
    return key.alg in (None, algorithm) and algorithm in _ALGORITHMS.get(
        key.key_type, ()
    )
