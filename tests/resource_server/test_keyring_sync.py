"""A version that is not known here: who is believed, and what is done about it."""

from __future__ import annotations

from typing import Any

import pytest
from joserfc.jwk import ECKey

from dpop_ext.resource_server.keyring_sync import RATE, KeyringSync
from dpop_ext.stores.memory import MemoryReplayStore
from dpop_ext.symmetric.secret_ring import SecretRing
from dpop_ext.verifier import ProofVerifier
from tests.resource_server.world import (
    ADAPTERS,
    AUDIENCE,
    ISSUER,
    VERSION,
    Request,
    Response,
    World,
    ring,
    secret,
    send,
)

NEW = VERSION + 1
adapters = pytest.mark.parametrize("adapter", ADAPTERS)


class Syncing:
    """A keyring that lags behind its issuer until it is synced."""

    def __init__(self) -> None:
        self.ring = ring(secret(VERSION))
        self.newest = self.ring
        self.calls = 0

    def load(self) -> SecretRing:
        return self.ring

    def sync(self) -> None:
        self.calls += 1
        self.ring = self.newest


@pytest.fixture
def syncing(world: World) -> Syncing:
    source = Syncing()
    world.symmetric = True
    world.keyring = source  # type: ignore[assignment]
    return source


def request(world: World, adapter: str, token: str, *, version: int = NEW) -> Response:
    fields = [
        ("Authorization", f"DPoP {token}"),
        ("DPoP", world.symmetric_proof(token, version=version)),
    ]
    return send(world.app(adapter), Request(headers=fields).environ())


@adapters
@pytest.mark.requirement("R1508")
def test_a_newer_version_is_synced_for_a_token_of_the_issuer(
    world: World, syncing: Syncing, adapter: str
) -> None:
    syncing.newest = ring(secret(VERSION, "verify_only"), secret(NEW))
    response = request(world, adapter, world.symmetric_token(version=NEW))
    assert (response.status, syncing.calls) == (200, 1)
    assert request(world, adapter, world.symmetric_token(version=NEW)).status == 200
    assert syncing.calls == 1


@adapters
def test_a_version_that_the_issuer_does_not_have_yet_is_unknown(
    world: World, syncing: Syncing, adapter: str
) -> None:
    response = request(world, adapter, world.symmetric_token(version=NEW))
    params = response.challenges["DPoP"].params
    assert (response.status, syncing.calls) == (401, 1)
    assert params["error"] == "use_dpop_asymmetric"
    assert params["sym_error"] == "unknown_key"
    assert response.only("Retry-After")


@adapters
@pytest.mark.requirement("R1508", "T17")
def test_unknown_v_forged_token_makes_no_outbound_call(
    world: World, syncing: Syncing, adapter: str, other_ec_key: ECKey
) -> None:
    genuine = world.symmetric_token(version=NEW)
    issuer_key, world.issuer_key = world.issuer_key, other_ec_key
    forged = world.symmetric_token(version=NEW)
    world.issuer_key = issuer_key
    for _ in range(2 * RATE):
        response = request(world, adapter, forged)
        assert response.status == 401
    assert syncing.calls == 0
    world.clock.advance(1)
    assert request(world, adapter, genuine).status == 401
    assert syncing.calls == 1


@adapters
@pytest.mark.requirement("R1508", "T17")
def test_a_forged_token_is_answered_as_such(
    world: World, syncing: Syncing, adapter: str, other_ec_key: ECKey
) -> None:
    world.issuer_key = other_ec_key
    response = request(world, adapter, world.symmetric_token(version=NEW))
    assert response.challenges["DPoP"].params["error"] == "invalid_token"
    assert syncing.calls == 0


@adapters
@pytest.mark.requirement("R1508")
@pytest.mark.parametrize("version", [VERSION - 1, NEW + 2])
def test_a_version_that_cannot_be_newer_causes_no_sync(
    world: World, syncing: Syncing, adapter: str, version: int
) -> None:
    token = world.symmetric_token(version=version)
    assert request(world, adapter, token, version=version).status == 401
    assert syncing.calls == 0


@adapters
def test_after_a_sync_the_mac_is_verified_all_the_same(
    world: World, syncing: Syncing, adapter: str
) -> None:
    syncing.newest = ring(secret(NEW))
    token = world.symmetric_token(version=NEW)
    response = request(world, adapter, token, version=VERSION)
    assert response.challenges["DPoP"].params["error"] == "invalid_dpop_proof"


@adapters
def test_a_keyring_that_cannot_be_synced_refuses_at_once(
    world: World, adapter: str
) -> None:
    world.symmetric = True
    response = request(world, adapter, world.symmetric_token(version=NEW))
    assert response.challenges["DPoP"].params["sym_error"] == "unknown_key"


@pytest.mark.requirement("T17")
def test_so_many_signatures_are_verified_in_a_second(clock: Any) -> None:
    syncing = Syncing()
    verifier = ProofVerifier(
        MemoryReplayStore(),
        keyring=syncing,
        issuer=ISSUER,
        audience=AUDIENCE,
        clock=clock,
    )
    sync = KeyringSync(verifier)
    verified: list[int] = []

    def flood() -> int:
        before = len(verified)
        tries = [sync.catch_up(lambda: verified.append(1)) for _ in range(3 * RATE)]
        assert sum(tries) == len(verified) - before
        return sum(tries)

    assert flood() == RATE
    clock.advance(0.5)
    assert flood() == RATE // 2
    clock.advance(-1000)
    assert flood() == 0
    clock.advance(100)
    assert flood() == RATE
