"""Post-quantum proof keys: the AKP key type and ML-DSA, RFC 9964."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.backends.openssl.backend import backend
from joserfc.errors import InvalidKeyTypeError
from joserfc.jwk import ECKey, JWKRegistry
from joserfc.jws import JWSRegistry

from dpop_ext.core import ml_dsa
from dpop_ext.core.akp import AKPKey, AnyKey
from dpop_ext.core.base64url import b64url_decode, b64url_encode
from dpop_ext.core.jose import json_segment
from dpop_ext.core.ml_dsa import ML_DSA
from dpop_ext.core.policy import RFC9449, ProofPolicy
from dpop_ext.core.proof import SignedProof, parse_proof, verify_proof
from dpop_ext.core.proof_making import make_proof, proof_signing_input, sign_proof
from dpop_ext.errors import (
    BadSignatureError,
    MalformedProofError,
    ProofError,
    UnsupportedKeyError,
)
from tests import post_quantum
from tests.core.proofs import NOW, TOKEN, URL

post_quantum.require()

POLICY = ProofPolicy(algorithms=("ES256", *ML_DSA))
#: RFC 9964, appendix A: the keys whose seed is 32 zeros.
EXAMPLES = json.loads(Path(__file__).with_name("rfc9964.json").read_text())


@pytest.fixture(scope="module", params=ML_DSA)
def key(request: pytest.FixtureRequest) -> AKPKey:
    return ml_dsa.generate(request.param)


def make(key: AnyKey, **changes: Any) -> str:
    values: dict[str, Any] = {
        "algorithm": key.alg,
        "method": "GET",
        "url": URL,
        "now": NOW,
        "access_token": TOKEN,
    }
    return make_proof(key, **(values | changes))


def with_header(key: AnyKey, header: str, *, algorithm: str) -> str:
    """A proof by *key* with this header, encoded."""
    signing_input = proof_signing_input(
        header, method="GET", url=URL, now=NOW, access_token=TOKEN
    )
    return sign_proof(signing_input, key, algorithm=algorithm)


def verify(proof: str, policy: ProofPolicy = POLICY) -> SignedProof:
    length = policy.max_ml_dsa_length if policy.has_ml_dsa else 0
    jws = parse_proof(proof, max_length=policy.max_length, max_ml_dsa_length=length)
    return verify_proof(jws, method="GET", url=URL, policy=policy, access_token=TOKEN)


def with_jwk(key: AKPKey, **members: Any) -> str:
    """A proof that is signed after its ``jwk`` was changed; None takes one away."""
    jwk = {k: v for k, v in {**key.as_dict(), **members}.items() if v is not None}
    header = {"typ": "dpop+jwt", "alg": key.alg, "jwk": jwk}
    return with_header(key, json_segment(header), algorithm=key.alg)


def zero_key(algorithm: str) -> AKPKey:
    private, public = b64url_encode(bytes(32)), ML_DSA[algorithm].public_key
    jwk = {"kty": "AKP", "alg": algorithm, "priv": private}
    with pytest.raises(ValueError, match="another one's"):
        ml_dsa.import_private({**jwk, "pub": b64url_encode(bytes(public))})
    pair = ml_dsa._key_pair(algorithm, bytes(32))
    return ml_dsa.import_private(pair.as_dict(private=True))


@pytest.mark.requirement("R2301", "B-3")
@pytest.mark.parametrize(("algorithm", "thumbprint"), EXAMPLES["thumbprints"].items())
def test_keys_and_thumbprints_are_those_of_the_rfc(
    algorithm: str, thumbprint: str
) -> None:
    key = zero_key(algorithm)
    assert key.thumbprint() == thumbprint
    assert key.as_dict(private=True)["priv"] == "A" * 43


@pytest.mark.requirement("R2301")
def test_the_signature_of_the_rfc_verifies() -> None:
    check = ml_dsa.signature_check(zero_key("ML-DSA-44"))
    head, _, encoded = EXAMPLES["ML-DSA-44"].rpartition(".")
    signature = b64url_decode(encoded)
    assert check(head.encode(), signature) is True
    assert check(head.encode(), signature + b"\0") is False
    with pytest.raises(InvalidSignature):
        check(head.encode() + b"x", signature)


@pytest.mark.requirement("R2301", "S-3", "C-6")
def test_a_proof_is_made_and_verified(key: AKPKey) -> None:
    proof = make(key)
    signed = verify(proof)
    assert signed.algorithm == key.alg
    assert signed.jkt == key.thumbprint()
    assert dict(signed.jwk) == {
        "kty": "AKP",
        "alg": key.alg,
        "pub": b64url_encode(key.public),
    }
    assert len(b64url_decode(proof.split(".")[2])) == ML_DSA[key.alg].signature


@pytest.mark.requirement("R2302", "C-5")
def test_only_a_policy_that_names_an_algorithm_accepts_it(key: AKPKey) -> None:
    proof = make(key)
    others = tuple(name for name in ML_DSA if name != key.alg)
    assert verify(proof, ProofPolicy(algorithms=(key.alg,))).jkt == key.thumbprint()
    for policy in (RFC9449, ProofPolicy(algorithms=others)):
        with pytest.raises(ProofError):
            verify(proof, policy)
    # Its length is not the reason.
    jws = parse_proof(proof, max_length=20_000, max_ml_dsa_length=20_000)
    with pytest.raises(UnsupportedKeyError):
        verify_proof(jws, method="GET", url=URL, policy=RFC9449)


@pytest.mark.requirement("R2301", "C-5b", "C-5c", "C-7")
@pytest.mark.parametrize(
    "members",
    [
        {"alg": None},
        {"alg": "ES256"},
        {"alg": "ML-DSA"},
        {"kty": "OKP"},
        {"kty": None},
        {"pub": None},
        {"pub": ""},
        {"pub": 1},
        {"pub": ["A"]},
        {"pub": "A" * 1747},
        {"use": "enc"},
        {"key_ops": ["sign"]},
        {"priv": "A" * 43},
        {"d": 0},
    ],
    ids=str,
)
def test_a_key_that_is_not_one_for_the_algorithm_is_refused(
    key: AKPKey, members: dict[str, Any]
) -> None:
    assert verify(with_jwk(key, use="sig", kid="a")).jkt == key.thumbprint()
    with pytest.raises(UnsupportedKeyError):
        verify(with_jwk(key, **members))


@pytest.mark.requirement("R2301")
def test_a_key_of_another_length_is_refused(key: AKPKey) -> None:
    for public in (key.public[:-1], key.public + b"\0"):
        with pytest.raises(UnsupportedKeyError):
            verify(with_jwk(key, pub=b64url_encode(public)))


@pytest.mark.requirement("R2301")
def test_a_key_of_another_algorithm_is_refused(key: AKPKey) -> None:
    # Header and key agree with each other in all but the length of the key.
    for name in ML_DSA:
        if name == key.alg:
            continue
        jwk = key.as_dict() | {"alg": name}
        header = json_segment({"typ": "dpop+jwt", "alg": name, "jwk": jwk})
        with pytest.raises(UnsupportedKeyError):
            verify(with_header(key, header, algorithm=key.alg))
        header = json_segment({"typ": "dpop+jwt", "alg": name, "jwk": key.as_dict()})
        with pytest.raises(UnsupportedKeyError):
            verify(with_header(key, header, algorithm=key.alg))


def test_an_akp_key_is_none_for_another_algorithm(key: AKPKey, ec_key: ECKey) -> None:
    header = json_segment({"typ": "dpop+jwt", "alg": "ES256", "jwk": key.as_dict()})
    with pytest.raises(ProofError):
        verify(with_header(key, header, algorithm=key.alg))
    with pytest.raises(ValueError, match="does not fit"):
        make(key, algorithm="ES256")
    public = ec_key.as_dict(private=False)
    header = json_segment({"typ": "dpop+jwt", "alg": key.alg, "jwk": public})
    with pytest.raises(ProofError):
        verify(with_header(key, header, algorithm=key.alg))


@pytest.mark.requirement("R2301", "C-6")
@pytest.mark.parametrize("place", [0, 0.5, 0.999999])
def test_a_changed_signature_is_refused(key: AKPKey, place: float) -> None:
    head, _, encoded = make(key).rpartition(".")
    signature = bytearray(b64url_decode(encoded))
    signature[int(place * len(signature))] ^= 1
    with pytest.raises(BadSignatureError):
        verify(f"{head}.{b64url_encode(bytes(signature))}")


@pytest.mark.parametrize("length", [-1, 1, 64])
def test_a_signature_of_another_length_is_refused(key: AKPKey, length: int) -> None:
    head, _, encoded = make(key).rpartition(".")
    signature = b64url_decode(encoded)
    signature = signature[:length] if length < 0 else signature + bytes(length)
    with pytest.raises(BadSignatureError):
        verify(f"{head}.{b64url_encode(signature)}")


@pytest.mark.requirement("R2301")
def test_a_signature_with_a_context_is_refused() -> None:
    key = ml_dsa.generate("ML-DSA-44")
    head, _, _ = make(key).rpartition(".")
    private = ml_dsa._private_key(key.alg, key.seed or b"")
    for context in (b"\0", b"dpop+jwt"):
        signature = private.sign(head.encode(), context)
        with pytest.raises(BadSignatureError):
            verify(f"{head}.{b64url_encode(signature)}")


@pytest.mark.requirement("R2303")
def test_other_proofs_keep_their_limits(ec_key: ECKey) -> None:
    long = make(ec_key, algorithm="ES256", claims={"x": "a" * 6000})
    assert 8192 < len(long) < POLICY.max_ml_dsa_length
    with pytest.raises(MalformedProofError):
        verify(long)
    public = ec_key.as_dict(private=False) | {"x5c": ["a" * 2000]}
    header = json_segment({"typ": "dpop+jwt", "alg": "ES256", "jwk": public})
    assert 2048 < len(header) < 6144
    with pytest.raises(MalformedProofError):
        verify(with_header(ec_key, header, algorithm="ES256"))


@pytest.mark.requirement("R2303")
def test_proofs_and_headers_beyond_the_limits_are_refused() -> None:
    key = ml_dsa.generate("ML-DSA-87")
    space = POLICY.max_ml_dsa_length - len(make(key))
    claims = {"x": "a" * (space * 3 // 4 - 8)}
    assert 0 <= POLICY.max_ml_dsa_length - len(make(key, claims=claims)) < 8
    assert verify(make(key, claims=claims)).jkt == key.thumbprint()
    with pytest.raises(MalformedProofError):
        verify(make(key, claims={"x": claims["x"] + "a" * 8}))
    long_header = with_jwk(ml_dsa.generate("ML-DSA-44"), x="a" * 3000)
    assert len(long_header) < POLICY.max_ml_dsa_length
    with pytest.raises(MalformedProofError):
        verify(long_header)


@pytest.mark.requirement("R2303")
def test_no_limit_is_raised_for_a_policy_without_ml_dsa() -> None:
    assert not RFC9449.has_ml_dsa
    with pytest.raises(MalformedProofError):
        verify(make(ml_dsa.generate("ML-DSA-44")), RFC9449)


def test_nothing_is_registered_in_the_library(key: AKPKey) -> None:
    assert not any(name in JWSRegistry.algorithms for name in ML_DSA)
    with pytest.raises(InvalidKeyTypeError):
        JWKRegistry.import_key(dict(key.as_dict()))


def test_a_key_does_not_show_its_seed(key: AKPKey) -> None:
    seed = key.as_dict(private=True)["priv"]
    assert seed not in repr(key) + str(key.as_dict())
    assert repr(key.seed) not in repr(key)
    with pytest.raises(TypeError):
        pickle.dumps(key)


@pytest.mark.parametrize("member", ["priv", "pub", "alg"])
@pytest.mark.parametrize("value", [None, "", "AA", 1, "A" * 44, ["A" * 43]])
def test_a_broken_key_pair_is_not_imported(
    key: AKPKey, member: str, value: object
) -> None:
    jwk: dict[str, Any] = dict(key.as_dict(private=True))
    with pytest.raises(ValueError, match=r"not|another one"):
        ml_dsa.import_private(jwk | {member: value})
    assert ml_dsa.import_private(jwk).as_dict(private=True) == jwk


def test_a_public_key_signs_nothing(key: AKPKey) -> None:
    public = AKPKey(alg=key.alg, public=key.public)
    with pytest.raises(ValueError, match="private"):
        make(public)
    with pytest.raises(ValueError, match="private"):
        public.as_dict(private=True)


@pytest.mark.requirement("R2302")
def test_without_support_the_reason_is_said_early(
    key: AKPKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(backend), "mldsa_supported", lambda _: False)
    assert not ml_dsa.is_supported()
    for attempt in (
        lambda: ProofPolicy(algorithms=("ML-DSA-65",)),
        lambda: ml_dsa.generate("ML-DSA-65"),
        lambda: make(key),
        lambda: ml_dsa.import_private(key.as_dict(private=True)),
    ):
        with pytest.raises(ValueError, match="cryptography 48 or newer"):
            attempt()
    # An older version does not even have the question.
    monkeypatch.delattr(type(backend), "mldsa_supported")
    assert not ml_dsa.is_supported()


def test_an_unknown_algorithm_is_named_in_no_policy() -> None:
    with pytest.raises(ValueError, match="ML-DSA-87"):
        ProofPolicy(algorithms=("ML-DSA-66",))
    assert "has_ml_dsa" not in repr(POLICY)
    assert json.dumps(POLICY.algorithms).count("ML-DSA") == 3


@pytest.mark.requirement("R2303")
def test_no_signature_is_verified_for_what_is_refused_anyway(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = ml_dsa.generate("ML-DSA-87")
    proof = make(key)
    head, _, _ = proof.rpartition(".")
    verified = []

    class Native:
        def verify(self, signature: bytes, _message: bytes) -> None:
            verified.append(len(signature))

    monkeypatch.setattr(ml_dsa, "_public_key", lambda _: Native())
    refused = [
        make(key, claims={"x": "a" * 4000}),
        with_jwk(key, x="a" * 2000),
        with_jwk(key, pub=b64url_encode(key.public[:-1])),
        with_jwk(key, alg="ML-DSA-65"),
        with_jwk(key, priv="A" * 43),
        with_header(
            key, json_segment({"typ": "JWT", "alg": key.alg}), algorithm=key.alg
        ),
        f"{head}.{b64url_encode(bytes(4626))}",
        f"{head}.{b64url_encode(bytes(4628))}",
        f"{head}.AAAA",
    ]
    for each in refused:
        with pytest.raises(ProofError):
            verify(each)
    assert verified == []
    verify(proof)
    assert verified == [4627]
