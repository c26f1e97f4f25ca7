"""The JWE that brings a symmetric key to the client (RFC 7516, RFC 7517 section 7)."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from joserfc import jwe
from joserfc.jwk import Key
from joserfc.registry import HeaderParameter

from dpop_ext.core.jose import b64url_encode
from dpop_ext.core.key import thumbprint
from dpop_ext.core.proof import access_token_hash
from dpop_ext.errors import KeyDeliveryError
from dpop_ext.symmetric.derivation import MAC_ALGORITHMS
from dpop_ext.symmetric.encryption_key import KEY_ALGORITHMS_BY_TYPE
from dpop_ext.symmetric.key_jwe import (
    CONTENT_TYPE,
    KEY_JWE_TYPE,
    check_claims,
    check_header,
    parse_header,
    read_key,
)
from dpop_ext.symmetric.secret_bytes import SecretBytes

KEY_ALGORITHMS: Final = ("ECDH-ES", "ECDH-ES+A256KW", "RSA-OAEP-256")
ENCODINGS: Final = ("A256GCM", "A128GCM")


class _Registry(jwe.JWERegistry):
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


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveredKey:
    """A symmetric key that was delivered for one access token."""

    key: SecretBytes
    #: MAC algorithm, the only one to use it with.
    algorithm: str
    #: Version of the derivation secret.
    version: int
    issuer: str
    #: The one resource server that takes proofs with this key.
    audience: str
    #: In seconds since the epoch.
    expires_at: int


def choose(
    recipient: Key, *, key_algorithms: Sequence[str], encodings: Sequence[str]
) -> tuple[str, str] | None:
    """Choose how to encrypt for *recipient*: what the client likes best of ours.

    :param key_algorithms: JWE ``alg`` values that the client offers.
    :param encodings: JWE ``enc`` values that the client offers.
    :returns: ``alg`` and ``enc``; None if nothing is in common.
    """
    for algorithm in key_algorithms:
        if not _fits(algorithm, recipient):
            continue
        for encoding in encodings:
            if encoding in ENCODINGS:
                return algorithm, encoding
    return None


def wrap_key(
    key: SecretBytes,
    *,
    recipient: Key,
    algorithm: str,
    encoding: str,
    mac_algorithm: str,
    issuer: str,
    audience: str,
    version: int,
    expires_at: int,
    access_token: str,
) -> str:
    """Encrypt a symmetric key for the client.

    :param recipient: a key that :func:`.encryption_key.import_encryption_key` passed.
    :param algorithm: JWE ``alg``, from :func:`choose`.
    :param encoding: JWE ``enc``, from :func:`choose`.
    :param mac_algorithm: what *key* was derived for.
    :param issuer: the authorization server.
    :param audience: the one audience of the token.
    :param version: version of the derivation secret.
    :param expires_at: end of the key's life, in seconds since the epoch.
    :param access_token: the token that the key belongs to.
    :returns: a compact JWE.
    :raises ValueError: *key* does not fit *mac_algorithm*, or *recipient* does not fit
        *algorithm*.
    """
    if MAC_ALGORITHMS.get(mac_algorithm) != len(key):
        raise ValueError("the key does not fit the algorithm")
    if not _fits(algorithm, recipient) or encoding not in ENCODINGS:
        raise ValueError("the recipient does not fit the algorithm")
    header = {
        "typ": KEY_JWE_TYPE,
        "cty": CONTENT_TYPE,
        "alg": algorithm,
        "enc": encoding,
        "kid": thumbprint(recipient),
        "dsk": {
            "iss": issuer,
            "aud": audience,
            "v": version,
            "exp": expires_at,
            "ath": access_token_hash(access_token),
        },
    }
    plaintext = {
        "kty": "oct",
        "use": "sig",
        "key_ops": ["sign"],
        "alg": mac_algorithm,
        "kid": str(version),
        "k": b64url_encode(key.reveal()),
    }
    return jwe.encrypt_compact(
        header,
        json.dumps(plaintext, separators=(",", ":")),
        recipient,
        registry=_Registry(algorithm, encoding),
    )


def unwrap_key(
    text: str,
    *,
    private_key: Key,
    algorithms: Collection[str],
    key_algorithms: Collection[str],
    encodings: Collection[str],
    issuer: str,
    audience: str,
    access_token: str,
    now: int,
) -> DeliveredKey:
    """Decrypt a delivered key and check that it is the one that was asked for.

    The JWE tells nothing about who made it: it is as genuine as the connection to the
    token endpoint.

    :param text: the compact JWE, at most 4096 characters.
    :param private_key: of the encryption key in the request.
    :param algorithms: the MAC algorithms that were offered.
    :param key_algorithms: the JWE ``alg`` values that were offered.
    :param encodings: the JWE ``enc`` values that were offered.
    :param issuer: the authorization server that was asked.
    :param audience: the resource server that the token was asked for.
    :param access_token: the token of the same response.
    :param now: seconds since the epoch.
    :raises KeyDeliveryError: anything at all is wrong. The cause is for debugging at
        the client: told to a peer, it would be an oracle.
    """
    try:
        header = parse_header(text)
        # Ours besides the client's: an offer of RSA1_5 or PBES2 opens no door.
        check_header(
            header,
            kid=thumbprint(private_key),
            key_algorithms=[n for n in key_algorithms if _fits(n, private_key)],
            encodings=[name for name in encodings if name in ENCODINGS],
        )
        dsk = check_claims(
            header["dsk"],
            issuer=issuer,
            audience=audience,
            access_token=access_token,
            now=now,
        )
        registry = _Registry(header["alg"], header["enc"])
        decrypted = jwe.decrypt_compact(text, private_key, registry=registry)
    except Exception as error:
        raise KeyDeliveryError from error
    key = read_key(decrypted.plaintext, algorithms=algorithms, version=dsk["v"])
    if key is None:
        # No cause: the exception of a parser holds what it parsed.
        raise KeyDeliveryError
    algorithm, value = key
    return DeliveredKey(
        key=value,
        algorithm=algorithm,
        version=dsk["v"],
        issuer=issuer,
        audience=audience,
        expires_at=dsk["exp"],
    )


def _fits(algorithm: str, key: Key) -> bool:
    if key.alg is not None and key.alg != algorithm:
        return False
    return algorithm in KEY_ALGORITHMS_BY_TYPE.get(key.key_type, ())
