"""The proofs among the vectors, judged by a resource server over the wire."""

from __future__ import annotations

from typing import Any

import pytest

from dpop_ext.core.challenge import parse_challenges
from dpop_ext.stores.memory import MemoryReplayStore
from dpop_ext.verifier import ProofVerifier
from tests.profile.cases import CONTENT, cases
from tests.profile.resource_server import send, with_keyring, with_tickets


@cases("symmetric-proofs")
@pytest.mark.usefixtures("published_secrets_are_good")
def test_a_symmetric_proof(vector: dict[str, Any]) -> None:
    store = MemoryReplayStore()
    content = CONTENT["symmetric-proofs"]
    check(vector, content, with_keyring(content, store), store)


@cases("tickets")
@pytest.mark.usefixtures("published_secrets_are_good")
def test_a_proof_under_a_ticket(vector: dict[str, Any]) -> None:
    store = MemoryReplayStore()
    content = CONTENT["tickets"]
    check(vector, content, with_tickets(content, store), store)


def check(
    vector: dict[str, Any],
    content: dict[str, Any],
    verifier: ProofVerifier,
    store: MemoryReplayStore,
) -> None:
    status, fields, served = send(vector, content, verifier)
    if "error" in vector:
        challenges = parse_challenges(
            [value for name, value in fields if name == "WWW-Authenticate"]
        )
        (challenge,) = [c for c in challenges if c.scheme == "DPoP"]
        assert challenge.get("error") == vector["error"]
        assert challenge.get("sym_error") == vector.get("sym_error")
        assert (status, served, len(store)) == (401, 0, 0)
    else:
        assert (status, served, len(store)) == (200, 1, 1)
