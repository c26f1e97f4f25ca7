"""The endpoint of an authorization server and the source of a resource server."""

from __future__ import annotations

from typing import Any

import pytest

from dpop_ext.resource_server.keyring_request import KeyringRequest
from dpop_ext.resource_server.keyring_source import HTTPKeyringSource
from dpop_ext.resource_server.transport import Answer
from dpop_ext.symmetric import derivation
from dpop_ext.symmetric.secret_bytes import SecretBytes
from dpop_ext.symmetric.secret_ring import SecretRing
from tests.authorization_server.simulator import AUDIENCE, ISSUER
from tests.authorization_server.test_keyring_endpoint import URL, Distribution


def source_of(at: Distribution, statuses: list[int]) -> HTTPKeyringSource:
    def post(url: str, *, data: bytes, headers: dict[str, str]) -> Answer:
        answer = at.sim.http.post(url, data=data, headers=headers)
        statuses.append(answer.status_code)
        return Answer(answer.status_code, answer.headers.get("ETag"), answer.data)

    request = KeyringRequest(
        URL,
        issuer=ISSUER,
        client_id="api",
        signing_key=at.signing_key,
        post=post,
        clock=at.clock,
    )
    return HTTPKeyringSource(
        request,
        audience=AUDIENCE,
        private_keys=[at.private_key],
        jwks={"keys": [at.sim.signing_key.as_dict(private=False)]},
        run=lambda task: task(),
        clock=at.clock,
    )


@pytest.mark.requirement("R1701", "R1702")
def test_a_rotation_and_a_revocation_arrive(clock: Any) -> None:
    at = Distribution(clock)
    statuses: list[int] = []
    source = source_of(at, statuses)
    assert source.load().find(7, now=clock.now).state == "active"
    clock.advance(331)
    source.load()
    at.secrets.rings[AUDIENCE] = SecretRing(
        [at.secrets.secret(version=8)], issuer=ISSUER, audience=AUDIENCE, revoked=[7]
    )
    at.secrets.sequence = 2
    clock.advance(331)
    source.load()
    assert [entry.version for entry in source.load()] == [8]
    assert statuses == [200, 304, 200]


@pytest.mark.requirement("T3")
def test_rs_process_never_loads_root(
    clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The root derives a secret at the issuer; only that secret is sent."""
    at = Distribution(clock)
    root = bytes(range(50, 82))
    derived = derivation.audience_secret(
        root, issuer=ISSUER, audience=AUDIENCE, version=7
    )
    entry = at.secrets.secret(secret=SecretBytes(derived))
    at.secrets.rings[AUDIENCE] = SecretRing([entry], issuer=ISSUER, audience=AUDIENCE)

    def unreachable(*args: Any, **kwargs: Any) -> bytes:
        raise AssertionError

    monkeypatch.setattr(derivation, "audience_secret", unreachable)
    (found,) = source_of(at, []).load()
    assert found.secret is not None
    assert found.secret.reveal() == derived != root
