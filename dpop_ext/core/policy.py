"""What a verifier accepts: algorithms, times, sizes (RFC 9449 sections 4.3, 11.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dpop_ext.core.key import ALGORITHMS
from dpop_ext.errors import StaleProofError


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofPolicy:
    """The rules for proofs, of one server or of one client.

    :raises ValueError: an algorithm is not an asymmetric one that this package has, or
        a number is out of range.
    """

    #: Accepted JWS algorithms. ``EdDSA`` and ``Ed25519`` are two names of one thing.
    algorithms: tuple[str, ...] = ("ES256", "Ed25519", "EdDSA", "PS256")
    #: Age of a proof, in seconds.
    max_age: int = 60
    #: For clocks that differ, on top of *max_age*, in seconds.
    leeway: int = 5
    #: How far ahead ``iat`` may be, in seconds.
    future: int = 30
    #: Length of a proof, in characters.
    max_length: int = 8192
    #: Length of ``jti``, in characters.
    max_jti_length: int = 256
    #: An authorization server demands a proof from every client.
    required: bool = False

    def __post_init__(self) -> None:
        if not self.algorithms or not set(self.algorithms) <= ALGORITHMS.keys():
            known = ", ".join(ALGORITHMS)
            raise ValueError(f"algorithms must be some of: {known}")
        if self.max_age <= 0 or self.leeway < 0 or self.future < 0:
            raise ValueError("max_age must be positive, leeway and future not negative")
        if self.max_length <= 0 or self.max_jti_length <= 0:
            raise ValueError("lengths must be positive")

    @property
    def window(self) -> int:
        """How old a proof may be, all told, in seconds."""
        return self.max_age + self.leeway

    def check_time(
        self, *, iat: float, nbf: float | None, exp: float | None, now: int
    ) -> None:
        """Check that a proof was made about now.

        The limits of ``iat`` are inclusive. ``nbf`` and ``exp`` can only tighten them.

        :param iat: when the client says it was made, in seconds since the epoch.
        :param nbf: not good before, in seconds since the epoch; None if it has none.
        :param exp: not good from, in seconds since the epoch; None if it has none.
        :param now: seconds since the epoch.
        :raises StaleProofError: too old, too far ahead, or outside ``nbf`` and ``exp``.
        """
        # Positive conditions, so that a value that compares as nothing fails.
        if not now - self.window <= iat <= now + self.future:
            raise StaleProofError
        if nbf is not None and not nbf <= now + self.future:
            raise StaleProofError
        if exp is not None and not now < exp + self.leeway:
            raise StaleProofError


#: The defaults of this package for :rfc:`9449`.
RFC9449: Final = ProofPolicy()
#: FAPI 2.0 Security Profile: the same algorithms, and no client without a proof.
FAPI2: Final = ProofPolicy(required=True)
