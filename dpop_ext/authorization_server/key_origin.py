"""How a symmetric key is made, so that one resource server gets it too.

DPoP Symmetric Profile 1.0: derived from a secret that both servers have (model 1), or
random and encrypted for the resource server (model 1b).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from joserfc.jwk import Key

from dpop_ext.authorization_server.key_plan import Derivation, Encapsulation
from dpop_ext.authorization_server.random_values import RandomValues
from dpop_ext.errors import DPoPError, StoreError, SymmetricUnavailableError
from dpop_ext.stores.base import AudienceSecrets
from dpop_ext.symmetric.derivation import (
    MAC_ALGORITHMS,
    SECRET_LENGTH,
    mixed_key,
)
from dpop_ext.symmetric.encapsulation import KeyRecipient, check_names
from dpop_ext.symmetric.key_material import decrypt_key_material
from dpop_ext.symmetric.key_request import KeyRequest
from dpop_ext.symmetric.rotation_plan import SECRET_MARGIN
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.secret_ring import SecretRing


class KeyOwner(NamedTuple):
    """Whom a key is made for."""

    audience: str
    client_id: str
    #: Thumbprint of the proof's key.
    jkt: str
    #: ``jti`` of the proof.
    jti: str
    #: One of :data:`MAC_ALGORITHMS`.
    algorithm: str


class DerivedKeys:
    """Derives keys from the secrets of audiences.

    :param secrets: by audience.
    :param issuer: identifier of this server.
    """

    def __init__(self, secrets: AudienceSecrets, *, issuer: str) -> None:
        self._secrets = secrets
        self._issuer = issuer
        self._values = RandomValues()

    def make(
        self, owner: KeyOwner, request: KeyRequest, *, now: int
    ) -> tuple[SecretBytes, Derivation]:
        """Derive a key from the active secret and a new random value.

        :raises SymmetricUnavailableError: the audience has no active secret that lasts;
            the client sent key material, which has no place here; or an identifier is
            too long.
        :raises StoreError: the secrets could not be read.
        """
        audience, client_id, jkt, _, algorithm = owner
        ring = self._load(audience)
        active = ring.active(now=now)
        latest = active.expires_at - SECRET_MARGIN
        prepared = ring.prepare(active)
        if prepared is None or latest <= now:
            raise SymmetricUnavailableError(lacks="secret")
        if request.key_material is not None:
            # Only a key that is not derived can be made of it.
            raise SymmetricUnavailableError(lacks="k_jwe")
        composite = None
        if request.n is None:
            r = self._values.draw()
        else:
            composite = self._values.compose(request.n)
            r = composite.r
        try:
            key = prepared.symmetric_key(
                algorithm=algorithm, client_id=client_id, jkt=jkt, r=r
            )
        except ValueError as error:  # an identifier that is too long for the derivation
            raise SymmetricUnavailableError(lacks="identifier") from error
        # Half as long as by the constructor, which passes all of them on once more.
        values = (active.version, r, composite, latest)
        return SecretBytes(key), tuple.__new__(Derivation, values)

    def _load(self, audience: str) -> SecretRing:
        try:
            ring = self._secrets.load(audience)
        except DPoPError:
            raise
        except Exception as error:
            raise StoreError from error
        if ring is None:
            raise SymmetricUnavailableError(lacks="secret")
        if ring.issuer != self._issuer or ring.audience != audience:
            raise StoreError("The derivation secrets are for another audience.")
        return ring


class EncapsulatedKeys:
    """Makes random keys, which are encrypted for resource servers.

    :param private_keys: returns our private keys for key material of clients, the
        published one first; none at all: such material cannot be used.
    :param issuer: identifier of this server.
    """

    def __init__(
        self,
        private_keys: Callable[[], Sequence[Key]],
        *,
        issuer: str,
    ) -> None:
        self._issuer = issuer
        self._private_keys = private_keys
        self._values = RandomValues()

    def make(
        self,
        owner: KeyOwner,
        request: KeyRequest,
        *,
        recipient: KeyRecipient,
        latest: int,
    ) -> tuple[SecretBytes, Encapsulation]:
        """Make a key, of random bytes and of what the client sent for it.

        :param recipient: the resource server.
        :param latest: end of the key and of its token, in seconds since the epoch.
        :raises SymmetricUnavailableError: the client sent a part of a random value of
            the token, of which there is none here; or key material, for which this
            server has no keys; or an identifier is too long.
        :raises MalformedProofError: the key material cannot be used.
        :raises StoreError: our keys are not available.
        """
        if request.n is not None:
            raise SymmetricUnavailableError(lacks="n")
        try:
            check_names(self._issuer, owner.audience, owner.client_id)
        except ValueError as error:
            raise SymmetricUnavailableError(lacks="identifier") from error
        length = MAC_ALGORITHMS[owner.algorithm]
        material = self._decrypt(owner, request.key_material)
        key = self._values.draw_secret(
            SECRET_LENGTH if material is not None else length
        )
        if material is not None:
            key = mixed_key(
                key, algorithm=owner.algorithm, key_material=material.reveal()
            )
        return SecretBytes(key), Encapsulation(
            recipient=recipient,
            client_id=owner.client_id,
            jkt=owner.jkt,
            latest=latest,
        )

    def _decrypt(self, owner: KeyOwner, text: str | None) -> SecretBytes | None:
        if text is None:
            return None
        try:
            private_keys = self._private_keys()
        except Exception as error:
            raise StoreError from error
        if not private_keys:
            raise SymmetricUnavailableError(lacks="k_jwe")
        return decrypt_key_material(
            text,
            private_keys=private_keys,
            client_id=owner.client_id,
            jkt=owner.jkt,
            jti=owner.jti,
        )
