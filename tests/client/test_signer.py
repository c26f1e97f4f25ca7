from __future__ import annotations

import copy
import logging
import pickle
from typing import Any

import pytest
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from dpop_ext.client.keyfile import load_key, save_key
from dpop_ext.client.proof_maker import ProofMaker
from dpop_ext.client.signer import ProofSigner
from dpop_ext.core.key import ALGORITHMS
from dpop_ext.errors import UnsupportedKeyError
from tests.client.conftest import Fetch
from tests.client.driving import TOKEN_ENDPOINT, drive


@pytest.mark.requirement("X-1", "X-25")
def test_the_thumbprint_is_that_of_the_key(ec_key: ECKey) -> None:
    signer = ProofSigner(ec_key)
    assert signer.jkt == ec_key.thumbprint()
    assert len(signer.jkt) == 43


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512", "Ed25519", "EdDSA"])
def test_a_new_key_fits_the_algorithm(algorithm: str) -> None:
    signer = ProofSigner.generate(algorithm)
    flow = signer.token_request(method="POST", url=TOKEN_ENDPOINT)
    (proof,) = drive(flow).proofs
    assert proof.header["alg"] == signer.algorithm == algorithm
    jwk = proof.header["jwk"]
    assert (jwk["kty"], jwk["crv"]) == ALGORITHMS[algorithm]


def test_a_new_rsa_key_has_3072_bits() -> None:
    signer = ProofSigner.generate("PS256")
    flow = signer.token_request(method="POST", url=TOKEN_ENDPOINT)
    (proof,) = drive(flow).proofs
    assert proof.header["alg"] == "PS256"
    assert len(proof.header["jwk"]["n"]) == 3072 // 6


@pytest.mark.parametrize(
    ("name", "algorithm"),
    [("ec_key", "ES256"), ("ed_key", "Ed25519"), ("rsa_key", "PS256")],
)
def test_each_kind_of_key_has_its_usual_algorithm(
    name: str, algorithm: str, request: pytest.FixtureRequest
) -> None:
    assert ProofSigner(request.getfixturevalue(name)).algorithm == algorithm


def test_another_algorithm_that_fits_may_be_chosen(rsa_key: RSAKey) -> None:
    assert ProofSigner(rsa_key, algorithm="RS256").algorithm == "RS256"


@pytest.mark.requirement("S-2")
@pytest.mark.parametrize("algorithm", ["ES384", "PS256", "HS256", "none", "ES256K"])
def test_an_algorithm_that_does_not_fit_the_key_is_refused(
    ec_key: ECKey, algorithm: str
) -> None:
    with pytest.raises(ValueError, match="key"):
        ProofSigner(ec_key, algorithm=algorithm)


@pytest.mark.requirement("S-2")
@pytest.mark.parametrize("algorithm", ["HS256", "none", "", "ES256K"])
def test_no_key_is_made_for_what_is_no_signature_algorithm(algorithm: str) -> None:
    with pytest.raises(ValueError, match="algorithm"):
        ProofSigner.generate(algorithm)


@pytest.mark.filterwarnings("ignore:.*key size.*")
def test_keys_that_no_server_accepts_are_refused(ec_key: ECKey) -> None:
    keys: list[Key] = [
        ECKey.import_key(ec_key.as_dict(private=False)),
        OctKey.generate_key(256),
        OKPKey.generate_key("X25519"),
        ECKey.generate_key("secp256k1"),
        RSAKey.generate_key(1024),
        ECKey.import_key({**ec_key.as_dict(private=True), "use": "enc"}),
    ]
    for key in keys:
        with pytest.raises(ValueError, match="key"):
            ProofSigner(key)


def test_an_unknown_mode_is_refused(ec_key: ECKey) -> None:
    mode: Any = "always"
    with pytest.raises(ValueError, match="symmetric"):
        ProofSigner(ec_key, symmetric=mode)


@pytest.mark.requirement("T-13", "U-15")
def test_a_public_client_goes_on_with_its_key_after_a_restart(
    tmp_path: Any, ec_key: ECKey
) -> None:
    before = ProofSigner(ec_key)
    save_key(tmp_path / "key", ec_key)
    assert ProofSigner(load_key(tmp_path / "key")).jkt == before.jkt


@pytest.mark.requirement("X-20", "T20")
def test_a_signer_shows_and_pickles_no_key(
    signer: ProofSigner, fetch: Fetch, ec_key: ECKey, caplog: pytest.LogCaptureFixture
) -> None:
    secret = str(ec_key.as_dict(private=True)["d"])
    with caplog.at_level(logging.DEBUG):
        fetch()
    assert secret not in caplog.text
    maker = ProofMaker(ec_key, algorithm=None, clock=lambda: 0)
    for value in (signer, maker, signer.token_request(method="POST", url="https://a")):
        assert secret not in repr(value)
        assert secret not in str(getattr(value, "__dict__", ""))
        with pytest.raises(TypeError):
            pickle.dumps(value)
        with pytest.raises(TypeError):
            copy.deepcopy(value)
    assert repr(signer) == f"<ProofSigner ES256 {signer.jkt}>"


@pytest.mark.requirement("M-2")
@pytest.mark.parametrize(
    ("supported", "chosen"),
    [
        (None, "ES256"),
        (["PS256", "ES256"], "ES256"),
        (["PS256", "EdDSA"], "EdDSA"),
        (["none", "HS256", "RS256"], "RS256"),
    ],
)
def test_a_new_key_is_for_an_algorithm_that_the_server_supports(
    supported: list[str] | None, chosen: str
) -> None:
    assert ProofSigner.generate(supported=supported).algorithm == chosen


@pytest.mark.requirement("M-2")
@pytest.mark.parametrize("supported", [[], ["none", "HS256", "ES256K"]])
def test_without_a_common_algorithm_there_is_no_signer(supported: list[str]) -> None:
    with pytest.raises(UnsupportedKeyError):
        ProofSigner.generate(supported=supported)


@pytest.mark.requirement("M-2", "R1706")
def test_an_algorithm_that_was_named_is_not_replaced_by_another() -> None:
    with pytest.raises(UnsupportedKeyError):
        ProofSigner.generate("PS256", supported=["ES256"])
