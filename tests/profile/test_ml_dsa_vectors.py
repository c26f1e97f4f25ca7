"""The ML-DSA proofs among the vectors, which have random signatures."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dpop_ext.core.ml_dsa import ML_DSA
from dpop_ext.core.policy import ProofPolicy
from dpop_ext.core.proof import parse_proof, verify_proof
from dpop_ext.errors import ProofError
from tests import post_quantum
from tests.vectors.generate_ml_dsa import FILE, generate

CONTENT = json.loads(FILE.read_text("ascii"))
POLICY = ProofPolicy(algorithms=tuple(ML_DSA))


def unsigned(vector: dict[str, Any]) -> dict[str, Any]:
    signing_input, _, signature = vector["proof"].rpartition(".")
    return {**vector, "proof": (signing_input, len(signature))}


@post_quantum.needed
def test_the_generator_writes_the_file_but_for_the_signatures() -> None:
    made = generate()
    assert made | {"vectors": None} == CONTENT | {"vectors": None}
    for vector, stored in zip(made["vectors"], CONTENT["vectors"], strict=True):
        assert unsigned(vector) == unsigned(stored)


@post_quantum.needed
@pytest.mark.parametrize(
    "vector",
    [
        pytest.param(
            vector,
            id=vector["name"],
            marks=pytest.mark.requirement(*vector["requirements"]),
        )
        for vector in CONTENT["vectors"]
    ],
)
def test_a_proof_with_a_post_quantum_key(vector: dict[str, Any]) -> None:
    def verify() -> str:
        jws = parse_proof(
            vector["proof"],
            max_length=8192,
            max_ml_dsa_length=POLICY.max_ml_dsa_length,
        )
        found = verify_proof(
            jws, method=CONTENT["method"], url=CONTENT["url"], policy=POLICY
        )
        return found.jkt

    if vector["result"] == "accepted":
        assert verify() == vector["jkt"]
    else:
        with pytest.raises(ProofError):
            verify()
