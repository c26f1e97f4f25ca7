"""What a view of Flask can ask about the request that it serves (RFC 9449 section 7).

The protector leaves it in ``g.dpop_seen``: the proof, and what was observed.
"""

from __future__ import annotations

from flask import g
from werkzeug.local import LocalProxy

from dpop_ext.resource_server.observation import ObservedRequest
from dpop_ext.verified_proof import VerifiedProof

_NOTHING = (None, None)


def _current_proof() -> VerifiedProof | None:
    proof: VerifiedProof | None = g.get("dpop_seen", _NOTHING)[0]
    return proof


def _current_observation() -> ObservedRequest | None:
    observed: ObservedRequest | None = g.get("dpop_seen", _NOTHING)[1]
    return observed


#: What was seen of a request that is served for its token alone; None if its proof was
#: demanded, so that :data:`current_proof` counts.
current_observation: ObservedRequest | None = LocalProxy(_current_observation)  # type: ignore[assignment]

#: The verified proof of the request that is being served; its ``kind`` says whether it
#: was asymmetric or symmetric. None for an unbound Bearer token, and for a proof that
#: is only observed.
current_proof: VerifiedProof | None = LocalProxy(_current_proof)  # type: ignore[assignment]
