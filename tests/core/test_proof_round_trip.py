"""What a client makes, a server accepts, and nothing that differs by a byte."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, Key, OKPKey

from dpop_ext.core.base64url import b64url_decode, b64url_encode
from dpop_ext.core.key import thumbprint
from dpop_ext.core.policy import ProofPolicy
from dpop_ext.core.proof_making import make_proof
from dpop_ext.errors import BadSignatureError, ProofError
from tests.core.proofs import BASE64URL, NOW, make, verify

WIDE = ProofPolicy(
    algorithms=("ES256", "ES384", "ES512", "PS256", "RS256", "Ed25519", "EdDSA")
)


@pytest.mark.requirement("C-5b", "C-6", "J-16")
@pytest.mark.parametrize("algorithm", WIDE.algorithms)
def test_what_is_made_is_verified(algorithm: str, keys: dict[str, Key]) -> None:
    key = keys[algorithm]

    proof = verify(make(key, algorithm=algorithm, nonce="n"), policy=WIDE)

    assert proof.jkt == thumbprint(key)
    assert proof.algorithm == algorithm
    assert (proof.iat, proof.nonce) == (NOW, "n")
    assert (proof.nbf, proof.exp) == (None, None)


@given(
    method=st.sampled_from(["GET", "POST", "HEAD", "PROPFIND", "get"]),
    path=st.text("/.%41ab~@:", max_size=12).map(lambda path: f"/{path}"),
    now=st.integers(0, 2**40),
    token=st.none() | st.text(BASE64URL + "~.+/", min_size=1, max_size=40),
    jti=st.text(min_size=1, max_size=256),
    nonce=st.none() | st.text(BASE64URL, min_size=1),
    extra=st.dictionaries(st.sampled_from("pqr"), st.integers() | st.text("ab")),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_request(
    ec_key: ECKey,
    method: str,
    path: str,
    now: int,
    token: str | None,
    jti: str,
    nonce: str | None,
    extra: dict[str, Any],
) -> None:
    if re.search("%(?![0-9A-Fa-f]{2})", path) or "\0" in jti:
        return
    proof = make_proof(
        ec_key,
        algorithm="ES256",
        method=method,
        url=f"https://h{path}",
        now=now,
        access_token=token,
        nonce=nonce,
        jti=jti,
        claims=extra,
    )

    read = verify(proof, method=method, url=f"https://h{path}", access_token=token)

    assert read.jti == jti
    assert read.iat == now
    assert read.nonce == nonce
    assert read.jkt == thumbprint(ec_key)
    assert extra.items() <= read.claims.items()


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_proof_survives_the_change_of_one_byte(
    ec_key: ECKey, ed_key: OKPKey, data: st.DataObject
) -> None:
    keys: dict[str, Key] = {"ES256": ec_key, "Ed25519": ed_key}
    algorithm = data.draw(st.sampled_from(sorted(keys)))
    proof = make(keys[algorithm], algorithm=algorithm)
    position = data.draw(st.integers(0, len(proof) - 1))
    other = data.draw(st.sampled_from(BASE64URL + ".=+/ ,~\n\0\u00e9"))
    if other == proof[position]:
        return

    for changed in (
        proof[:position] + other + proof[position + 1 :],
        proof[:position] + other + proof[position:],
        proof[:position] + proof[position + 1 :],
    ):
        if changed == proof:
            continue
        with pytest.raises(ProofError):
            verify(changed)


@pytest.mark.requirement("C-6")
def test_no_bit_of_the_signature_can_be_changed(ec_key: ECKey) -> None:
    signed, _, signature = make(ec_key).rpartition(".")
    raw = b64url_decode(signature)
    for bit in range(len(raw) * 8):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadSignatureError):
            verify(f"{signed}.{b64url_encode(bytes(changed))}")
