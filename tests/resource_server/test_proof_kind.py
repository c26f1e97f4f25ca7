"""After a fault of a proof: whether it claims to be symmetric, however that is told."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.policy import ProofPolicy
from dpop_ext.core.proof import parse_proof, proof_type
from dpop_ext.errors import DPoPError
from dpop_ext.resource_server.proof_kind import is_symmetric
from dpop_ext.stores.memory import MemoryReplayStore
from dpop_ext.verifier import ProofVerifier
from tests.resource_server.world import AUDIENCE, ISSUER, World
from tests.test_side_by_side import changed

HEADERS = (
    '{"typ":"dpop-sym+jwt","alg":"HS256"}',
    ' {"alg": "HS512", "typ": "dpop-sym+jwt"} ',
    '{"typ":"\\u0064pop-sym+jwt","alg":"HS256"}',
    '{"typ":"dpop\\u002dsym+jwt"}',
    '{"t\\u0079p":"dpop-sym+jwt"}',
    '{"typ":"dpop-sym+jwt","crit":["a"]}',
    '{"typ":"dpop-sym+jwt","typ":"dpop+jwt"}',
    '{"typ":"dpop-sym+jwt"',
    '{"typ":"dpop+jwt","kid":"dpop-sym+jwt"}',
    '{"typ":["dpop-sym+jwt"]}',
    '{"typ":"DPoP-sym+jwt"}',
    '["dpop-sym+jwt"]',
    '{"typ":"dpop-sym+jwt","alg":"HS256","tkt":"' + "t" * 36 + '"}',
    "{}",
)
ENDINGS = (".e30.AA", ".e30.", "..AA", ".W10.AA", ".e30.AB", ".e30", ".e30.AA.AA", "")


def by_its_parsed_header(proof: str, verifier: ProofVerifier) -> bool:
    try:
        jws = parse_proof(proof, max_length=verifier.policy.max_length)
    except DPoPError:
        return False
    return proof_type(jws) == "dpop-sym+jwt"


@pytest.fixture
def verifier(world: World) -> ProofVerifier:
    return replace(world, symmetric=True).verifier


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32-le"])
@pytest.mark.parametrize("text", HEADERS)
def test_the_type_is_read_as_the_parser_reads_it(
    text: str, encoding: str, verifier: ProofVerifier
) -> None:
    header = b64url_encode(text.encode(encoding))
    for ending in ENDINGS:
        proof = header + ending
        assert is_symmetric(proof, verifier) is by_its_parsed_header(proof, verifier)


def test_some_of_these_are_symmetric(verifier: ProofVerifier) -> None:
    proofs = [f"{b64url_encode(text.encode())}.e30.AA" for text in HEADERS]
    kinds = [is_symmetric(proof, verifier) for proof in proofs]
    assert kinds == [True] * 5 + [False] * 7 + [True, False]
    assert not any(is_symmetric(proof, _without_symmetric()) for proof in proofs)


@given(data=st.data())
@settings(
    max_examples=200,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_the_kind_of_any_proof_is_that_of_its_parsed_header(
    verifier: ProofVerifier, world: World, data: st.DataObject
) -> None:
    world = replace(world, symmetric=True)
    token = world.symmetric_token()
    proofs = [world.symmetric_proof(token), world.proof(token)]
    proof = changed(data.draw(st.sampled_from(proofs)), data)
    assert is_symmetric(proof, verifier) is by_its_parsed_header(proof, verifier)


def test_a_proof_that_is_too_long_is_of_no_kind(world: World) -> None:
    world = replace(world, symmetric=True)
    proof = world.symmetric_proof(world.symmetric_token())
    for length, known in ((len(proof), True), (len(proof) - 1, False)):
        verifier = ProofVerifier(
            MemoryReplayStore(),
            policy=ProofPolicy(max_length=length),
            keyring=world.keyring,
            issuer=ISSUER,
            audience=AUDIENCE,
        )
        assert is_symmetric(proof, verifier) is known


def _without_symmetric() -> ProofVerifier:
    return ProofVerifier(MemoryReplayStore())
