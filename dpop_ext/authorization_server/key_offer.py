"""What a token request says about a symmetric key (DPoP Symmetric Profile 1.0)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from dpop_ext.errors import MalformedProofError
from dpop_ext.symmetric.encryption_key import (
    EncryptionKey,
    import_bare_x25519,
    import_encryption_key,
)
from dpop_ext.symmetric.key_request import KeyRequest, parse_key_request


class KeyOffer(NamedTuple):
    """What a request says about a symmetric key, before the client is known."""

    proof_jwk: Mapping[str, Any]
    #: ``jti`` of the proof.
    jti: str
    #: None if the request asks for no key.
    request: KeyRequest | None
    #: The key in the request; None if there is none.
    recipient: EncryptionKey | None


def read_offer(
    claims: Mapping[str, Any],
    *,
    known: KeyRequest | None,
    dpop_sym: str | None,
    proof_jwk: Mapping[str, Any],
    allow_hpke: bool,
) -> KeyOffer:
    """Read and check what a verified proof and its request ask for.

    Tries the encryption key out, too: what is wrong with a request is found before
    its client is authenticated and before anything is used up.

    :param claims: of the proof.
    :param known: what its ``dsk`` asks for if that has the usual form, which has a
        bare key of X25519; None: nothing, or it was not read yet.
    :param dpop_sym: the form parameter.
    :param proof_jwk: the key of the proof.
    :param allow_hpke: accept a post-quantum key to encrypt for, too.
    :raises MalformedProofError: the ``dsk`` claim or its key is malformed.
    :raises UnsupportedKeyError: the key cannot be used for encryption.
    :raises MalformedRequestError: ``dpop_sym`` is malformed or contradicts ``dsk``.
    """
    request: KeyRequest | None
    recipient: EncryptionKey | None = None
    if known is not None and not dpop_sym:
        request, recipient = known, import_bare_x25519(claims["dsk"]["jwk"])
    else:
        dsk = claims.get("dsk")
        if "dsk" in claims and dsk is None:
            raise MalformedProofError("The dsk claim is not an object.")
        request = parse_key_request(dsk, dpop_sym)
        jwk = request.encryption_jwk if request is not None else None
        if jwk is not None:
            recipient = import_encryption_key(
                jwk, proof_jwk=proof_jwk, allow_hpke=allow_hpke
            )
    # Half as long as by the constructor, which passes all of them on once more.
    return tuple.__new__(KeyOffer, (proof_jwk, claims["jti"], request, recipient))
