"""Servers that share a store accept a proof once between them."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dpop_ext.core.nonce import NonceIssuer
from dpop_ext.core.proof_making import make_proof
from dpop_ext.errors import NonceRequiredError, ReplayedProofError
from dpop_ext.stores.base import ReplayStore
from dpop_ext.stores.contract import OpenStore
from dpop_ext.stores.memory import MemoryReplayStore
from dpop_ext.verified_proof import VerifiedProof
from dpop_ext.verifier import ProofVerifier
from tests.patience import PATIENCE
from tests.stores import opened

URL = "https://as.example.com/token"


@pytest.fixture(params=["sqlite", "postgresql", "redis", "redis_cluster"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenStore]:
    name = secrets.token_hex(8)

    def open_again() -> ReplayStore:
        if request.param == "sqlite":
            return opened.sql_store(f"sqlite:///{tmp_path}/x.db", f"t{name}", 256)
        engine = request.getfixturevalue(
            "postgres" if request.param == "postgresql" else request.param
        )
        if request.param == "postgresql":
            return opened.sql_store(engine.url, f"t{name}", 256)
        if request.param == "redis":
            return opened.redis_store(engine.url, name.encode(), None)
        return opened.cluster_store(engine[0].port, name.encode(), None)

    with opened.closing_stores():
        yield open_again


def prove(key: Any, now: int, nonce: str | None = None) -> str:
    return make_proof(
        key, algorithm="ES256", method="POST", url=URL, now=now, nonce=nonce
    )


def verify(node: ProofVerifier, proof: str) -> VerifiedProof:
    return node.verify(node.open(proof, method="POST", url=URL))


@pytest.mark.requirement("T9", "X-15", "W-4")
def test_a_proof_used_at_one_node_is_refused_at_the_other(
    open_store: OpenStore, ec_key: Any, clock: Any
) -> None:
    first, second = (ProofVerifier(open_store(), clock=clock) for _ in range(2))
    proof = prove(ec_key, clock.now)
    first.spend(verify(first, proof))

    for node in (second, first, ProofVerifier(open_store(), clock=clock)):
        with pytest.raises(ReplayedProofError):
            node.spend(verify(node, proof))
    second.spend(verify(second, prove(ec_key, clock.now)))


@pytest.mark.requirement("T9", "X-15", "U-19")
def test_of_fifty_requests_with_one_proof_to_two_nodes_one_is_served(
    open_store: OpenStore, ec_key: Any, clock: Any
) -> None:
    nodes = [ProofVerifier(open_store(), clock=clock) for _ in range(2)]
    proof = prove(ec_key, clock.now)
    barrier = threading.Barrier(50, timeout=PATIENCE)
    outcomes: list[str] = []

    def request(node: ProofVerifier) -> None:
        verified = verify(node, proof)
        barrier.wait()
        try:
            node.spend(verified)
        except ReplayedProofError:
            outcomes.append("replay")
        except Exception as error:  # noqa: BLE001
            outcomes.append(repr(error))
        else:
            outcomes.append("served")

    threads = [
        threading.Thread(target=request, args=(nodes[number % 2],))
        for number in range(50)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["replay"] * 49 + ["served"]


@pytest.mark.requirement("T9")
def test_after_a_restart_that_lost_the_store_a_new_nonce_is_needed(
    ec_key: Any, clock: Any
) -> None:
    def start() -> tuple[ProofVerifier, str]:
        nonces = NonceIssuer([secrets.token_bytes(32)])
        node = ProofVerifier(MemoryReplayStore(), nonces=nonces, clock=clock)
        return node, nonces.issue(purpose="as", now=clock.now)

    before, nonce = start()
    captured = prove(ec_key, clock.now, nonce)
    before.spend(verify(before, captured))

    after, nonce = start()

    with pytest.raises(NonceRequiredError):
        verify(after, captured)
    after.spend(verify(after, prove(ec_key, clock.now, nonce)))
