"""A client cannot make the server check signature after signature under a good MAC."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest
from joserfc.jwk import ECKey

from dpop_ext.errors import AccessTokenError, StoreError
from dpop_ext.resource_server import failure_limit
from dpop_ext.resource_server.failure_limit import LIMIT, PERIOD
from tests.resource_server.world import ADAPTERS, Request, Response, World, send

adapters = pytest.mark.parametrize("adapter", ADAPTERS)


@pytest.fixture
def symmetric_world(world: World) -> World:
    return dataclasses.replace(world, symmetric=True)


def call(app: Any, token: str, proof: str) -> Response:
    headers = [("Authorization", f"DPoP {token}"), ("DPoP", proof)]
    return send(app, Request(headers=headers).environ())


def edited(token: str) -> str:
    """Break the signature and leave what the MAC is made with."""
    return token[:-6] + ("AAAAAA" if token[-6:] != "AAAAAA" else "BBBBBB")


@pytest.mark.requirement("R1509", "R2241")
@adapters
def test_tokens_that_fail_under_a_good_mac_are_refused_unchecked_after_a_while(
    symmetric_world: World, adapter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, checks = symmetric_world, 0
    app = world.app(adapter)
    signature = world.validator._signature
    verify = signature.verify

    def count(jws: Any, **types: Any) -> None:
        nonlocal checks
        checks += 1
        verify(jws, **types)

    monkeypatch.setattr(signature, "verify", count)
    good = world.symmetric_token()
    bad = edited(good)
    for _ in range(LIMIT):
        response = call(app, bad, world.symmetric_proof(bad))
        assert (response.status, response.values("Retry-After")) == (401, [])
    for token in (bad, good):
        response = call(app, token, world.symmetric_proof(token))
        assert response.status == 401
        assert response.challenges["DPoP"].get("error") == "invalid_token"
        assert response.only("Retry-After") == str(PERIOD)
    assert (checks, world.served) == (LIMIT, 0)

    world.clock.advance(PERIOD)
    assert call(app, good, world.symmetric_proof(good)).status == 200


@pytest.mark.requirement("R2241")
@adapters
def test_the_limit_is_not_for_those_without_a_key(
    symmetric_world: World, adapter: str, other_ec_key: ECKey
) -> None:
    world = symmetric_world
    app = world.app(adapter)
    good = world.symmetric_token()
    bad = edited(good)
    for _ in range(LIMIT + 1):
        # Neither a bad MAC nor a proof by somebody's own key may lock the client out.
        forged = world.symmetric_proof(bad)[:-4] + "AAAA"
        assert call(app, bad, forged).status == 401
        assert call(app, bad, world.proof(bad, key=other_ec_key)).status == 401
    assert call(app, good, world.symmetric_proof(good)).status == 200


@adapters
def test_asymmetric_proofs_of_a_client_over_the_limit_are_still_served(
    symmetric_world: World, adapter: str
) -> None:
    world = symmetric_world
    app = world.app(adapter)
    good = world.symmetric_token()
    bad = edited(good)
    for _ in range(LIMIT + 1):
        call(app, bad, world.symmetric_proof(bad))
    assert call(app, good, world.symmetric_proof(good)).status == 401
    assert call(app, good, world.proof(good)).status == 200


@adapters
def test_good_tokens_do_not_count(symmetric_world: World, adapter: str) -> None:
    world = symmetric_world
    app = world.app(adapter)
    token = world.symmetric_token()
    for _ in range(LIMIT + 1):
        assert call(app, token, world.symmetric_proof(token)).status == 200


@pytest.mark.requirement("R2241")
@adapters
def test_an_issuer_out_of_reach_locks_nobody_out(
    symmetric_world: World, adapter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Good tokens that cannot be verified meanwhile are no failures of their client."""
    world = symmetric_world
    app = world.app(adapter)
    token = world.symmetric_token()

    def fail(jws: Any, **types: Any) -> None:
        raise StoreError

    with monkeypatch.context() as patch:
        patch.setattr(world.validator._signature, "verify", fail)
        for _ in range(LIMIT + 1):
            assert call(app, token, world.symmetric_proof(token)).status == 503
    assert call(app, token, world.symmetric_proof(token)).status == 200


@adapters
def test_a_clock_that_is_set_back_ends_the_period(
    symmetric_world: World, adapter: str
) -> None:
    world = symmetric_world
    app = world.app(adapter)
    bad = edited(world.symmetric_token())
    for _ in range(LIMIT):
        call(app, bad, world.symmetric_proof(bad))
    world.clock.advance(-PERIOD)
    refused = call(app, bad, world.symmetric_proof(bad))
    assert refused.only("Retry-After") == str(PERIOD)


@pytest.mark.requirement("R2241")
def test_the_memory_for_it_is_bounded(
    symmetric_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failure_limit, "MAX_CLIENTS", 3)
    limit = failure_limit.FailureLimit(symmetric_world.clock)
    for number in range(10):
        peeked = SimpleNamespace(
            issuer="issuer",
            client_id=f"client-{number}",
            confirmation=SimpleNamespace(jkt="jkt"),
        )
        opened: Any = SimpleNamespace(peeked=peeked)
        limit.count(opened, AccessTokenError())
    assert len(limit.clients) == 3
