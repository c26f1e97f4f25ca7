"""Server-provided nonces without a store (RFC 9449 sections 8 and 9)."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Final, Literal, Protocol

from dpop_ext.core.base64url import b64url_encode
from dpop_ext.errors import NonceRequiredError

#: A new nonce is issued every so many seconds.
STEP: Final = 60
#: Besides the current nonce, so many before it are good.
PREVIOUS_STEPS: Final = 2
#: Bytes that a secret has at least.
MIN_SECRET_LENGTH: Final = 32
#: Steps whose nonces are kept, both purposes together.
MAX_MADE: Final = 16

_LABEL: Final = b"dpop-nonce/1\0"


class Nonces(Protocol):
    """What a verifier asks of :class:`NonceIssuer`, or of one whose secrets change."""

    def issue(self, *, purpose: Literal["as", "rs"], now: int) -> str:
        """Return the current nonce."""
        ...

    def verify(self, nonce: object, *, purpose: Literal["as", "rs"], now: int) -> int:
        """Recognise a nonce; return its age in steps.

        :raises NonceRequiredError: it is missing, or not one that is good now.
        """
        ...


class NonceIssuer:
    """Issue and recognise nonces: a MAC over the time in steps of 60 seconds.

    All processes with the same secrets accept each other's nonces. A nonce is good for
    120 to 180 seconds and for any number of proofs.

    :param secrets: each of at least 32 random bytes, oldest to newest: the newest
        makes nonces, all of them are recognised.
    :raises TypeError: they are no list, or not of bytes.
    :raises ValueError: no secret, a short one, a constant one, or the same one twice.
    """

    __slots__ = ("_made", "_secrets")

    def __init__(self, secrets: Sequence[bytes]) -> None:
        if not secrets:
            raise ValueError("at least one nonce secret is needed")
        # Text and bytes are sequences, too, of what is no secret.
        if not set(map(type, secrets)) <= {bytes, bytearray, memoryview}:
            raise TypeError("nonce secrets are a list of bytes")
        # Those that can change have no hash.
        secrets = tuple(map(bytes, secrets))
        if any(len(secret) < MIN_SECRET_LENGTH for secret in secrets):
            raise ValueError("a nonce secret must be at least 32 bytes")
        if any(len(set(secret)) == 1 for secret in secrets):
            raise ValueError("a nonce secret must be random")
        if len(set(secrets)) != len(secrets):
            raise ValueError("a nonce secret is in the list twice")
        self._secrets = secrets
        #: The nonces of a step by purpose, newest secret first.
        self._made: dict[tuple[str, int], tuple[str, ...]] = {}

    def __repr__(self) -> str:
        return f"<NonceIssuer with {len(self._secrets)} secret(s)>"

    def issue(self, *, purpose: Literal["as", "rs"], now: int) -> str:
        """Return the current nonce.

        :param purpose: of an authorization server or of a resource server: a nonce of
            the one is not good at the other, also when both share the secrets.
        :param now: seconds since the epoch.
        """
        return self._nonces(purpose, now // STEP)[0]

    def verify(self, nonce: object, *, purpose: Literal["as", "rs"], now: int) -> int:
        """Recognise a nonce.

        :param nonce: the claim of the proof, as parsed; None if there is none.
        :param now: seconds since the epoch.
        :returns: its age in steps: 0 for the one that :meth:`issue` returns now.
        :raises NonceRequiredError: it is missing, or not one that is good now.
        """
        if isinstance(nonce, str) and nonce.isascii():
            given = nonce.encode()
            for age in range(PREVIOUS_STEPS + 1):
                expected = self._nonces(purpose, now // STEP - age)
                for number, candidate in enumerate(expected):
                    if hmac.compare_digest(given, candidate.encode()):
                        # One by an older secret is good, but not the current one.
                        return age or min(number, 1)
        raise NonceRequiredError(nonce=self.issue(purpose=purpose, now=now))

    def _nonces(self, purpose: str, step: int) -> tuple[str, ...]:
        made = self._made.get((purpose, step))
        if made is None:
            made = tuple(
                _make(secret, purpose, step) for secret in reversed(self._secrets)
            )
            if len(self._made) >= MAX_MADE:
                self._made = {}
            self._made[purpose, step] = made
        return made


def check_nonce(
    nonces: Nonces, nonce: object, purpose: Literal["as", "rs"], now: int
) -> str | None:
    """Return the nonce that the client needs next, if it needs another.

    :param nonce: the claim of its proof, as parsed; None if there is none.
    :param now: seconds since the epoch.
    :raises NonceRequiredError: it is missing, or not one that is good now.
    """
    age = nonces.verify(nonce, purpose=purpose, now=now)
    return nonces.issue(purpose=purpose, now=now) if age else None


def _make(secret: bytes, purpose: str, step: int) -> str:
    name = purpose.encode()
    message = _LABEL + len(name).to_bytes(2) + name + max(step, 0).to_bytes(8)
    return b64url_encode(hmac.digest(secret, message, "sha256")[:16])
