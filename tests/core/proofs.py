"""Proofs for the tests: as a client makes them, and by hand with faults."""

from __future__ import annotations

from typing import Any

from joserfc.jwk import Key

from dpop_ext.core.jws_signature import sign_compact
from dpop_ext.core.policy import RFC9449
from dpop_ext.core.proof import SignedProof, parse_proof, verify_proof
from dpop_ext.core.proof_making import make_proof
from dpop_ext.core.request_binding import access_token_hash

NOW = 1_790_000_000
URL = "https://api.example.com/accounts?page=2"
#: The access token of the examples in RFC 9449.
TOKEN = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def make(key: Key, **changes: Any) -> str:
    values: dict[str, Any] = {
        "algorithm": "ES256",
        "method": "GET",
        "url": URL,
        "now": NOW,
        "access_token": TOKEN,
    }
    return make_proof(key, **(values | changes))


def verify(proof: str, **changes: Any) -> SignedProof:
    values: dict[str, Any] = {
        "method": "GET",
        "url": URL,
        "policy": RFC9449,
        "access_token": TOKEN,
    }
    jws = parse_proof(proof, max_length=8192)
    return verify_proof(jws, **(values | changes))


def by_hand(key: Key, header: dict[str, Any], claims: dict[str, Any]) -> str:
    """A signed proof with some members changed; None takes a member away."""
    full_header = {
        "typ": "dpop+jwt",
        "alg": "ES256",
        "jwk": key.as_dict(private=False),
    } | header
    full_claims = {
        "jti": "a",
        "htm": "GET",
        "htu": URL,
        "iat": NOW,
        "ath": access_token_hash(TOKEN),
    } | claims
    return sign_compact(_present(full_header), _present(full_claims), key)


def _present(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
