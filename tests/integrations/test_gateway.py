"""A real nginx with ``auth_request`` in front of a resource server in Flask."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from flask import request as flask_request
from joserfc.jwk import ECKey

from dpop_ext.core.challenge import Challenge, parse_challenges
from dpop_ext.errors import StoreError
from dpop_ext.integrations.wsgi_gateway import GatewayApplication
from dpop_ext.resource_server.gateway import GatewayCheck
from dpop_ext.resource_server.trusted_hop import (
    NGINX,
    TrustedHop,
)
from dpop_ext.stores.memory import MemoryReplayStore
from dpop_ext.verifier import ProofVerifier
from tests.conftest import Clock
from tests.engines import free_ports
from tests.integrations.reverse_proxy import Answer, nginx, serving
from tests.integrations.reverse_proxy import send as send_to
from tests.resource_server.world import (
    AUDIENCE,
    ISSUER,
    Field,
    World,
)

DOCUMENT = Path(__file__).parents[2] / "docs" / "gateway.md"
HOP = TrustedHop(["127.0.0.1"], names=NGINX)


@dataclass(frozen=True, kw_only=True)
class Guarded:
    """A Flask application behind nginx, which asks a check with a store of its own."""

    port: int
    rs_port: int
    world: World
    #: The check's: nothing may ever be in it.
    checked: MemoryReplayStore
    #: ``X-DPoP-Client`` of each request that was served.
    served: list[str | None] = field(default_factory=list)
    #: While there is something in it, the issuer's keys are out of reach.
    faults: list[StoreError] = field(default_factory=list)

    def send(self, method: str, target: str, headers: list[Field]) -> Answer:
        return send_to(self.port, method, target, headers)

    def fields(self, method: str, target: str, **changes: Any) -> list[Field]:
        """Return good credentials for a request, unless *changes* make them bad."""
        text = self.world.token(scope=changes.pop("scope", "accounts"))
        values = {"method": method, "url": AUDIENCE + target} | changes
        proof = self.world.proof(text, **values)
        return [("Authorization", f"DPoP {text}"), ("DPoP", proof)]


@pytest.fixture(scope="module")
def guarded(
    tmp_path_factory: Any, ec_key: ECKey, other_ec_key: ECKey
) -> Iterator[Guarded]:
    world = World(
        clock=Clock(),
        key=ec_key,
        other_key=other_ec_key,
        issuer_key=other_ec_key,
        use_nonces=True,
        symmetric=True,
    )
    checked = MemoryReplayStore()
    faults: list[StoreError] = []

    def find_token(text: str) -> Any:
        if faults:
            raise faults[0]
        return world.validator(text)

    check = GatewayCheck(
        ProofVerifier(
            checked,
            nonces=world.nonces,
            keyring=world.keyring,
            issuer=ISSUER,
            audience=AUDIENCE,
            clock=world.clock,
        ),
        find_token,
        hop=HOP,
        public_url=AUDIENCE,
        scopes=["accounts"],
    )
    served: list[str | None] = []
    app = world.flask_app()

    @app.after_request  # type: ignore[untyped-decorator]
    def note(response: Any) -> Any:
        if response.status_code == 200:
            served.append(flask_request.headers.get("X-DPoP-Client"))
        return response

    (port,) = free_ports(1)
    directory = tmp_path_factory.mktemp("gateway")
    (block,) = re.findall(r"```nginx\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    with serving(app) as rs, serving(GatewayApplication(check)) as asked:
        locations = block.replace(":8001;", f":{rs};").replace(":8002;", f":{asked};")
        servers = f"server {{ listen 127.0.0.1:{port}; {locations} }}"
        with nginx(directory, servers, ports=[port]):
            yield Guarded(
                port=port,
                rs_port=rs,
                world=world,
                checked=checked,
                served=served,
                faults=faults,
            )


def challenge_of(answer: Answer) -> Challenge:
    (found,) = parse_challenges(answer.headers.get_all("WWW-Authenticate", []))
    return found


@pytest.mark.requirement("P-2", "N-6", "X-15", "U-20")
def test_a_good_request_passes_the_gateway_and_is_used_up_behind_it(
    guarded: Guarded,
) -> None:
    for method, target in [
        ("GET", "/orders"),
        ("POST", "/orders/a%2Fb//c?x=%2F&y=1"),
        ("DELETE", "/orders/caf%C3%A9"),
    ]:
        before = len(guarded.served)
        fields = guarded.fields(method, target)
        assert guarded.send(method, target, fields).status == 200
        again = guarded.send(method, target, fields)
        assert (again.status, again.json["error"]) == (401, "invalid_dpop_proof")
        assert "used before" in again.json["error_description"]
        assert guarded.served[before:] == ["client-1"]
    assert len(guarded.checked) == 0


@pytest.mark.requirement("P-2")
def test_a_symmetric_proof_passes_the_gateway_and_is_used_up_behind_it(
    guarded: Guarded,
) -> None:
    world = guarded.world
    text = world.symmetric_token()
    fields = [("Authorization", f"DPoP {text}"), ("DPoP", world.symmetric_proof(text))]
    answer = guarded.send("GET", "/accounts", fields)
    assert (answer.status, answer.json["kind"]) == (200, "symmetric")
    assert guarded.send("GET", "/accounts", fields).status == 401
    assert guarded.send("GET", "/orders", fields).status == 401
    assert len(guarded.checked) == 0


@pytest.mark.requirement("P-3", "P-9")
def test_the_gateway_refuses_with_the_challenge_of_the_check(guarded: Guarded) -> None:
    before = len(guarded.served)
    fields = guarded.fields("GET", "/orders")
    for method, target in [("POST", "/orders"), ("GET", "/other"), ("GET", "/orders/")]:
        answer = guarded.send(method, target, fields)
        assert answer.status == 401
        assert challenge_of(answer).params["error"] == "invalid_dpop_proof"
    (authorization, proof) = fields
    for sent, error in [
        ([], None),
        ([authorization], "invalid_dpop_proof"),
        ([authorization, proof, proof], "invalid_dpop_proof"),
        ([("Authorization", "Bearer " + authorization[1][5:]), proof], "invalid_token"),
        ([("Authorization", "DPoP x"), proof], "invalid_dpop_proof"),
        # The refusal has 400, which nginx would make a 500.
        ([("Authorization", "DPoP"), proof], "invalid_request"),
    ]:
        answer = guarded.send("GET", "/orders", sent)
        assert answer.status == 401
        assert challenge_of(answer).params.get("error") == error
        assert ("DPoP-Nonce" in answer.headers) == (sent == [])
    answer = guarded.send("GET", "/orders", guarded.fields("GET", "/orders", scope="x"))
    assert (answer.status, challenge_of(answer).params["scope"]) == (403, "accounts")
    # The location of the check is not for clients.
    assert guarded.send("GET", "/_dpop", fields).status == 404
    assert len(guarded.served) == before
    # None of it used the proof up.
    assert guarded.send("GET", "/orders", fields).status == 200


@pytest.mark.requirement("Q-11", "Q-12", "Q-13")
def test_the_demand_for_a_nonce_comes_through_the_gateway(guarded: Guarded) -> None:
    fields = guarded.fields("GET", "/orders", nonce=None)
    answer = guarded.send("GET", "/orders", fields)
    assert (answer.status, answer.headers["Cache-Control"]) == (401, "no-store")
    assert challenge_of(answer).params["error"] == "use_dpop_nonce"
    (nonce,) = answer.headers.get_all("DPoP-Nonce", [])
    fields = guarded.fields("GET", "/orders", nonce=nonce)
    answer = guarded.send("GET", "/orders", fields)
    assert (answer.status, answer.headers.get_all("DPoP-Nonce")) == (200, None)
    # The next one comes with the answer of the server behind.
    old = guarded.world.nonce(age=1)
    answer = guarded.send("GET", "/orders", guarded.fields("GET", "/orders", nonce=old))
    assert (answer.status, answer.headers.get_all("DPoP-Nonce")) == (200, [nonce])


@pytest.mark.requirement("N-18")
@pytest.mark.parametrize("form", ["X-Original-{}", "x-original-{}", "X_Original_{}"])
def test_what_a_client_says_about_its_request_has_no_effect(
    guarded: Guarded, form: str
) -> None:
    forged = [(form.format("Method"), "GET"), (form.format("URI"), "/orders")]
    identity = [("X-DPoP-Client", "admin"), ("x_dpop_client", "admin")]
    fields = guarded.fields("GET", "/orders")
    before = len(guarded.served)
    for method, target in [("GET", "/other"), ("POST", "/orders")]:
        # At the gateway, and at the server behind by whoever can reach it.
        for port in (guarded.port, guarded.rs_port):
            answer = send_to(port, method, target, [*fields, *forged])
            assert answer.status == 401
    assert len(guarded.served) == before
    assert guarded.send("GET", "/orders", [*fields, *forged, *identity]).status == 200
    assert guarded.served[before:] == ["client-1"]


def test_a_check_that_is_not_available_lets_nothing_pass(guarded: Guarded) -> None:
    fields = guarded.fields("GET", "/orders")
    before = len(guarded.served)
    guarded.faults.append(StoreError())
    try:
        assert guarded.send("GET", "/orders", fields).status == 503
    finally:
        guarded.faults.clear()
    assert len(guarded.served) == before
    assert guarded.send("GET", "/orders", fields).status == 200
