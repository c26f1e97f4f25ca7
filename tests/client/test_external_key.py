from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc.jwk import ECKey, Key

from dpop_ext.client import ExternalKey, ProofSigner
from dpop_ext.core.base64url import b64url_decode
from dpop_ext.core.jws_signature import sign_segments
from dpop_ext.core.key import ALGORITHMS, thumbprint
from dpop_ext.core.policy import RFC9449
from dpop_ext.core.proof import parse_proof, verify_proof
from tests.client.driving import OK, TOKEN_ENDPOINT, drive
from tests.conftest import Clock

URL = "https://api.example/accounts"


@dataclass
class Vault:
    """A private key that can be asked to sign, and for nothing else."""

    _key: Key
    algorithm: str
    signed: int = 0

    @property
    def public_jwk(self) -> Mapping[str, Any]:
        return self._key.as_dict(private=False)

    def sign(self, signing_input: bytes) -> bytes:
        self.signed += 1
        jws = sign_segments(signing_input.decode(), self._key, algorithm=self.algorithm)
        return b64url_decode(jws.rpartition(".")[2])


class DERVault(Vault):
    """What a KMS returns when it is asked for ECDSA."""

    def sign(self, signing_input: bytes) -> bytes:
        private: Any = self._key.get_op_key("sign")
        signature: bytes = private.sign(signing_input, ec.ECDSA(hashes.SHA256()))
        return signature


@pytest.mark.requirement("P-1", "S-9", "U-30")
@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_a_key_that_only_signs_makes_the_proofs_of_a_client(
    keys: dict[str, Key], clock: Clock, algorithm: str
) -> None:
    vault = Vault(keys[algorithm], algorithm)
    signer = ProofSigner(vault, clock=clock)
    flow = signer.resource_request(method="GET", url=URL, access_token="access")
    (headers,) = drive(flow, OK).headers
    proof = verify_proof(
        parse_proof(headers["DPoP"], max_length=RFC9449.max_length),
        method="GET",
        url=URL,
        policy=replace(RFC9449, algorithms=tuple(ALGORITHMS)),
        access_token="access",
    )
    assert signer.algorithm == algorithm
    assert proof.jkt == signer.jkt == thumbprint(keys[algorithm])
    assert (proof.iat, vault.signed) == (clock.now, 1)


def test_it_makes_the_proofs_of_token_requests_too(ec_key: ECKey, clock: Clock) -> None:
    signer = ProofSigner(Vault(ec_key, "ES256"), clock=clock)
    flow = signer.token_request(method="POST", url=TOKEN_ENDPOINT)
    (headers,) = drive(flow).headers
    parsed = parse_proof(headers["DPoP"], max_length=RFC9449.max_length)
    proof = verify_proof(parsed, method="POST", url=TOKEN_ENDPOINT, policy=RFC9449)
    assert proof.jkt == signer.jkt


def test_a_proof_never_has_the_private_members_of_a_careless_key(
    ec_key: ECKey, clock: Clock
) -> None:
    class Careless(Vault):
        @property
        def public_jwk(self) -> Mapping[str, Any]:
            return self._key.as_dict(private=True)

    with pytest.raises(ValueError, match="No server accepts this key"):
        ProofSigner(Careless(ec_key, "ES256"), clock=clock)


def test_members_that_the_thumbprint_lacks_are_left_out(
    ec_key: ECKey, clock: Clock
) -> None:
    class Named(Vault):
        @property
        def public_jwk(self) -> Mapping[str, Any]:
            return {**super().public_jwk, "kid": "arn:of:the:key"}

    signer = ProofSigner(Named(ec_key, "ES256"), clock=clock)
    flow = signer.resource_request(method="GET", url=URL, access_token="access")
    (proof,) = drive(flow, OK).proofs
    assert set(proof.header["jwk"]) == {"kty", "crv", "x", "y"}


@pytest.mark.parametrize("algorithm", ["ES384", "HS256", "none", "RS256", "ML-DSA-44"])
def test_an_algorithm_that_is_not_the_keys_is_refused(
    ec_key: ECKey, algorithm: str
) -> None:
    with pytest.raises(ValueError, match="No server accepts this key"):
        ProofSigner(Vault(ec_key, algorithm))


def test_it_signs_with_its_own_algorithm_only(ec_key: ECKey) -> None:
    ProofSigner(Vault(ec_key, "ES256"), algorithm="ES256")
    with pytest.raises(ValueError, match="another algorithm"):
        ProofSigner(Vault(ec_key, "ES256"), algorithm="ES384")


def test_a_signature_in_der_is_not_sent(ec_key: ECKey, clock: Clock) -> None:
    vault: ExternalKey = DERVault(ec_key, "ES256")
    flow = ProofSigner(vault, clock=clock).resource_request(
        method="GET", url=URL, access_token="access"
    )
    with pytest.raises(ValueError, match="form of JWS"):
        next(flow).headers()
