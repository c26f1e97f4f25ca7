"""One symmetric key on its way to a token and to a client (DPoP Symmetric Profile)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dpop_ext.symmetric.delivery import wrap_key
from dpop_ext.symmetric.encryption_key import EncryptionKey
from dpop_ext.symmetric.secret_bytes import SecretBytes


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPlan:
    """A symmetric key that will be issued, decided before anything is spent."""

    issuer: str
    audience: str
    algorithm: str
    version: int
    r: str
    key: SecretBytes
    recipient: EncryptionKey = field(repr=False)
    key_algorithm: str
    encoding: str
    #: Longest life, in seconds.
    max_age: int
    #: The key must end by then, in seconds since the epoch.
    latest: int

    def reference(self, *, now: int, expires_at: int) -> dict[str, Any]:
        """Return ``cnf.dsk``: what a resource server derives the key from.

        :param now: seconds since the epoch.
        :param expires_at: expiry of the access token, in seconds since the epoch.
        """
        return {
            "alg": self.algorithm,
            "v": self.version,
            "r": self.r,
            "exp": min(expires_at, now + self.max_age, self.latest),
        }

    def deliver(self, *, access_token: str, expires_at: int) -> str:
        """Encrypt the key for the client.

        :param access_token: the token that the key belongs to.
        :param expires_at: end of the key's life, in seconds since the epoch.
        :returns: a compact JWE, for ``cnf.jwe`` of the response.
        """
        return wrap_key(
            self.key,
            recipient=self.recipient.key,
            algorithm=self.key_algorithm,
            encoding=self.encoding,
            mac_algorithm=self.algorithm,
            issuer=self.issuer,
            audience=self.audience,
            version=self.version,
            expires_at=expires_at,
            access_token=access_token,
        )
