"""Key material from the client, encrypted for the authorization server (RFC 7516).

Model 1b of the DPoP Symmetric Profile 1.0. The server mixes it with random bytes of its
own (:func:`dpop_ext.symmetric.derivation.mixed_key`) and never uses it alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from joserfc import jwe
from joserfc.jwk import Key

from dpop_ext.core.key import thumbprint
from dpop_ext.errors import MalformedProofError
from dpop_ext.symmetric.derivation import SECRET_LENGTH
from dpop_ext.symmetric.encryption_key import KEY_ALGORITHMS_BY_TYPE
from dpop_ext.symmetric.key_jwe import (
    ENCODINGS,
    KeyRegistry,
    decrypt,
    fits,
    parse_header,
)
from dpop_ext.symmetric.secret_bytes import SecretBytes

KEY_MATERIAL_TYPE: Final = "dpop-sym-entropy+jwe"
ENCODING: Final = ENCODINGS[0]

_HEADER_MEMBERS: Final = frozenset({"typ", "alg", "enc", "kid", "dsk", "epk"})


def encrypt_key_material(
    value: SecretBytes, *, recipient: Key, client_id: str, jkt: str, jti: str
) -> str:
    """Encrypt key material for the proof that will carry it.

    :param value: 32 random bytes, for this one request.
    :param recipient: the ``use: enc`` key at the server's ``jwks_uri``, which
        :func:`.encryption_key.import_encryption_key` passed.
    :param client_id: of the client.
    :param jkt: thumbprint of the proof's key.
    :param jti: of the proof.
    :returns: a compact JWE, for the member ``k_jwe`` of the ``dsk`` claim.
    :raises ValueError: *value* is not 32 bytes, or *recipient* is for no algorithm of
        this profile.
    """
    if len(value) != SECRET_LENGTH:
        raise ValueError("key material must be 32 bytes")
    names = KEY_ALGORITHMS_BY_TYPE.get(recipient.key_type, ())
    algorithm = next((name for name in names if fits(name, recipient)), None)
    if algorithm is None:
        raise ValueError("the recipient's key cannot be used")
    header = {
        "typ": KEY_MATERIAL_TYPE,
        "alg": algorithm,
        "enc": ENCODING,
        "kid": thumbprint(recipient),
        "dsk": _binding(client_id=client_id, jkt=jkt, jti=jti),
    }
    return jwe.encrypt_compact(
        header, value.reveal(), recipient, registry=KeyRegistry(algorithm, ENCODING)
    )


def decrypt_key_material(
    text: str, *, private_keys: Sequence[Key], client_id: str, jkt: str, jti: str
) -> SecretBytes:
    """Decrypt key material, for a client that is authenticated and has a good grant.

    It is a private key's work, which strangers must not be able to order.

    :param text: the compact JWE, from a verified proof.
    :param private_keys: ours for this, the published one and those before it.
    :param client_id: of the authenticated client.
    :param jkt: thumbprint of the proof's key.
    :param jti: of the proof.
    :returns: 32 bytes.
    :raises MalformedProofError: anything is wrong with it: it is of another type, for
        another client, key or proof, for no key of ours, does not decrypt, or is not
        32 bytes. Nothing is decrypted before the header was found good.
    """
    try:
        header = parse_header(text)
        key = _check(header, private_keys, client_id=client_id, jkt=jkt, jti=jti)
        value = decrypt(text, header=header, private_key=key)
    except Exception as error:
        raise MalformedProofError("The key material cannot be used.") from error
    if len(value) != SECRET_LENGTH:
        raise MalformedProofError("The key material cannot be used.")
    return value


def _check(
    header: dict[str, Any],
    private_keys: Sequence[Key],
    *,
    client_id: str,
    jkt: str,
    jti: str,
) -> Key:
    if not header.keys() <= _HEADER_MEMBERS:
        raise ValueError("unknown header member")
    if header["typ"] != KEY_MATERIAL_TYPE:
        raise ValueError("not key material")
    if header["dsk"] != _binding(client_id=client_id, jkt=jkt, jti=jti):
        raise ValueError("made for another client, key or proof")
    key = next(key for key in private_keys if thumbprint(key) == header["kid"])
    if header["enc"] != ENCODING or not fits(header["alg"], key):
        raise ValueError("not an algorithm of this profile")
    return key


def _binding(*, client_id: str, jkt: str, jti: str) -> dict[str, str]:
    return {"client_id": client_id, "jkt": jkt, "jti": jti}
