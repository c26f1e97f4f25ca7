"""What a client contributes to an encrypted symmetric key (Symmetric Profile, R2191).

The authorization server mixes it with random bytes of its own, so that the key is as
good as the better of both.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from joserfc.jwk import Key

from dpop_ext.errors import DPoPError, UnsupportedKeyError
from dpop_ext.symmetric.derivation import SECRET_LENGTH
from dpop_ext.symmetric.encryption_key import import_recipient
from dpop_ext.symmetric.key_material import encrypt_key_material
from dpop_ext.symmetric.secret_bytes import SecretBytes


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyMaterial:
    """Encrypts 32 new random bytes for each token request."""

    #: The authorization server's public key.
    recipient: Key = field(repr=False)
    #: Of this client.
    client_id: str

    @classmethod
    def of(cls, jwks: Mapping[str, Any], *, client_id: str) -> Self:
        """Take the server's encryption key.

        :param jwks: the document at the ``jwks_uri`` of the server's metadata.
        :param client_id: of this client.
        :raises UnsupportedKeyError: it has no key with ``use`` ``enc`` that works.
        """
        keys = jwks.get("keys")
        for jwk in keys if isinstance(keys, list) else ():
            if not isinstance(jwk, dict) or jwk.get("use") != "enc":
                continue
            try:
                recipient = import_recipient(jwk)
            except DPoPError:
                continue
            return cls(recipient=recipient, client_id=client_id)
        raise UnsupportedKeyError("The server has no key to encrypt key material for.")

    def encrypt(self, *, jkt: str, jti: str) -> str:
        """Return the ``k_jwe`` of one proof.

        :param jkt: thumbprint of the proof's key.
        :param jti: of the proof.
        """
        return encrypt_key_material(
            SecretBytes(secrets.token_bytes(SECRET_LENGTH)),
            recipient=self.recipient,
            client_id=self.client_id,
            jkt=jkt,
            jti=jti,
        )
