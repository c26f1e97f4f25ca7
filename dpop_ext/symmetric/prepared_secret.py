"""A derivation secret, prepared for the keys of many tokens (RFC 5869 section 2.3)."""

from __future__ import annotations

from typing import NoReturn

from dpop_ext.symmetric.derivation import (
    MAC_ALGORITHMS,
    expand_by,
    server_info,
    token_info,
    version_info,
)
from dpop_ext.symmetric.mac_key import MacKey
from dpop_ext.symmetric.secret_bytes import SecretBytes


class PreparedSecret:
    """One version of the secret that an issuer shares with an audience.

    The secret is hashed once, and what is the same for all tokens is put together once:
    a key takes half as long as from the beginning. Threads may share it.

    :param secret: 32 bytes.
    :param issuer: identifier of the authorization server, at most 256 bytes.
    :param audience: identifier of the resource server, at most 256 bytes.
    :param version: of *secret*, 1 to 2**53-1.
    :raises ValueError: an argument is outside its limits.
    """

    __slots__ = ("_secret", "_servers", "_version")

    def __init__(
        self, secret: SecretBytes, *, issuer: str, audience: str, version: int
    ) -> None:
        # HKDF-Expand makes its blocks by HMAC-SHA256 under the secret.
        self._secret = MacKey("HS256", secret.reveal())
        self._servers = {
            name: server_info(name, issuer=issuer, audience=audience)
            for name in MAC_ALGORITHMS
        }
        self._version = version_info(version)

    def symmetric_key(
        self, *, algorithm: str, client_id: str, jkt: str, r: bytes
    ) -> bytes:
        """Derive the key of one token: :func:`.derivation.symmetric_key`.

        :raises ValueError: an argument is outside its limits.
        """
        server = self._servers.get(algorithm)
        if server is None:
            raise ValueError("not a MAC algorithm of symmetric proofs")
        token = token_info(client_id=client_id, jkt=jkt, version=self._version, r=r)
        return expand_by(self._secret.tag, server + token, MAC_ALGORITHMS[algorithm])

    def __repr__(self) -> str:
        return f"<PreparedSecret {int.from_bytes(self._version)}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")
