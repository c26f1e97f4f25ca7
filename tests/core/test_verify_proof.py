"""A server accepts a proof for this request, by an allowed key, and no other."""

from __future__ import annotations

import json
from typing import Any

import pytest
from joserfc.jwk import ECKey

from dpop_ext.core.base64url import b64url_decode, b64url_encode
from dpop_ext.core.key import thumbprint
from dpop_ext.core.policy import ProofPolicy
from dpop_ext.core.proof import parse_proof, proof_type
from dpop_ext.core.request_binding import access_token_hash
from dpop_ext.errors import (
    BadSignatureError,
    MalformedProofError,
    ProofError,
    TargetMismatchError,
    TokenMismatchError,
    UnsupportedKeyError,
)
from tests.core.proofs import NOW, TOKEN, by_hand, make, verify


def test_nothing_is_wrong_with_the_proof_made_by_hand(ec_key: ECKey) -> None:
    assert verify(by_hand(ec_key, {}, {})).jkt == thumbprint(ec_key)


@pytest.mark.requirement("S-12", "X-23")
def test_unknown_members_are_ignored(ec_key: ECKey) -> None:
    header = {"kid": "a", "x5c": ["?"], "jku": "https://evil", "new": [1]}

    proof = by_hand(ec_key, header, {"sub": "a", "aud": 5, "new": {}})

    assert verify(proof).jkt == thumbprint(ec_key)


@pytest.mark.requirement("S-11", "S-12")
@pytest.mark.parametrize("ath", ["x", access_token_hash("other"), 5, [], "é"])
def test_an_authorization_server_ignores_ath(ath: object, ec_key: ECKey) -> None:
    proof = by_hand(ec_key, {}, {"ath": ath})

    assert verify(proof, access_token=None).jkt == thumbprint(ec_key)
    with pytest.raises(TokenMismatchError):
        verify(proof)


@pytest.mark.requirement("C-12a", "S-9", "X-24")
def test_the_hash_is_of_the_token_that_was_sent(ec_key: ECKey) -> None:
    with pytest.raises(TokenMismatchError):
        verify(make(ec_key), access_token=TOKEN + "x")
    with pytest.raises(TokenMismatchError):
        verify(make(ec_key, access_token=None))
    with pytest.raises(TokenMismatchError):
        verify(make(ec_key), access_token="")


@pytest.mark.requirement("C-12a", "X-25")
def test_known_answer_of_the_hash() -> None:
    assert access_token_hash(TOKEN) == "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"


@pytest.mark.requirement("C-8", "C-9")
def test_method_and_target_are_those_of_the_request(ec_key: ECKey) -> None:
    proof = make(ec_key)
    for request in (
        {"method": "HEAD"},
        {"method": "get"},
        {"url": "https://api.example.com/accounts/"},
        {"url": "http://api.example.com/accounts"},
        {"url": "/accounts"},
        {"url": "https://api.example.com/accounts\u00e9"},
    ):
        with pytest.raises(TargetMismatchError):
            verify(proof, **request)
    same = verify(proof, url="https://API.example.com:443/a/../accounts#f")
    assert same.claims["htm"] == "GET"


@pytest.mark.requirement("C-5")
def test_the_policy_names_the_algorithms(ec_key: ECKey) -> None:
    with pytest.raises(UnsupportedKeyError):
        verify(make(ec_key), policy=ProofPolicy(algorithms=("Ed25519",)))


@pytest.mark.requirement("X-16")
def test_the_policy_limits_jti(ec_key: ECKey) -> None:
    assert verify(make(ec_key, jti="x" * 256)).jti == "x" * 256
    for jti in ("x" * 257, "x" * 6000, ""):
        with pytest.raises(MalformedProofError):
            verify(make(ec_key, jti=jti))


@pytest.mark.requirement("C-4", "X-21")
def test_the_type_is_compared_exactly(ec_key: ECKey) -> None:
    others: list[Any] = ["JWT", "at+jwt", "DPoP+JWT", "application/dpop+jwt", ""]
    for typ in [*others, 5, [], None]:
        proof = by_hand(ec_key, {"typ": typ}, {})
        assert proof_type(parse_proof(proof, max_length=8192)) == (
            typ if isinstance(typ, str) else ""
        )
        with pytest.raises(MalformedProofError):
            verify(proof)


@pytest.mark.requirement("S-13")
@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
def test_times_are_numbers(name: str, ec_key: ECKey) -> None:
    good = verify(by_hand(ec_key, {}, {name: NOW + 0.5}))
    assert getattr(good, name) == NOW + 0.5

    odd: list[Any] = [True, False, "1", [], {}]
    for value in odd:
        with pytest.raises(MalformedProofError):
            verify(by_hand(ec_key, {}, {name: value}))


