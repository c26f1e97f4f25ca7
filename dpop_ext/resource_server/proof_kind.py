"""Which kind of proof a refused one claims to be (DPoP Symmetric Profile 1.0).

Every fault of a symmetric proof is described with the same text.
"""

from __future__ import annotations

from dpop_ext.core.base64url import b64url_decode
from dpop_ext.core.proof import parse_proof, proof_type
from dpop_ext.errors import DPoPError, MalformedJOSEError
from dpop_ext.symmetric.proof import parse_usual_proof
from dpop_ext.symmetric.proof_header import SYMMETRIC_PROOF_TYPE
from dpop_ext.verifier import ProofVerifier


def is_symmetric(proof: str, verifier: ProofVerifier) -> bool:
    """Tell by the type that it claims, where such proofs are accepted at all."""
    max_length = verifier.policy.max_length
    if not verifier.symmetric_algorithms or len(proof) > max_length:
        return False
    if parse_usual_proof(proof) is not None:
        return True
    try:
        header = b64url_decode(proof.partition(".")[0])
        # Most are not, and can be told before they are parsed: this type is in the
        # text of its header, unless that has escapes.
        if b"\\" not in header and SYMMETRIC_PROOF_TYPE.encode() not in header:
            return False
        jws = parse_proof(proof, max_length=max_length)
    except (DPoPError, MalformedJOSEError):
        return False
    return proof_type(jws) == SYMMETRIC_PROOF_TYPE
