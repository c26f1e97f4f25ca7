"""ML-DSA and HPKE-9-KE in JavaScript, by the packages of others, against ours."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dpop_ext.core import ml_dsa
from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.ml_dsa import ML_DSA
from dpop_ext.core.policy import ProofPolicy
from dpop_ext.core.proof import SignedProof, parse_proof, verify_proof
from dpop_ext.core.proof_making import make_proof
from dpop_ext.errors import BadSignatureError, KeyDeliveryError
from dpop_ext.symmetric import hpke
from dpop_ext.symmetric.delivery import DeliveredKey, unwrap_key, wrap_key
from dpop_ext.symmetric.secret_bytes import SecretBytes
from tests import post_quantum
from tests.interop.symmetric_peer import Peer
from tests.vectors.generate_ml_dsa import FILE

post_quantum.require()

NOW = 1_790_000_000
URL = "https://as.example/token"
ISSUER = "https://as.example"
AUDIENCE = "https://api.example"
TOKEN = "an.access.token"
POLICY = ProofPolicy(algorithms=tuple(ML_DSA))
SEED = bytes(range(32))
KEY = bytes(range(1, 33))
VECTORS = json.loads(FILE.read_text("ascii"))


@pytest.fixture(scope="module")
def peer(node_directory: Path) -> Iterator[Peer]:
    with subprocess.Popen(
        ["node", "post_quantum.mjs"],
        cwd=node_directory,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Peer(process)
        finally:
            process.kill()


def verify(proof: str) -> SignedProof:
    jws = parse_proof(
        proof, max_length=8192, max_ml_dsa_length=POLICY.max_ml_dsa_length
    )
    return verify_proof(jws, method="POST", url=URL, policy=POLICY)


@pytest.mark.requirement("R2301")
def test_the_vectors_verify_there(peer: Peer) -> None:
    """What is signed, and by whom; the claims are the business of the caller."""
    good = 0
    for vector in VECTORS["vectors"]:
        found = peer.ask("verify", proof=vector["proof"])
        if vector["result"] == "accepted":
            assert found["jkt"] == vector["jkt"]
            good += 1
        elif "signature" in vector["name"]:
            assert found is None, vector["name"]
    assert good == len(ML_DSA)


@pytest.mark.requirement("R2301")
@pytest.mark.parametrize("algorithm", ML_DSA)
def test_a_seed_makes_the_same_key_and_thumbprint(peer: Peer, algorithm: str) -> None:
    for seed in (bytes(32), SEED):
        theirs = peer.ask("key", alg=algorithm, seed=b64url_encode(seed))
        private = {**theirs["jwk"], "priv": b64url_encode(seed)}
        # Which fails if their public key is not the one of the seed.
        assert ml_dsa.import_private(private).thumbprint() == theirs["jkt"]


@pytest.mark.requirement("R2301")
@pytest.mark.parametrize("algorithm", ML_DSA)
def test_our_proofs_verify_there(peer: Peer, algorithm: str) -> None:
    key = ml_dsa.generate(algorithm)
    proof = make_proof(key, algorithm=algorithm, method="POST", url=URL, now=NOW)
    found = peer.ask("verify", proof=proof)
    assert found["jkt"] == key.thumbprint()
    assert found["claims"]["htu"] == URL
    other = make_proof(key, algorithm=algorithm, method="GET", url=URL, now=NOW)
    mixed = f"{proof.rpartition('.')[0]}.{other.rpartition('.')[2]}"
    assert peer.ask("verify", proof=mixed) is None


@pytest.mark.requirement("R2301")
@pytest.mark.parametrize("algorithm", ML_DSA)
def test_their_proofs_verify_here(peer: Peer, algorithm: str) -> None:
    claims = {"jti": "j", "htm": "POST", "htu": URL, "iat": NOW}
    values = {"alg": algorithm, "seed": b64url_encode(SEED)}
    proof = peer.ask("sign", **values, claims=claims)
    assert verify(proof).jkt == peer.ask("key", **values)["jkt"]
    other = peer.ask("sign", **values, claims=claims | {"jti": "k"})
    with pytest.raises(BadSignatureError):
        verify(f"{proof.rpartition('.')[0]}.{other.rpartition('.')[2]}")


@pytest.mark.requirement("R2309")
@pytest.mark.parametrize("algorithm", ["HS256"])
def test_a_key_that_we_deliver_is_unwrapped_there(peer: Peer, algorithm: str) -> None:
    recipient = hpke.generate()
    private = recipient.as_dict(private=True)["priv"]
    text = wrap_key(
        SecretBytes(KEY),
        recipient=hpke.import_public(recipient.as_dict()),
        algorithm="HPKE-9-KE",
        encoding="A256GCM",
        mac_algorithm=algorithm,
        issuer=ISSUER,
        audience=AUDIENCE,
        version=7,
        expires_at=NOW + 300,
        access_token=TOKEN,
    )
    found = peer.ask("decrypt", jwe=text, priv=private)
    assert found["header"]["kid"] == recipient.thumbprint()
    assert json.loads(found["plaintext"])["k"] == b64url_encode(KEY)
    assert peer.ask("decrypt", jwe=text, priv=b64url_encode(SEED)) is None


@pytest.mark.requirement("R2309")
def test_a_key_that_they_deliver_is_unwrapped_here(peer: Peer) -> None:
    recipient = hpke.generate()
    jwk = recipient.as_dict()
    ours = wrap_key(
        SecretBytes(KEY),
        recipient=recipient,
        algorithm="HPKE-9-KE",
        encoding="A256GCM",
        mac_algorithm="HS256",
        issuer=ISSUER,
        audience=AUDIENCE,
        version=7,
        expires_at=NOW + 300,
        access_token=TOKEN,
    )
    private = recipient.as_dict(private=True)["priv"]
    found = peer.ask("decrypt", jwe=ours, priv=private)
    header = {k: v for k, v in found["header"].items() if k not in ("ek", "kid")}
    theirs = peer.ask("encrypt", header=header, plaintext=found["plaintext"], jwk=jwk)
    assert theirs != ours

    def unwrap(text: str) -> DeliveredKey:
        return unwrap_key(
            text,
            private_key=recipient,
            algorithms=("HS256",),
            key_algorithms=("HPKE-9-KE",),
            encodings=("A256GCM",),
            issuer=ISSUER,
            audience=AUDIENCE,
            access_token=TOKEN,
            now=NOW,
        )

    assert unwrap(theirs).key.reveal() == KEY
    with pytest.raises(KeyDeliveryError):
        unwrap(theirs[:-8] + "AAAAAAAA")
