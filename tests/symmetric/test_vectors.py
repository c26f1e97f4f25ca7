"""The vectors beside the published ones: keys in JWEs, HS512, a token and its proof."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from joserfc.jwk import ECKey, JWKRegistry

from dpop_ext.core.jose import parse_compact_jws
from dpop_ext.core.jws_signature import verify_signature
from dpop_ext.core.proof import parse_proof
from dpop_ext.core.request_binding import access_token_hash
from dpop_ext.errors import KeyDeliveryError
from dpop_ext.symmetric.delivery import unwrap_key
from dpop_ext.symmetric.derivation import symmetric_key
from dpop_ext.symmetric.mac_key import MacKey
from dpop_ext.symmetric.proof import (
    check_mac,
    make_symmetric_proof,
    parse_symmetric_proof,
)
from dpop_ext.symmetric.secret_bytes import SecretBytes
from tests.symmetric.vectors import OURS, PUBLISHED
from tests.vectors.generate_symmetric import generate


def test_the_generator_writes_the_file_as_it_is() -> None:
    assert generate() == OURS


def test_the_hs512_proof_is_verified() -> None:
    vector = OURS["hs512"]
    key = bytes.fromhex(vector["SK_HS512"])
    proof = parse_symmetric_proof(parse_proof(vector["proof"], max_length=8192))
    check_mac(proof, MacKey("HS512", key))
    assert (proof.algorithm, proof.kid) == ("HS512", "7")
    assert proof.nonce == PUBLISHED["nonce_rs"]
    assert proof.claims["ath"] == access_token_hash(vector["access_token"])


@pytest.mark.parametrize(
    ("vector", "secret", "more"),
    [
        ("jwt", "SK_HS256", {"algorithm": "HS256"}),
        (
            "hs512",
            "SK_HS512",
            {"algorithm": "HS512", "version": 7, "nonce": PUBLISHED["nonce_rs"]},
        ),
    ],
)
def test_the_maker_repeats_the_proofs_byte_for_byte(
    vector: str, secret: str, more: dict[str, Any]
) -> None:
    made = make_symmetric_proof(
        SecretBytes(bytes.fromhex(OURS[vector][secret])),
        method="POST",
        url="https://api.example.com/transfers",
        now=OURS["time"],
        access_token=OURS[vector]["access_token"],
        jti="e1j3V_bKic8-LAEB",
        **more,
    )
    assert made == OURS[vector]["proof"]


def test_the_token_gives_the_key_of_the_proof() -> None:
    vector = OURS["jwt"]
    token = parse_compact_jws(vector["access_token"], max_length=16384)
    verify_signature(token, ECKey.import_key(vector["signing_key"]), algorithm="ES256")
    claims = token.payload
    dsk = claims["cnf"]["dsk"]
    key = symmetric_key(
        bytes.fromhex(OURS["S"]),
        algorithm=dsk["alg"],
        issuer=OURS["iss"],
        audience=OURS["aud"],
        client_id=claims["client_id"],
        jkt=claims["cnf"]["jkt"],
        version=dsk["v"],
        r=base64.urlsafe_b64decode(dsk["r"] + "="),
    )
    assert key.hex() == vector["SK_HS256"]
    proof = parse_symmetric_proof(parse_proof(vector["proof"], max_length=8192))
    check_mac(proof, MacKey("HS256", key))
    assert proof.claims["ath"] == access_token_hash(vector["access_token"])


@pytest.mark.requirement("R1201", "R1204", "R1205")
@pytest.mark.parametrize("vector", OURS["key_jwe"], ids=lambda v: v["mac_algorithm"])
def test_the_delivered_key_is_unwrapped(vector: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {
        "private_key": JWKRegistry.import_key(vector["private_key"]),
        "algorithms": [vector["mac_algorithm"]],
        "key_algorithms": ["ECDH-ES", "ECDH-ES+A256KW"],
        "encodings": ["A256GCM", "A128GCM"],
        "issuer": OURS["iss"],
        "audience": OURS["aud"],
        "access_token": vector["access_token"],
        "now": OURS["time"],
    }
    delivered = unwrap_key(vector["jwe"], **arguments)
    assert delivered.key == SecretBytes(bytes.fromhex(vector["key"]))
    assert delivered.algorithm == vector["mac_algorithm"]
    assert delivered.version == OURS["V"]
    with pytest.raises(KeyDeliveryError):
        unwrap_key(vector["jwe"], **{**arguments, "access_token": "another"})
