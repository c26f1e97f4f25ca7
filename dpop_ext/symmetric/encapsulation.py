"""The JWE that brings a symmetric key to a resource server (RFC 7800 section 3.3).

Model 1b of the DPoP Symmetric Profile 1.0: the key is random, and no secret is shared.
Anybody can encrypt for a public key. What makes such a JWE genuine is the access token
that it stands in, or the introspection answer, so that is verified first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from joserfc.jwk import Key

from dpop_ext.core.confirmation import AccessToken
from dpop_ext.core.key import thumbprint
from dpop_ext.errors import AccessTokenError, StoreError, UnknownKeyError
from dpop_ext.symmetric.content_jwe import to_json
from dpop_ext.symmetric.derivation import MAC_ALGORITHMS
from dpop_ext.symmetric.encryption_key import KEY_ALGORITHMS_BY_TYPE
from dpop_ext.symmetric.key_jwe import (
    ENCODINGS,
    check_header,
    decrypt,
    encrypt_key,
    fits,
    parse_header,
    read_key,
)
from dpop_ext.symmetric.mac_key import MacKey
from dpop_ext.symmetric.secret_bytes import SecretBytes

ENCAPSULATED_JWE_TYPE: Final = "dpop-sym-rs+jwe"

#: Longest identifiers in its header, all together, in characters of JSON.
MAX_NAMES: Final = 800


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecipient:
    """A resource server that registered a key to encrypt for."""

    #: The public key, which was imported and tried.
    key: Key = field(repr=False)
    #: The one JWE ``alg`` that it takes.
    algorithm: str
    #: The one JWE ``enc`` that it takes.
    encoding: str = "A256GCM"

    def __post_init__(self) -> None:
        _check_algorithms([self.key], self.algorithm, self.encoding)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncapsulatedKey:
    """A key that was decrypted for this resource server."""

    mac_key: MacKey
    #: Thumbprint of the key that it was encrypted for.
    recipient: str


def encapsulate_key(
    key: SecretBytes,
    *,
    recipient: KeyRecipient,
    mac_algorithm: str,
    issuer: str,
    audience: str,
    client_id: str,
    jkt: str,
    expires_at: int,
) -> str:
    """Encrypt a symmetric key for the resource server of a token.

    :param mac_algorithm: what *key* is for.
    :param issuer: the ``iss`` of the token.
    :param audience: its one ``aud``.
    :param client_id: its ``client_id``.
    :param jkt: its ``cnf.jkt``.
    :param expires_at: its ``exp``, in seconds since the epoch.
    :returns: a compact JWE, for ``cnf.jwe`` of the token.
    :raises ValueError: *key* does not fit *mac_algorithm*, or :func:`check_names`.
    """
    check_names(issuer, audience, client_id)
    dsk: dict[str, Any] = {
        "iss": issuer,
        "aud": audience,
        "client_id": client_id,
        "jkt": jkt,
        "alg": mac_algorithm,
        "exp": expires_at,
    }
    return encrypt_key(
        key,
        to_json(dsk),
        typ=ENCAPSULATED_JWE_TYPE,
        algorithm=recipient.algorithm,
        encoding=recipient.encoding,
        recipient=recipient.key,
        mac_algorithm=mac_algorithm,
        operation="verify",
        version=None,
    )


def check_names(issuer: str, audience: str, client_id: str) -> None:
    """Check that the header of a JWE has room for the identifiers of a token.

    :raises ValueError: it has not.
    """
    if len(json.dumps([issuer, audience, client_id])) > MAX_NAMES:
        raise ValueError("the identifiers are too long")


class KeyDecryptor:
    """Decrypts the symmetric keys in the verified tokens of one resource server.

    :param keys: returns the private keys: the one that is registered, and those before
        it, whose tokens are still out. Called on every request.
    :param algorithm: the one JWE ``alg`` to accept, as it is registered.
    :param encoding: the one JWE ``enc`` to accept, as it is registered.
    :raises TypeError: *keys* is no function.
    :raises ValueError: an algorithm that is not of this profile.
    """

    def __init__(
        self,
        keys: Callable[[], Sequence[Key]],
        *,
        algorithm: str = "ECDH-ES",
        encoding: str = "A256GCM",
    ) -> None:
        _check_algorithms((), algorithm, encoding)
        if not callable(keys):
            raise TypeError("keys is a function that returns the private keys")
        self._keys = keys
        self._algorithm = algorithm
        self._encoding = encoding

    def find(self, recipient: str) -> Key:
        """Return the private key with this thumbprint, as long as it is held.

        :raises UnknownKeyError: it is not. The token is good all the same, for
            asymmetric proofs.
        :raises StoreError: the keys are not available.
        """
        try:
            keys = self._keys()
        except Exception as error:
            raise StoreError from error
        for key in keys:
            if thumbprint(key) == recipient:
                return key
        raise UnknownKeyError

    def decrypt(
        self, text: str, token: AccessToken, *, issuer: str, audience: str
    ) -> EncapsulatedKey:
        """Decrypt the key in a token. It is a private key's work: once for a token.

        :param text: its ``cnf.jwe``.
        :param token: verified.
        :param issuer: the issuer that this server trusts.
        :param audience: this server's own identifier.
        :raises UnknownKeyError: it is encrypted for a key that is not held here.
        :raises StoreError: the keys are not available.
        :raises AccessTokenError: anything else is wrong with it: its header names
            another type, algorithm, issuer, audience, client, proof key or expiry than
            are configured or in *token*; it does not decrypt; or it holds no key of
            the length of its MAC. Nothing is decrypted before the header was found
            good.
        """
        dsk: dict[str, Any] = {}
        try:
            header = parse_header(text)
            dsk = header["dsk"]
            self._check(header, dsk, token, issuer=issuer, audience=audience)
            key = self.find(header["kid"])
            if not fits(header["alg"], key):
                raise ValueError("the key is not for this algorithm")
            plaintext = decrypt(text, header=header, private_key=key)
        except (UnknownKeyError, StoreError):
            raise
        except Exception as error:
            raise AccessTokenError("The access token is malformed.") from error
        found = read_key(
            plaintext, algorithms=(dsk["alg"],), operation="verify", version=None
        )
        if found is None:
            # No cause: the exception of a parser holds what it parsed.
            raise AccessTokenError("The access token is malformed.")
        algorithm, value = found
        return EncapsulatedKey(
            mac_key=MacKey(algorithm, value.reveal()), recipient=header["kid"]
        )

    def _check(
        self,
        header: dict[str, Any],
        dsk: dict[str, Any],
        token: AccessToken,
        *,
        issuer: str,
        audience: str,
    ) -> None:
        check_header(
            header,
            typ=ENCAPSULATED_JWE_TYPE,
            kid=header["kid"],
            key_algorithms=(self._algorithm,),
            encodings=(self._encoding,),
        )
        confirmation = token.confirmation
        if confirmation is None or confirmation.jkt is None:
            raise ValueError("the token is bound to no key")
        if token.issuer != issuer or token.audience != (audience,):
            raise ValueError("the token is not for this server alone")
        if dsk["alg"] not in MAC_ALGORITHMS or type(dsk["exp"]) is not int:
            raise ValueError("not a key for symmetric proofs")
        said = {
            "iss": issuer,
            "aud": audience,
            "client_id": token.client_id,
            "jkt": confirmation.jkt,
            "alg": dsk["alg"],
            "exp": token.expires_at,
        }
        if dsk != said:
            raise ValueError("made for another token")


def _check_algorithms(keys: Sequence[Key], algorithm: str, encoding: str) -> None:
    known = {name for names in KEY_ALGORITHMS_BY_TYPE.values() for name in names}
    if algorithm not in known or encoding not in ENCODINGS:
        raise ValueError("not an algorithm of this profile")
    if not all(fits(algorithm, key) for key in keys):
        raise ValueError("the key is not for this algorithm")
