"""Where a client may send a token and a proof: :rfc:`9449#section-2`, section 11.3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dpop_ext.core.target import is_secure, normalize_target, origin, proof_target


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """The target of a request, for which a proof may be made."""

    #: Scheme, host and port, normalised; a default port is left out.
    origin: str
    #: The ``htu`` of the proof. Its path is the one on the wire, escapes and all, for
    #: servers that compare without normalising.
    htu: str

    @classmethod
    def of(cls, url: str) -> Destination:
        """Check the final URL of a request.

        :param url: as it will go out; userinfo, query and fragment are left out.
        :raises ValueError: not an absolute URL, or plain http beyond this machine:
            whoever listens there would have the token.
        """
        htu = proof_target(url)
        if not is_secure(htu):
            raise ValueError("DPoP needs https; plain http is for loopback only.")
        return cls(origin=origin(htu), htu=htu)

    def is_within(self, bases: Sequence[str]) -> bool:
        """Tell whether the target is at or below one of *bases*, on the same origin.

        :param bases: URLs; one without a path stands for its whole origin.
        """
        target = normalize_target(self.htu)
        return any(
            target.startswith(base.rstrip("/") + "/") or target == base
            for base in map(normalize_target, bases)
        )
