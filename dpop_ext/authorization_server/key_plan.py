"""One symmetric key on its way to a token and to a client (DPoP Symmetric Profile).

The values are tuples with names: a frozen dataclass takes three times as long to be
made.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from dpop_ext.core.base64url import b64url_encode
from dpop_ext.symmetric.delivery import CompositeR, wrap_key
from dpop_ext.symmetric.encapsulation import KeyRecipient, encapsulate_key
from dpop_ext.symmetric.encryption_key import EncryptionKey
from dpop_ext.symmetric.secret_bytes import SecretBytes


class Derivation(NamedTuple):
    """The resource server derives the key, from a secret that it has."""

    version: int
    r: bytes
    #: How *r* was made, if the client had a part in it.
    composite: CompositeR | None
    #: The key must end by then, in seconds since the epoch.
    latest: int


class Encapsulation(NamedTuple):
    """The resource server decrypts the key, with a private key of its own."""

    recipient: KeyRecipient
    client_id: str
    jkt: str
    #: The token must end by then, in seconds since the epoch: the key ends with it.
    latest: int


class IssuedKey(NamedTuple):
    """What a token says about its key, once the time of issue is fixed."""

    #: Member of ``cnf`` beside ``jkt``: ``dsk`` or ``jwe``.
    name: str
    value: Any
    #: In seconds since the epoch.
    expires_at: int

    def __repr__(self) -> str:
        return f"<IssuedKey {self.name}>"


class KeyPlan(NamedTuple):
    """A symmetric key that will be issued, decided before anything is spent."""

    issuer: str
    audience: str
    algorithm: str
    key: SecretBytes
    #: How the resource server gets at it.
    origin: Derivation | Encapsulation
    recipient: EncryptionKey
    key_algorithm: str
    encoding: str
    #: Longest life, in seconds.
    max_age: int

    @property
    def latest_token(self) -> int | None:
        """When the token must have expired, in seconds since the epoch, if at all."""
        return self.origin.latest if isinstance(self.origin, Encapsulation) else None

    def issue(self, *, now: int, expires_at: int) -> IssuedKey:
        """Return ``cnf.dsk`` or ``cnf.jwe``, from which a resource server has the key.

        :param now: seconds since the epoch.
        :param expires_at: expiry of the access token, in seconds since the epoch.
        """
        origin, algorithm = self.origin, self.algorithm
        if isinstance(origin, Encapsulation):
            encrypted = encapsulate_key(
                self.key,
                recipient=origin.recipient,
                mac_algorithm=algorithm,
                issuer=self.issuer,
                audience=self.audience,
                client_id=origin.client_id,
                jkt=origin.jkt,
                expires_at=expires_at,
            )
            return IssuedKey(name="jwe", value=encrypted, expires_at=expires_at)
        version, r, _, latest = origin
        end = min(expires_at, now + self.max_age, latest)
        reference = {"alg": algorithm, "v": version, "r": b64url_encode(r), "exp": end}
        return tuple.__new__(IssuedKey, ("dsk", reference, end))

    def deliver(self, *, access_token: str, expires_at: int) -> str:
        """Encrypt the key for the client.

        :param access_token: the token that the key belongs to.
        :param expires_at: end of the key's life, in seconds since the epoch.
        :returns: a compact JWE, for ``cnf.jwe`` of the response.
        """
        # One by one they would take twice as long.
        issuer, audience, mac_algorithm, key, origin, recipient, alg, enc, _ = self
        version, composite = None, None
        if isinstance(origin, Derivation):
            version, _, composite, _ = origin
        return wrap_key(
            key,
            recipient=recipient.key,
            algorithm=alg,
            encoding=enc,
            mac_algorithm=mac_algorithm,
            issuer=issuer,
            audience=audience,
            version=version,
            expires_at=expires_at,
            access_token=access_token,
            composite=composite,
        )
