"""Dynamic client registration with the members of DPoP (RFC 7591)."""

from __future__ import annotations

from typing import Any

import pytest
from authlib.oauth2 import rfc7591
from authlib.oauth2.rfc6749 import OAuth2Error
from authlib.oauth2.rfc7591 import ClientRegistrationEndpoint
from flask import Response

from dpop_ext.authorization_server import ClientMetadataClaims, SymmetricKeys
from tests.authorization_server.simulator import ISSUER, Client, Simulator
from tests.authorization_server.symmetric_parts import Secrets, ask
from tests.authorization_server.test_every_grant import error_of

CLIENT_CREDENTIALS = {"grant_type": "client_credentials"}
MEMBERS: dict[str, Any] = {
    "redirect_uris": ["https://client.example/cb"],
    "client_name": "A client",
}


@pytest.fixture
def sim(make_sim: Any, clock: Any) -> Any:
    sim = make_sim(symmetric=SymmetricKeys(Secrets(clock), issuer=ISSUER))
    add_registration(sim)
    return sim


def add_registration(sim: Simulator) -> None:
    class Registration(ClientRegistrationEndpoint):
        def authenticate_token(self, request: Any) -> bool:
            return True

        def get_server_metadata(self) -> dict[str, Any]:
            return {}

        def save_client(
            self, client_info: Any, client_metadata: Any, request: Any
        ) -> Client:
            client = Client(
                client_info["client_id"],
                client_info["client_secret"],
                **client_metadata,
            )
            sim.clients[client.client_id] = client
            return client

    classes = [rfc7591.ClientMetadataClaims, ClientMetadataClaims]
    sim.server.register_endpoint(Registration(claims_classes=classes))

    @sim.app.post("/register")
    def register() -> Response:
        try:
            response: Response = sim.server.create_endpoint_response(
                "client_registration"
            )
        except OAuth2Error as error:
            response = sim.server.handle_error_response(None, error)
        return response


def register(sim: Simulator, **members: Any) -> Any:
    return sim.http.post(f"{ISSUER}/register", json=MEMBERS | members)


def ask_for_token(sim: Simulator, client: Any, proof: str | None = None) -> Any:
    sim.clients[client["client_id"]].secret = "secret"
    return sim.token(CLIENT_CREDENTIALS, proof, client=client["client_id"])


@pytest.mark.requirement("J-20", "M-3", "M-4")
def test_a_client_that_registers_for_dpop_must_use_it(sim: Any, prove: Any) -> None:
    response = register(sim, dpop_bound_access_tokens=True)
    assert response.status_code == 201
    client = response.get_json()
    assert client["dpop_bound_access_tokens"] is True
    refused = ask_for_token(sim, client)
    assert error_of(refused) == (400, "invalid_dpop_proof")
    assert ask_for_token(sim, client, prove()).status_code == 200


@pytest.mark.requirement("J-20", "M-4")
@pytest.mark.parametrize("members", [{}, {"dpop_bound_access_tokens": False}])
def test_a_client_that_does_not_register_for_it_need_not(
    sim: Any, members: dict[str, Any]
) -> None:
    client = register(sim, **members).get_json()
    assert client.items() >= members.items()
    assert ask_for_token(sim, client).get_json()["token_type"] == "Bearer"


@pytest.mark.requirement("J-20", "M-4")
@pytest.mark.parametrize("value", ["true", "", 1, 0, None, [], {}, [True], 1.0])
def test_whether_a_client_uses_dpop_is_a_boolean(sim: Any, value: Any) -> None:
    before = dict(sim.clients)
    response = register(sim, dpop_bound_access_tokens=value)
    assert error_of(response) == (400, "invalid_client_metadata")
    assert sim.clients == before


@pytest.mark.requirement("J-20")
@pytest.mark.parametrize(
    ("member", "value", "is_good"),
    [
        ("dpop_symmetric_key", "never", True),
        ("dpop_symmetric_key", "always", True),
        ("dpop_symmetric_key", "sometimes", False),
        ("dpop_symmetric_key", True, False),
        ("dpop_symmetric_key", None, False),
        ("dpop_symmetric_alg_values", ["HS512"], True),
        ("dpop_symmetric_alg_values", ["HS256", "none"], False),
        ("dpop_symmetric_alg_values", [], False),
        ("dpop_symmetric_alg_values", "HS256", False),
        ("dpop_symmetric_alg_values", [["HS256"]], False),
    ],
)
def test_members_for_symmetric_keys_are_echoed_or_refused(
    sim: Any, member: str, value: Any, is_good: bool
) -> None:
    response = register(sim, **{member: value})
    if is_good:
        assert response.status_code == 201
        assert response.get_json()[member] == value
    else:
        assert error_of(response) == (400, "invalid_client_metadata")


def test_what_is_registered_about_symmetric_keys_counts(sim: Any, prove: Any) -> None:
    for choice, offered, gets_key in [
        ("always", {}, True),
        ("on_request", {}, False),
        ("on_request", ask(), True),
        ("never", ask(), False),
    ]:
        client = register(sim, dpop_symmetric_key=choice).get_json()
        answer = ask_for_token(sim, client, prove(**offered))
        assert ("cnf" in answer.get_json()) == gets_key


def test_a_client_does_not_choose_its_own_audiences(sim: Any) -> None:
    """They decide about access, so they are the server's to assign."""
    client = register(
        sim,
        audiences=["https://other.example"],
        resource_server_audiences=["https://other.example"],
    ).get_json()
    assert not client.keys() & {"audiences", "resource_server_audiences"}
    metadata = sim.clients[client["client_id"]].client_metadata
    assert "https://other.example" not in metadata["audiences"]
    assert "resource_server_audiences" not in metadata
