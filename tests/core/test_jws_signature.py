"""What is prepared for the signature checks of a library is what it would make."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import example, given
from hypothesis import strategies as st
from joserfc.jwk import ECKey

from dpop_ext.core.base64url import b64url_decode
from dpop_ext.core.jws_signature import (
    _der_signature,
    check_signature,
    sign_segments,
    signature_check,
)
from dpop_ext.core.policy import RFC9449, ProofPolicy
from dpop_ext.core.proof import parse_proof, verify_proof
from dpop_ext.core.proof_header import KnownHeaders, find_header
from dpop_ext.core.proof_making import make_proof
from dpop_ext.core.recent import Recent
from dpop_ext.errors import BadSignatureError, UnsupportedKeyError

URL = "https://api.example.com/"
NUMBERS = st.integers(0, 2**256 - 1) | st.integers(0, 255).flatmap(
    lambda bit: st.sampled_from([0, 1 << bit, (1 << bit) - 1])
)


@given(NUMBERS, NUMBERS)
@example(0, 0)
@example(127, 128)
@example(2**255, 2**255 - 1)
def test_the_numbers_of_a_signature_are_written_as_the_library_writes_them(
    r: int, s: int
) -> None:
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")

    assert _der_signature(signature) == encode_dss_signature(r, s)


def test_a_header_seen_before_is_no_way_around_the_policy(ec_key: Any) -> None:
    known: KnownHeaders = Recent(8)
    proof = make_proof(ec_key, algorithm="ES256", method="GET", url=URL, now=1)

    def verify(policy: ProofPolicy) -> None:
        header = find_header(known, proof)
        jws = parse_proof(proof, max_length=8192, header=header)
        request: dict[str, Any] = {"method": "GET", "url": URL, "known": known}
        verify_proof(jws, policy=policy, header=header, **request)

    verify(RFC9449)
    verify(RFC9449)
    assert len(known) == 1
    with pytest.raises(UnsupportedKeyError):
        verify(ProofPolicy(algorithms=("Ed25519",)))


def test_an_es256_signature_has_one_length(ec_key: ECKey) -> None:
    """Trap: a zero before the second number leaves both numbers what they are."""
    check = signature_check(ec_key, algorithm="ES256")
    text = sign_segments("a.b", ec_key, algorithm="ES256")
    signature = b64url_decode(text.rpartition(".")[2])
    check_signature(check, b"a.b", signature)
    for other in (
        signature[:32] + b"\0" + signature[32:],
        b"\0" + signature,
        signature + b"\0",
        signature[:-1],
        b"",
    ):
        with pytest.raises(BadSignatureError):
            check_signature(check, b"a.b", other)
