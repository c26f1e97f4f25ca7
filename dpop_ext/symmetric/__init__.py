"""Symmetric proofs: the DPoP Symmetric Profile, which is not part of RFC 9449."""
