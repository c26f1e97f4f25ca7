"""One client may have its own time window, at either adapter."""

from __future__ import annotations

import pytest

from dpop_ext.core.confirmation import AccessToken
from dpop_ext.core.policy import ProofPolicy
from dpop_ext.verifier import ProofVerifier
from tests.resource_server.world import ADAPTERS, CLIENT, Request, World, send


class LenientVerifier(ProofVerifier):
    """Knows a client whose clock is five minutes off."""

    def get_policy(self, token: AccessToken | None) -> ProofPolicy:
        if token is not None and token.client_id == CLIENT:
            return ProofPolicy(max_age=300)
        return super().get_policy(token)


@pytest.mark.requirement("C-11", "X-14")
@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize(("client_id", "status"), [(CLIENT, 200), ("other", 401)])
def test_a_slow_clock_is_forgiven_to_the_client_it_belongs_to(
    world: World, adapter: str, client_id: str, status: int
) -> None:
    world._verifier = LenientVerifier(world.store, clock=world.clock)
    token = world.token(client_id=client_id)
    proof = world.proof(token, now=world.clock.now - 280)
    headers = [("Authorization", f"DPoP {token}"), ("DPoP", proof)]
    response = send(world.app(adapter), Request(headers=headers).environ())
    assert response.status == status
