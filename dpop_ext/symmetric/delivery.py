"""The JWE that brings a symmetric key to the client (RFC 7516, RFC 7517 section 7)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from dpop_ext.core.akp import AnyKey, any_thumbprint
from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.token_text import digest_token
from dpop_ext.errors import KeyDeliveryError
from dpop_ext.symmetric.content_jwe import to_json
from dpop_ext.symmetric.derivation import composite_r
from dpop_ext.symmetric.encryption_key import Recipient
from dpop_ext.symmetric.hpke import HPKE_ALGORITHM, require_support
from dpop_ext.symmetric.key_jwe import (
    ENCODINGS,
    KEY_JWE_TYPE,
    check_claims,
    check_header,
    decrypt,
    encrypt_key,
    fits,
    parse_header,
    read_key,
)
from dpop_ext.symmetric.secret_bytes import SecretBytes

KEY_ALGORITHMS: Final = ("ECDH-ES", "ECDH-ES+A256KW", "RSA-OAEP-256")
#: Resource servers of which the names are kept as JSON.
MAX_PAIRS: Final = 256
#: And those that a server must be told to use.
OPTIONAL_KEY_ALGORITHMS: Final = (HPKE_ALGORITHM,)


def check_key_algorithms(names: Sequence[str]) -> None:
    """Check the JWE ``alg`` values that a server is to use.

    :raises ValueError: one is not of this profile, or the cryptography package of this
        process lacks it.
    """
    if not set(names) <= {*KEY_ALGORITHMS, *OPTIONAL_KEY_ALGORITHMS}:
        raise ValueError("key_algorithms are JWE algorithms of this profile")
    if HPKE_ALGORITHM in names:
        require_support()


@dataclass(frozen=True, slots=True, kw_only=True)
class CompositeR:
    """The random value of a token, of which the client made a part."""

    #: The client's part, 32 bytes.
    n: bytes
    #: The server's part, 32 bytes.
    r_as: bytes

    @property
    def r(self) -> bytes:
        """What goes into the token and the derivation."""
        return composite_r(self.r_as, self.n)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveredKey:
    """A symmetric key that was delivered for one access token."""

    key: SecretBytes
    #: MAC algorithm, the only one to use it with.
    algorithm: str
    #: Version of the derivation secret; None for a key that is not derived from one.
    version: int | None
    issuer: str
    #: The one resource server that takes proofs with this key.
    audience: str
    #: In seconds since the epoch.
    expires_at: int


def choose(
    recipient: Recipient,
    *,
    key_algorithms: Sequence[str],
    encodings: Sequence[str],
    accepted: Collection[str] = KEY_ALGORITHMS,
) -> tuple[str, str] | None:
    """Choose how to encrypt for *recipient*: what the client likes best of ours.

    :param key_algorithms: JWE ``alg`` values that the client offers.
    :param encodings: JWE ``enc`` values that the client offers.
    :param accepted: JWE ``alg`` values that this server uses.
    :returns: ``alg`` and ``enc``; None if nothing is in common.
    """
    for algorithm in key_algorithms:
        if algorithm not in accepted or not fits(algorithm, recipient):
            continue
        for encoding in encodings:
            if encoding in ENCODINGS:
                return algorithm, encoding
    return None


def wrap_key(
    key: SecretBytes,
    *,
    recipient: Recipient,
    algorithm: str,
    encoding: str,
    mac_algorithm: str,
    issuer: str,
    audience: str,
    version: int | None,
    expires_at: int,
    access_token: str,
    composite: CompositeR | None = None,
) -> str:
    """Encrypt a symmetric key for the client.

    :param recipient: a key that :func:`.encryption_key.import_encryption_key` passed.
    :param algorithm: JWE ``alg``, from :func:`choose`.
    :param encoding: JWE ``enc``, from :func:`choose`.
    :param mac_algorithm: what *key* is for.
    :param issuer: the authorization server.
    :param audience: the one audience of the token.
    :param version: version of the derivation secret; None: the key is not derived.
    :param expires_at: end of the key's life, in seconds since the epoch.
    :param access_token: the token that the key belongs to.
    :param composite: shows a client that what it sent went into the token.
    :returns: a compact JWE.
    :raises ValueError: *key* does not fit *mac_algorithm*, or *recipient* does not fit
        *algorithm*.
    """
    ath = b64url_encode(digest_token(access_token))
    dsk = f'{{{_servers(issuer, audience)},"exp":{expires_at:d},"ath":"{ath}"'
    if version is not None:
        dsk += f',"v":{version:d}'
    if composite is not None:
        dsk += (
            f',"n":"{b64url_encode(composite.n)}"'
            f',"r_as":"{b64url_encode(composite.r_as)}"'
            f',"r":"{b64url_encode(composite.r)}"'
        )
    return encrypt_key(
        key,
        dsk + "}",
        typ=KEY_JWE_TYPE,
        algorithm=algorithm,
        encoding=encoding,
        recipient=recipient,
        mac_algorithm=mac_algorithm,
        operation="sign",
        version=version,
    )


@lru_cache(MAX_PAIRS)
def _servers(issuer: str, audience: str) -> str:
    """Return the members that are the same for all tokens for one resource server."""
    return f'"iss":{to_json(issuer)},"aud":{to_json(audience)}'


def delivered_header(
    text: str,
    *,
    private_key: AnyKey,
    key_algorithms: Collection[str],
    encodings: Collection[str],
) -> dict[str, Any]:
    """Return the header of a JWE to a client, of which ``dsk`` is not checked yet.

    It raises whatever a malformed member makes Python raise. The arguments are those
    of :func:`unwrap_key`.
    """
    header = parse_header(text)
    # Ours besides the client's: an offer of RSA1_5 or PBES2 opens no door.
    check_header(
        header,
        typ=KEY_JWE_TYPE,
        kid=any_thumbprint(private_key),
        key_algorithms=[name for name in key_algorithms if fits(name, private_key)],
        encodings=[name for name in encodings if name in ENCODINGS],
    )
    return header


def unwrap_key(
    text: str,
    *,
    private_key: AnyKey,
    algorithms: Collection[str],
    key_algorithms: Collection[str],
    encodings: Collection[str],
    issuer: str,
    audience: str,
    access_token: str,
    now: int,
    n: bytes | None = None,
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
    :param n: what the request contributed to the random value of the token.
    :raises KeyDeliveryError: anything at all is wrong. The cause is for debugging at
        the client: told to a peer, it would be an oracle.
    """
    try:
        header = delivered_header(
            text,
            private_key=private_key,
            key_algorithms=key_algorithms,
            encodings=encodings,
        )
        dsk = check_claims(
            header["dsk"],
            issuer=issuer,
            audience=audience,
            access_token=access_token,
            n=n,
            now=now,
        )
        plaintext = decrypt(text, header=header, private_key=private_key)
    except Exception as error:
        raise KeyDeliveryError from error
    version = dsk.get("v")
    key = read_key(plaintext, algorithms=algorithms, operation="sign", version=version)
    if key is None:
        # No cause: the exception of a parser holds what it parsed.
        raise KeyDeliveryError
    algorithm, value = key
    return DeliveredKey(
        key=value,
        algorithm=algorithm,
        version=version,
        issuer=issuer,
        audience=audience,
        expires_at=dsk["exp"],
    )
