"""Claims in the usual form are read as the strict parser reads them, or not at all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OKPKey

from dpop_ext.core.base64url import b64url_decode
from dpop_ext.core.proof_making import make_proof
from dpop_ext.core.strict_json import parse_json_object
from dpop_ext.core.usual_claims import read_asking_claims, read_usual_claims
from dpop_ext.symmetric.key_request import (
    key_request_claim,
    parse_key_request,
    usual_key_request,
)

ASKING = (
    f'{{"dsk":{{"algs":["HS256"],"jwk":{{"crv":"X25519","x":"{"A" * 43}","kty":"OKP"}},'
    '"kalgs":["ECDH-ES"],"encs":["A256GCM"]},"jti":"a-b_c","htm":"POST",'
    '"htu":"https://as.example.com/token","iat":1790000000,"nonce":"n"}'
)
PIECES = ["{", "}", "[", "]", '"', ",", ":", "\\", "\\u0041", "\0", " ", "\n", "A", "é"]


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"key_algorithms": ("ECDH-ES",)},
        {"encodings": ("A256GCM",)},
        {"key_algorithms": ("ECDH-ES+A256KW",), "encodings": ("A128GCM",)},
    ],
)
@pytest.mark.parametrize("nonce", [None, "nonce"])
def test_a_token_request_of_this_package_is_in_the_usual_form(
    ec_key: ECKey, asked: dict[str, Any], nonce: str | None
) -> None:
    claim = key_request_claim(
        algorithms=("HS256",), encryption_key=OKPKey.generate_key("X25519"), **asked
    )
    proof = make_proof(
        ec_key,
        algorithm="ES256",
        method="POST",
        url="https://as.example.com/token",
        now=1_790_000_000,
        nonce=nonce,
        claims={"dsk": claim},
    )
    raw = b64url_decode(proof.split(".")[1])
    usual = read_usual_claims(raw)
    assert usual is not None
    assert usual["dsk"] == claim
    assert list(usual.items()) == list(parse_json_object(raw).items())
    asking = read_asking_claims(raw)
    assert asking is not None
    assert asking[0] == usual
    request = usual_key_request(claim["jwk"], asking[1])
    assert request == parse_key_request(claim, None)


@pytest.mark.requirement("S-8", "J-13")
@given(
    st.integers(0, len(ASKING)),
    st.integers(0, 20),
    st.sampled_from(PIECES) | st.text(max_size=3),
)
def test_claims_with_a_change_are_read_in_one_way(
    start: int, length: int, new: str
) -> None:
    text = ASKING[:start] + new + ASKING[start + length :]
    raw = text.encode("utf-8", "surrogatepass")
    usual = read_usual_claims(raw)
    if usual is not None:
        assert usual == parse_json_object(raw)


@pytest.mark.requirement("S-8", "J-13")
@pytest.mark.parametrize(
    ("piece", "new"),
    [
        ('"algs":["HS256"]', '"algs":["HS256"],"algs":["HS512"]'),
        ('"algs":["HS256"]', '"algs":["HS256"],"must":true'),
        ('"algs":["HS256"]', '"algs":["HS256","HS512"]'),
        ('"algs":["HS256"]', '"algs":[]'),
        ('"crv":"X25519"', '"crv":"X25519","d":"AAAA"'),
        ('"jti"', '"dsk":{},"jti"'),
        ("}", "}}"),
    ],
)
def test_any_other_form_is_left_to_the_parser(piece: str, new: str) -> None:
    assert read_usual_claims(ASKING.encode()) is not None
    assert read_usual_claims(ASKING.replace(piece, new, 1).encode()) is None
