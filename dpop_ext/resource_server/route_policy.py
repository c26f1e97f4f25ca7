"""What one route demands of a proof beyond its being good (Symmetric Profile 1.0)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

#: Bytes of the longest content that is hashed, unless a route says otherwise.
MAX_CONTENT: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutePolicy:
    """What a route demands, the same for every adapter.

    A route that demands anything takes no Bearer token: that has no proof.

    :param asymmetric: only asymmetric proofs. Whoever holds the symmetric key of a
        token, this server among them, could have made a symmetric one. A client gets
        ``use_dpop_asymmetric`` and goes on with an asymmetric proof.
    :param request_digest: proofs must have ``cd`` and ``hq``. Those that are there are
        compared on every route.
    :param max_content: bytes of the longest content that is read for a digest, into
        memory. A longer one is refused with 413, if its proof has ``cd`` or asks for a
        response proof; one without is not read at all.
    :raises ValueError: *max_content* is negative.
    """

    asymmetric: bool = False
    request_digest: bool = False
    max_content: int = MAX_CONTENT
    #: A Bearer token cannot do.
    needs_proof: bool = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.max_content < 0:
            raise ValueError("max_content is a number of bytes")
        needs_proof = self.asymmetric or self.request_digest
        object.__setattr__(self, "needs_proof", needs_proof)


#: Any good proof, and an unbound Bearer token where those are accepted.
ANY_PROOF: Final = RoutePolicy()
