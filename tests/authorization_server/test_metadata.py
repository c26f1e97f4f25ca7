"""What server and clients publish, and that it is what is enforced."""

from __future__ import annotations

from typing import Any

import pytest
from authlib.oauth2 import rfc7591, rfc8414
from flask import Flask

from dpop_ext.authorization_server import (
    AuthorizationServerMetadata,
    ClientMetadataClaims,
    SymmetricKeys,
)
from dpop_ext.authorization_server.metadata import metadata_path
from dpop_ext.core.policy import ProofPolicy
from dpop_ext.symmetric.conformance import AUTHORIZATION_SERVER, claims
from tests.authorization_server.simulator import ISSUER, Prover
from tests.authorization_server.symmetric_parts import Secrets

SERVER = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/authorize",
    "token_endpoint": f"{ISSUER}/token",
    "response_types_supported": ["code"],
}


def validate(members: dict[str, Any]) -> None:
    metadata = rfc8414.AuthorizationServerMetadata(SERVER | members)
    metadata.validate(metadata_classes=[AuthorizationServerMetadata])


@pytest.mark.requirement("M-1", "X-27")
def test_the_published_algorithms_are_the_enforced_ones(
    make_sim: Any, clock: Any, ec_key: Any, rsa_key: Any, ed_key: Any
) -> None:
    provers = {
        "ES256": Prover(ec_key, clock),
        "PS256": Prover(rsa_key, clock, "PS256"),
        "RS256": Prover(rsa_key, clock, "RS256"),
        "Ed25519": Prover(ed_key, clock, "Ed25519"),
        "EdDSA": Prover(ed_key, clock, "EdDSA"),
    }
    for policy in (ProofPolicy(), ProofPolicy(algorithms=("RS256", "ES256"))):
        sim = make_sim(policy=policy)
        metadata = sim.dpop.get_metadata()
        validate(metadata)
        assert set(metadata) == {"dpop_signing_alg_values_supported"}
        accepted = [
            name
            for name, prove in provers.items()
            if sim.token({"grant_type": "client_credentials"}, prove()).status_code
            == 200
        ]
        assert sorted(metadata["dpop_signing_alg_values_supported"]) == sorted(accepted)


@pytest.mark.requirement("J-1")
@pytest.mark.parametrize(
    ("issuer", "path"),
    [
        (ISSUER, ""),
        (f"{ISSUER}/", ""),
        (f"{ISSUER}/tenant", "/tenant"),
        (f"{ISSUER}/a/tenant/", "/a/tenant"),
    ],
)
def test_the_document_is_found_for_an_issuer_with_or_without_a_path(
    make_sim: Any, prove: Prover, prove_other: Prover, issuer: str, path: str
) -> None:
    sim = make_sim(public_url=issuer.removesuffix("/"))
    document = {"issuer": issuer, **sim.dpop.get_metadata()}
    sim.app.get(metadata_path(issuer))(lambda: document)
    address = f"{ISSUER}/.well-known/oauth-authorization-server{path}"
    answer = sim.http.get(address)
    assert answer.status_code == 200
    assert answer.get_json()["issuer"] == issuer
    published = answer.get_json()["dpop_signing_alg_values_supported"]
    assert isinstance(published, list)
    assert "ES256" in published
    # And the endpoints are where the path says that they are.
    form = {"grant_type": "client_credentials"}
    good = prove(url=f"{ISSUER}{path}/token")
    assert sim.token(form, good).get_json()["token_type"] == "DPoP"
    bad = prove_other(url=f"{ISSUER}{path}/other/token")
    assert sim.token(form, bad).get_json()["error"] == "invalid_dpop_proof"


@pytest.mark.requirement("R1704", "R1707")
def test_symmetric_members_are_there_when_keys_are_issued(
    make_sim: Any, clock: Any
) -> None:
    sim = make_sim(symmetric=SymmetricKeys(Secrets(clock), issuer=ISSUER))
    metadata = sim.dpop.get_metadata()
    validate(metadata)
    assert metadata == {
        "dpop_signing_alg_values_supported": ["ES256", "Ed25519", "EdDSA", "PS256"],
        "dpop_symmetric_alg_values_supported": ["HS256", "HS512"],
        "dpop_symmetric_key_encryption_alg_values_supported": [
            "ECDH-ES",
            "ECDH-ES+A256KW",
            "RSA-OAEP-256",
        ],
        "dpop_symmetric_key_encryption_enc_values_supported": ["A256GCM", "A128GCM"],
        "dpop_symmetric_kdf_values_supported": ["dpop-sym/1"],
        "dpop_symmetric_same_key_allowed": True,
        "dpop_sym_conformance": claims(AUTHORIZATION_SERVER),
    }


