"""Every proof of the published vectors gets the verdict written beside it.

The whole way: opened, verified with the token, spent.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from dpop_ext.core.confirmation import AccessToken, Confirmation
from dpop_ext.core.nonce import NonceIssuer
from dpop_ext.core.policy import ProofPolicy
from dpop_ext.errors import DPoPError, ProofError
from dpop_ext.stores.memory import MemoryReplayStore
from dpop_ext.verified_proof import VerifiedProof
from dpop_ext.verifier import ProofVerifier
from tests.vectors import generate
from tests.vectors.corpus import WIRE

Vector = dict[str, Any]

FOLDER: Final = Path(__file__).parent.parent / "vectors"
FILE: Final[dict[str, Any]] = json.loads((FOLDER / "dpop-proofs.json").read_text())
#: What holds for every vector that does not say otherwise.
DEFAULTS: Final = {name: FILE[name] for name in FILE if name != "vectors"}
VECTORS: Final[list[Vector]] = FILE["vectors"]


def _param(vector: Vector) -> Any:
    marks = pytest.mark.requirement(*vector["requirements"])
    return pytest.param(DEFAULTS | vector, id=vector["name"], marks=marks)


ACCEPTED: Final = [_param(v) for v in VECTORS if v["result"] == "accepted"]
REFUSED: Final = [_param(v) for v in VECTORS if v["result"] != "accepted"]


class Server:
    """A server that is set up as a vector says."""

    def __init__(self, vector: Vector) -> None:
        self._vector = vector
        policy = (
            ProofPolicy(algorithms=tuple(vector["algorithms"]))
            if "algorithms" in vector
            else ProofPolicy()
        )
        secrets = [bytes.fromhex(secret) for secret in vector.get("nonce_secrets", [])]
        self._verifier = ProofVerifier(
            MemoryReplayStore(),
            policy=policy,
            nonces=NonceIssuer(secrets) if secrets else None,
            clock=lambda: float(vector["now"]),
        )

    def receive_used(self) -> None:
        """Take the proofs that came before."""
        for used in self._vector.get("used", []):
            self.receive(used["proof"], jkt=used["jkt"])

    def receive(self, proof: str, *, jkt: str | None) -> VerifiedProof:
        """Take *proof* with a token that is bound to *jkt*."""
        vector = self._vector
        opened = self._verifier.open(
            proof,
            method=vector["method"],
            url=vector["url"],
            access_token=vector["access_token"],
        )
        token = None if vector["access_token"] is None else _token(jkt)
        verified = self._verifier.verify(opened, token=token)
        self._verifier.spend(verified)
        return verified


def _token(jkt: str | None) -> AccessToken:
    confirmation = None if jkt is None else Confirmation(jkt=jkt, dsk=None)
    return AccessToken(
        issuer="https://as.example.com",
        audience=("https://api.example.com",),
        client_id="client",
        expires_at=None,
        token_id=None,
        confirmation=confirmation,
        scope="",
        claims={},
    )


@pytest.mark.parametrize("vector", ACCEPTED)
def test_a_good_proof_is_accepted(vector: Vector) -> None:
    server = Server(vector)
    server.receive_used()

    verified = server.receive(
        vector["proof"], jkt=vector.get("bound_to", vector["jkt"])
    )

    assert verified.jkt == vector["jkt"]
    assert verified.kind == "asymmetric"


@pytest.mark.parametrize("vector", REFUSED)
def test_a_bad_proof_is_refused_for_its_one_fault(vector: Vector) -> None:
    server = Server(vector)
    server.receive_used()

    with pytest.raises(DPoPError) as refusal:
        server.receive(vector["proof"], jkt=vector.get("bound_to", vector["jkt"]))

    assert refusal.value.code == vector["code"]
    assert WIRE[refusal.value.code] == vector["result"]


@pytest.mark.requirement("C-6", "H-2")
@pytest.mark.parametrize("name", ["valid ES256", "valid Ed25519", "valid PS256"])
def test_a_proof_with_any_one_character_changed_is_refused(name: str) -> None:
    vector = next(DEFAULTS | vector for vector in VECTORS if vector["name"] == name)
    server, proof = Server(vector), vector["proof"]

    for position, character in enumerate(proof):
        other = "B" if character == "A" else "A"
        changed = proof[:position] + other + proof[position + 1 :]
        with pytest.raises(ProofError):
            server.receive(changed, jkt=vector["jkt"])


def test_the_file_is_what_the_generator_makes() -> None:
    assert generate.PROOFS.read_text("ascii") == generate.text(generate.proofs())


def test_vectors_have_names_of_their_own() -> None:
    names = [vector["name"] for vector in VECTORS]

    assert sorted(set(names)) == sorted(names)
