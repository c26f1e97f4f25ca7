"""Whatever a post-quantum proof says, nothing but the documented errors comes out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpop_ext.core import ml_dsa
from dpop_ext.core.akp import AKPKey
from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.jose import json_segment
from dpop_ext.core.ml_dsa import ML_DSA
from dpop_ext.core.policy import ProofPolicy
from dpop_ext.core.proof import parse_proof, verify_proof
from dpop_ext.core.request_binding import access_token_hash
from dpop_ext.errors import ProofError
from tests import post_quantum
from tests.core.proofs import BASE64URL, NOW, TOKEN, URL
from tests.core.test_proof_fuzz import CLAIMS, HEADER_MEMBERS, HEADER_TEXT, ODD_VALUES

post_quantum.require()

pytestmark = pytest.mark.requirement("R2301", "P-17", "C-2")

POLICY = ProofPolicy(algorithms=("ES256", *ML_DSA))
KEYS = {name: ml_dsa.generate(name) for name in ML_DSA}
JWK_MEMBERS = ["kty", "alg", "pub", "priv", "use", "key_ops", "crv", "x", "d", "k", ""]
odd_values = st.sampled_from(
    [*ODD_VALUES, *ML_DSA, "AKP", "HPKE-9-KE", "A" * 1750, "A" * 2603, "A" * 3456]
)


def outcome(proof: str) -> str:
    try:
        jws = parse_proof(
            proof,
            max_length=POLICY.max_length,
            max_ml_dsa_length=POLICY.max_ml_dsa_length,
        )
        verify_proof(jws, method="GET", url=URL, policy=POLICY, access_token=TOKEN)
    except ProofError as error:
        if not HEADER_TEXT.fullmatch(error.description):
            raise AssertionError("a header cannot carry this text") from error
        return error.code
    return "accepted"


def signed(key: AKPKey, header: dict[str, Any], claims: dict[str, Any]) -> str:
    full_header = {"typ": "dpop+jwt", "alg": key.alg, "jwk": key.as_dict()} | header
    full_claims = {
        "jti": "a",
        "htm": "GET",
        "htu": URL,
        "iat": NOW,
        "ath": access_token_hash(TOKEN),
    } | claims
    signing_input = f"{json_segment(full_header)}.{json_segment(full_claims)}"
    signature = ml_dsa.signer(key)(signing_input.encode())
    return f"{signing_input}.{b64url_encode(signature)}"


@pytest.mark.parametrize("algorithm", ML_DSA)
@pytest.mark.parametrize("name", JWK_MEMBERS)
def test_every_member_of_the_key_with_every_odd_value(
    name: str, algorithm: str
) -> None:
    key = KEYS[algorithm]
    assert outcome(signed(key, {}, {})) == "accepted"
    outcomes = {
        outcome(signed(key, {"jwk": {**key.as_dict(), name: value}}, {}))
        for value in ODD_VALUES
    }
    assert outcomes <= {
        *("accepted", "malformed_proof", "unsupported_key", "bad_signature")
    }
    if name in ("kty", "alg", "pub", "priv", "d", "k", "use", "key_ops"):
        assert "unsupported_key" in outcomes
    # What decides on the key has one good value.
    if name in ("kty", "alg", "pub", "priv", "d", "k"):
        assert "accepted" not in outcomes


@given(
    algorithm=st.sampled_from([*ML_DSA]),
    header=st.dictionaries(st.sampled_from(HEADER_MEMBERS), odd_values, max_size=3),
    jwk=st.dictionaries(st.sampled_from(JWK_MEMBERS), odd_values, max_size=3),
    claims=st.dictionaries(st.sampled_from(CLAIMS), odd_values, max_size=3),
)
def test_several_at_once(
    algorithm: str, header: dict[str, Any], jwk: dict[str, Any], claims: dict[str, Any]
) -> None:
    key = KEYS[algorithm]
    outcome(signed(key, {"jwk": {**key.as_dict(), **jwk}, **header}, claims))


@given(
    algorithm=st.sampled_from([*ML_DSA]),
    public=st.binary(max_size=64),
    signature=st.binary(max_size=64),
    keep=st.booleans(),
)
def test_any_key_and_any_signature(
    algorithm: str, public: bytes, signature: bytes, keep: bool
) -> None:
    sizes = ML_DSA[algorithm]
    if keep:
        public = (public or b"\0") * sizes.public_key
        public = public[: sizes.public_key]
        signature = (signature or b"\0") * sizes.signature
        signature = signature[: sizes.signature]
    jwk = {"kty": "AKP", "alg": algorithm, "pub": b64url_encode(public)}
    header = json_segment({"typ": "dpop+jwt", "alg": algorithm, "jwk": jwk})
    proof = f"{header}.{json_segment({})}.{b64url_encode(signature)}"
    assert outcome(proof) != "accepted"


@given(
    head=st.sampled_from([json_segment({"alg": name}) for name in ML_DSA]),
    text=st.text(BASE64URL + "...", max_size=80),
)
def test_any_text_behind_a_header(head: str, text: str) -> None:
    assert outcome(f"{head}.{text}") != "accepted"