@pytest.mark.parametrize("nonce", [None, "", 5, [], {}, True, "n"])
def test_the_nonce_is_handed_on_as_it_is(nonce: object, ec_key: ECKey) -> None:
    assert verify(by_hand(ec_key, {}, {"nonce": nonce})).nonce == nonce


@pytest.mark.requirement("C-13", "U-29")
def test_faults_are_found_in_this_order(ec_key: ECKey, other_ec_key: ECKey) -> None:
    """A proof with all of them names the first; without that one, the next."""
    faults: list[tuple[type[ProofError], dict[str, Any], dict[str, Any]]] = [
        (MalformedProofError, {"typ": "JWT"}, {}),
        (UnsupportedKeyError, {"alg": "ES384"}, {}),
        (UnsupportedKeyError, {"jwk": ec_key.as_dict(private=True)}, {}),
        (BadSignatureError, {"jwk": other_ec_key.as_dict(private=False)}, {}),
        (MalformedProofError, {}, {"jti": ""}),
        (TargetMismatchError, {}, {"htm": "POST"}),
        (TargetMismatchError, {}, {"htu": "https://evil/"}),
        (TokenMismatchError, {}, {"ath": "x"}),
    ]
    for index, (expected, _, _) in enumerate(faults):
        header: dict[str, Any] = {}
        claims: dict[str, Any] = {}
        for _, more_header, more_claims in reversed(faults[index:]):
            header |= more_header
            claims |= more_claims
        with pytest.raises(expected) as refusal:
            verify(_sign_anyway(ec_key, header, claims))
        assert type(refusal.value) is expected


def test_a_missing_claim_is_found_before_a_wrong_one(ec_key: ECKey) -> None:
    with pytest.raises(MalformedProofError):
        verify(by_hand(ec_key, {}, {"htm": "POST", "htu": None, "ath": "x"}))
    with pytest.raises(MalformedProofError):
        verify(by_hand(ec_key, {}, {"htm": "POST", "exp": "x"}))


@pytest.mark.requirement("P-17")
def test_an_unexpected_exception_is_a_malformed_proof(ec_key: ECKey) -> None:
    with pytest.raises(MalformedProofError) as refusal:
        verify(make(ec_key), policy=object())
    assert isinstance(refusal.value.__cause__, AttributeError)
    no_text: Any = None
    with pytest.raises(MalformedProofError):
        parse_proof(no_text, max_length=8192)


@pytest.mark.requirement("C-1", "C-2", "H-3", "H-4")
@pytest.mark.parametrize("suffix", [",", ", ", " ", "\t", "=", "\n", ".", "é", "\0"])
def test_one_proof_and_nothing_else(suffix: str, ec_key: ECKey) -> None:
    proof = make(ec_key)
    for text in (
        proof + suffix,
        suffix + proof,
        proof + suffix + proof,
        "",
        suffix,
    ):
        with pytest.raises(MalformedProofError):
            parse_proof(text, max_length=8192)


def test_a_proof_may_have_its_maximum_length(ec_key: ECKey) -> None:
    proof = make(ec_key)

    assert parse_proof(proof, max_length=len(proof)).payload["htm"] == "GET"
    with pytest.raises(MalformedProofError):
        parse_proof(proof, max_length=len(proof) - 1)


def test_claims_do_not_show(ec_key: ECKey) -> None:
    proof = verify(make(ec_key, claims={"extra": "hidden"}))

    assert "hidden" not in repr(proof)


@pytest.mark.requirement("C-6")
def test_the_other_signature_of_the_same_proof_is_the_same_proof(ec_key: ECKey) -> None:
    """Whoever remembers used proofs must do it by key and jti, not by the text."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    proof = make(ec_key, jti="once")
    signed, _, signature = proof.rpartition(".")
    raw = b64url_decode(signature)
    s = order - int.from_bytes(raw[32:])
    other = f"{signed}.{b64url_encode(raw[:32] + s.to_bytes(32))}"

    assert other != proof
    assert (verify(other).jkt, verify(other).jti) == (thumbprint(ec_key), "once")


def _sign_anyway(key: ECKey, header: dict[str, Any], claims: dict[str, Any]) -> str:
    """Put a header before a signature that was made for another one."""
    good = by_hand(key, {}, claims)
    if not header:
        return good
    full = {"typ": "dpop+jwt", "alg": "ES256", "jwk": key.as_dict(private=False)}
    _, payload, signature = good.split(".")
    return f"{b64url_encode(json.dumps(full | header).encode())}.{payload}.{signature}"
