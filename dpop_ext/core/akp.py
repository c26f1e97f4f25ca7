"""The key type AKP, an algorithm with its key pair: :rfc:`9964#section-3`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, NoReturn, TypeAlias

from joserfc.jwk import Key

from dpop_ext.core.base64url import b64url_decode, b64url_encode
from dpop_ext.core.key import thumbprint
from dpop_ext.errors import MalformedJOSEError

#: Bytes of a private key: of each algorithm, the seed and nothing else.
SEED_LENGTH: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AKPKey:
    """A public key for one algorithm, and perhaps its private seed.

    joserfc has no such key type. It is not registered there either: other users of the
    library in this process would accept keys that they have never heard of. It has
    those attributes of a joserfc key that are asked for in this package.
    """

    key_type: ClassVar[str] = "AKP"

    #: The only algorithm to use it with; in the thumbprint too.
    alg: str
    public: bytes = field(repr=False)
    seed: bytes | None = field(default=None, repr=False)

    @property
    def is_private(self) -> bool:
        """Whether the seed is known."""
        return self.seed is not None

    def as_dict(self, *, private: bool = False) -> dict[str, str]:
        """Return the JWK.

        :param private: with ``priv``, the seed.
        :raises ValueError: the seed is not known.
        """
        jwk = {"kty": "AKP", "alg": self.alg, "pub": b64url_encode(self.public)}
        if private:
            if self.seed is None:
                raise ValueError("not a private key")
            jwk["priv"] = b64url_encode(self.seed)
        return jwk

    def thumbprint(self) -> str:
        """Return the SHA-256 thumbprint, base64url (:rfc:`9964#section-6`)."""
        text = (
            f'{{"alg":"{self.alg}","kty":"AKP","pub":"{b64url_encode(self.public)}"}}'
        )
        return b64url_encode(hashlib.sha256(text.encode("ascii")).digest())

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key is not pickled")


#: Any key that this package can use.
AnyKey: TypeAlias = Key | AKPKey


def read_public(jwk: Mapping[str, Any], *, algorithm: str, length: int) -> AKPKey:
    """Read the public key for *algorithm* out of a JWK.

    Each public key has one encoding, so there is one thumbprint for it.

    :param length: of the key, in bytes.
    :raises MalformedJOSEError: it is of another type, length or algorithm; the
        algorithm is not optional.
    """
    if jwk.get("kty") != "AKP" or jwk.get("alg") != algorithm:
        raise MalformedJOSEError("not a key for the algorithm")
    return AKPKey(alg=algorithm, public=_octets(jwk, "pub", length))


def read_seed(jwk: Mapping[str, Any]) -> bytes:
    """Read the private part of a JWK.

    :raises MalformedJOSEError: it is no seed. The expanded form is not allowed.
    """
    return _octets(jwk, "priv", SEED_LENGTH)


def any_thumbprint(key: AnyKey) -> str:
    """Return the :rfc:`7638` SHA-256 thumbprint of *key*, base64url."""
    return key.thumbprint() if isinstance(key, AKPKey) else thumbprint(key)


def _octets(jwk: Mapping[str, Any], name: str, length: int) -> bytes:
    value = jwk.get(name)
    octets = b64url_decode(value) if isinstance(value, str) else b""
    if len(octets) != length:
        raise MalformedJOSEError("not a key of the right length")
    return octets
