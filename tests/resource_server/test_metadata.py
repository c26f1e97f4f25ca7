"""The metadata document says what is enforced (RFC 9728)."""

from __future__ import annotations

import json

import pytest

from dpop_ext.core.policy import ProofPolicy
from dpop_ext.resource_server import protected_resource_metadata
from dpop_ext.verifier import ProofVerifier
from tests.resource_server.test_conformance import arrange
from tests.resource_server.world import ADAPTERS, AUDIENCE, ISSUER, Request, World, send


@pytest.mark.requirement("P-10", "J-2")
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_the_algorithms_are_those_of_the_challenge(adapter: str, world: World) -> None:
    world = arrange(world, symmetric=True)
    document = protected_resource_metadata(world.verifier, resource=AUDIENCE)
    response = send(world.app(adapter), Request(headers=[]).environ())
    challenge = response.challenges["DPoP"]
    assert (challenge.get("algs") or "").split() == document[
        "dpop_signing_alg_values_supported"
    ]
    assert (challenge.get("sym_algs") or "").split() == document[
        "dpop_symmetric_alg_values_supported"
    ]
    assert document["dpop_symmetric_modes_supported"] == ["derived"]


@pytest.mark.requirement("J-2", "P-10", "R1705")
def test_the_document_follows_the_configuration(world: World) -> None:
    verifier = ProofVerifier(world.store, policy=ProofPolicy(algorithms=("ES384",)))
    document = protected_resource_metadata(
        verifier,
        resource=AUDIENCE,
        authorization_servers=[ISSUER],
        scopes=["accounts"],
        extra={"resource_name": "A", "resource": "https://evil.example"},
    )
    assert json.loads(json.dumps(document)) == {
        "resource": AUDIENCE,
        "resource_name": "A",
        "authorization_servers": [ISSUER],
        "scopes_supported": ["accounts"],
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": ["ES384"],
        "dpop_bound_access_tokens_required": True,
    }


@pytest.mark.requirement("J-2")
@pytest.mark.parametrize("accept_bearer", [True, False])
def test_bound_tokens_are_required_exactly_when_unbound_ones_are_refused(
    world: World, accept_bearer: bool
) -> None:
    world = arrange(world, accept_bearer=accept_bearer)
    document = protected_resource_metadata(
        world.verifier, resource=AUDIENCE, accept_bearer=accept_bearer
    )
    headers = [("Authorization", f"Bearer {world.unbound_token()}")]
    response = send(world.wsgi_app(), Request(headers=headers).environ())
    required = document["dpop_bound_access_tokens_required"]
    assert required is (response.status == 401)


@pytest.mark.requirement("J-2", "R1511")
def test_what_routes_demand_and_answers_have_is_a_hint(world: World) -> None:
    world = arrange(world, symmetric=True)
    document = protected_resource_metadata(
        world.verifier,
        resource=AUDIENCE,
        asymmetric_paths=["/transfers"],
        signs_answers=True,
    )
    assert document["dpop_asymmetric_required_paths"] == ["/transfers"]
    assert document["dpop_response_signing_supported"] is True
    silent = protected_resource_metadata(world.verifier, resource=AUDIENCE)
    assert silent["dpop_response_signing_supported"] is False
    assert "dpop_asymmetric_required_paths" not in silent
    plain = protected_resource_metadata(
        ProofVerifier(world.store),
        resource=AUDIENCE,
        asymmetric_paths=["/transfers"],
        signs_answers=True,
    )
    assert "dpop_response_signing_supported" not in plain
