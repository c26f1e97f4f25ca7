"""Proof of possession for OAuth: DPoP (RFC 9449) for Authlib, and a symmetric profile."""