@pytest.mark.parametrize("value", [None, "ES256", [], {}, [5], ["none"], ["HS256"]])
@pytest.mark.requirement("M-1")
def test_a_list_that_no_client_could_use_is_refused(value: Any) -> None:
    validate({"dpop_signing_alg_values_supported": ["ES256"]})
    with pytest.raises(ValueError, match="dpop_signing_alg_values_supported"):
        validate({"dpop_signing_alg_values_supported": value})


@pytest.mark.parametrize("key", AuthorizationServerMetadata.REGISTRY_KEYS)
def test_each_member_is_checked(key: str) -> None:
    for value in (["unknown"], "x", 1, None):
        with pytest.raises(ValueError, match=key):
            validate({key: value})


# --- registration of clients


class Registration(rfc7591.ClientRegistrationEndpoint):
    def authenticate_token(self, request: Any) -> bool:
        return True

    def get_server_metadata(self) -> dict[str, Any]:
        return {}

    def save_client(self, client_info: Any, client_metadata: Any, request: Any) -> None:
        return None


@pytest.fixture
def register(sim: Any) -> Any:
    classes = [rfc7591.ClientMetadataClaims, ClientMetadataClaims]
    sim.server.register_endpoint(Registration(claims_classes=classes))
    app: Flask = sim.app
    app.add_url_rule(
        "/register",
        methods=["POST"],
        view_func=lambda: sim.server.create_endpoint_response("client_registration"),
    )

    def send(**metadata: Any) -> tuple[int, dict[str, Any]]:
        response = sim.http.post(f"{ISSUER}/register", json={"scope": "a"} | metadata)
        return response.status_code, response.get_json()

    return send


@pytest.mark.parametrize("value", [True, False])
@pytest.mark.requirement("M-4", "J-20", "X-27")
def test_a_client_registers_that_it_uses_dpop(register: Any, *, value: bool) -> None:
    status, body = register(dpop_bound_access_tokens=value)
    assert (status, body["dpop_bound_access_tokens"]) == (201, value)


@pytest.mark.parametrize("value", ["true", "false", 1, 0, None, [], [True], {}])
@pytest.mark.requirement("M-4", "J-20")
def test_only_a_boolean_will_do(register: Any, value: Any) -> None:
    status, body = register(dpop_bound_access_tokens=value)
    assert (status, body["error"]) == (400, "invalid_client_metadata")


@pytest.mark.parametrize(
    ("member", "good", "bad"),
    [
        ("dpop_symmetric_key", ["never", "on_request", "always"], ["", "Never", 1, []]),
        (
            "dpop_symmetric_alg_values",
            [["HS256"], ["HS512", "HS256"]],
            ["HS256", [], ["ES256"], [5], None, {}],
        ),
        (
            "dpop_symmetric_encapsulation_alg",
            ["ECDH-ES", "ECDH-ES+A256KW", "RSA-OAEP-256"],
            ["RSA1_5", "dir", "", None, [], 5],
        ),
        (
            "dpop_symmetric_encapsulation_enc",
            ["A256GCM", "A128GCM"],
            ["A256CBC-HS512", "", None, [], 5],
        ),
        (
            "dpop_sym_conformance",
            [claims(["CLIENT"]), claims(["CLIENT", "SYM_PROOF"])],
            ["", [], [5], ["https://example.com"], claims(["CLIENT"])[0]],
        ),
    ],
)
def test_members_for_symmetric_keys_are_checked(
    register: Any, member: str, good: list[Any], bad: list[Any]
) -> None:
    for value in good:
        status, body = register(**{member: value})
        assert (status, body[member]) == (201, value)
    for value in bad:
        status, body = register(**{member: value})
        assert (status, body["error"]) == (400, "invalid_client_metadata")


def test_a_client_does_not_choose_its_audiences(register: Any) -> None:
    status, body = register(
        audiences=["https://api.example"], resource_server_audiences=["x"]
    )
    assert status == 201
    assert "audiences" not in body
    assert "resource_server_audiences" not in body


def test_the_keyring_endpoint_is_an_https_url() -> None:
    key = "dpop_symmetric_keyring_endpoint"
    validate({key: f"{ISSUER}/keyring"})
    for value in ("http://as.example/keyring", None, 5):
        with pytest.raises(ValueError, match=key):
            validate({key: value})
