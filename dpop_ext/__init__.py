"""DPoP, :rfc:`9449`, for Authlib: what both servers and the client start from."""

from __future__ import annotations

from dpop_ext.client.signer import ProofSigner
from dpop_ext.core.nonce import NonceIssuer
from dpop_ext.core.policy import FAPI2, RFC9449, ProofPolicy
from dpop_ext.errors import (
    AccessTokenError,
    BadSignatureError,
    BindingError,
    DPoPError,
    ExpiredKeyError,
    KeyDeliveryError,
    KeyMismatchError,
    MalformedProofError,
    MalformedRequestError,
    MissingProofError,
    NonceRequiredError,
    ProofError,
    ReplayedProofError,
    StaleKeyError,
    StaleProofError,
    StaleTicketError,
    StoreError,
    SymmetricKeyError,
    SymmetricUnavailableError,
    TargetMismatchError,
    TokenMismatchError,
    TooManyRequestsError,
    UnboundTokenError,
    UnknownKeyError,
    UnsupportedKeyError,
)
from dpop_ext.verified_proof import VerifiedProof
from dpop_ext.verifier import ProofVerifier

__all__ = [
    "FAPI2",
    "RFC9449",
    "AccessTokenError",
    "BadSignatureError",
    "BindingError",
    "DPoPError",
    "ExpiredKeyError",
    "KeyDeliveryError",
    "KeyMismatchError",
    "MalformedProofError",
    "MalformedRequestError",
    "MissingProofError",
    "NonceIssuer",
    "NonceRequiredError",
    "ProofError",
    "ProofPolicy",
    "ProofSigner",
    "ProofVerifier",
    "ReplayedProofError",
    "StaleKeyError",
    "StaleProofError",
    "StaleTicketError",
    "StoreError",
    "SymmetricKeyError",
    "SymmetricUnavailableError",
    "TargetMismatchError",
    "TokenMismatchError",
    "TooManyRequestsError",
    "UnboundTokenError",
    "UnknownKeyError",
    "UnsupportedKeyError",
    "VerifiedProof",
]
