"""What a verifier accepts: algorithms, times, sizes (RFC 9449 sections 4.3, 11.1)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

from dpop_ext.core.key import ALGORITHMS
from dpop_ext.core.ml_dsa import ML_DSA, require_support
from dpop_ext.errors import StaleProofError

_DAY: Final = 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofPolicy:
    """The rules for proofs, of one server or of one client.

    :raises TypeError: a number is not an integer.
    :raises ValueError: an algorithm is not an asymmetric one that this package has, or
        one that the cryptography package of this process lacks; or a number is out of
        range.
    """

    #: Accepted JWS algorithms. ``EdDSA`` and ``Ed25519`` are two names of one thing.
    #: The post-quantum ``ML-DSA-44``, ``ML-DSA-65`` and ``ML-DSA-87`` are taken from
    #: those who name them: their proofs are 20 times as long.
    algorithms: tuple[str, ...] = ("ES256", "Ed25519", "EdDSA", "PS256")
    #: Age of a proof, in seconds.
    max_age: int = 60
    #: For clocks that differ, on top of *max_age*, in seconds.
    leeway: int = 5
    #: How far ahead ``iat`` may be, in seconds.
    future: int = 30
    #: Length of a proof, in characters.
    max_length: int = 8192
    #: Length of a proof with an ML-DSA algorithm, in characters. One with ML-DSA-87
    #: that offers a key for ``HPKE-9-KE`` needs 14,000.
    max_ml_dsa_length: int = 12_288
    #: Length of ``jti``, in characters.
    max_jti_length: int = 256
    #: An authorization server demands a proof from every client.
    required: bool = False
    #: An ML-DSA algorithm is among those that are accepted.
    has_ml_dsa: bool = field(init=False, repr=False, compare=False)
    #: How old a proof may be, all told, in seconds.
    window: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        known = [*ALGORITHMS, *ML_DSA]
        if not self.algorithms or not set(self.algorithms) <= set(known):
            raise ValueError(f"algorithms must be some of: {', '.join(known)}")
        has_ml_dsa = not ML_DSA.keys().isdisjoint(self.algorithms)
        if has_ml_dsa:
            require_support()
        object.__setattr__(self, "has_ml_dsa", has_ml_dsa)
        numbers = (self.max_age, self.leeway, self.future)
        lengths = (self.max_length, self.max_ml_dsa_length, self.max_jti_length)
        # An infinite one would accept every proof, and have a store forget none.
        if not all(type(number) is int for number in (*numbers, *lengths)):
            raise TypeError("times and lengths are integers")
        object.__setattr__(self, "window", self.max_age + self.leeway)
        if self.max_age <= 0 or self.leeway < 0 or self.future < 0:
            raise ValueError("max_age must be positive, leeway and future not negative")
        if min(lengths) <= 0:
            raise ValueError("lengths must be positive")

    def check_time(
        self,
        *,
        iat: float,
        now: int,
        nbf: float | None = None,
        exp: float | None = None,
    ) -> None:
        """Check that a proof was made about now.

        The limits of ``iat`` are inclusive. ``nbf`` and ``exp`` can only tighten them.

        :param iat: when the client says it was made, in seconds since the epoch.
        :param now: seconds since the epoch.
        :param nbf: not good before, in seconds since the epoch; None if it has none.
        :param exp: not good from, in seconds since the epoch; None if it has none.
        :raises StaleProofError: too old, too far ahead, or outside ``nbf`` and ``exp``.
        """
        # Positive conditions, so that a value that compares as nothing fails.
        if not now - self.window <= iat <= now + self.future:
            raise StaleProofError(self._out_of_time(now - iat))
        if nbf is not None and not nbf <= now + self.future:
            raise StaleProofError
        if exp is not None and not now < exp + self.leeway:
            raise StaleProofError

    def _out_of_time(self, age: float) -> str | None:
        """Return what to say of a proof of another time, in seconds by this clock."""
        # Whoever is a day off is not helped by a number of any length.
        if self.window < age < _DAY:
            return (
                f"The DPoP proof is {math.ceil(age)} s old by the clock of this "
                f"server, and good for {self.window} s."
            )
        if -_DAY < age < -self.future:
            return (
                f"The DPoP proof is dated {math.ceil(-age)} s ahead of the clock of "
                f"this server, and may be {self.future} s ahead."
            )
        return None


#: The defaults of this package for :rfc:`9449`.
RFC9449: Final = ProofPolicy()
#: FAPI 2.0 Security Profile: the same algorithms, and no client without a proof.
FAPI2: Final = ProofPolicy(required=True)
