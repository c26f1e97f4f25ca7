"""The demo without a shared secret: --symmetric-model encapsulated."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, Key, OKPKey

from demo_server import private_file
from demo_server.decryption_keys import KEY_FILE, open_keys
from demo_server.private_file import PrivateFileError
from demo_server.resource_server_keys import load_keys
from dpop_ext.client.key_material import KeyMaterial
from dpop_ext.core.key_set import StaticKeys
from dpop_ext.core.proof_making import make_proof
from dpop_ext.errors import AccessTokenError
from dpop_ext.symmetric.delivery import DeliveredKey, unwrap_key
from dpop_ext.symmetric.key_jwe import parse_header
from dpop_ext.symmetric.key_request import key_request_claim
from dpop_ext.symmetric.proof import make_symmetric_proof
from tests.conftest import Clock
from tests.demo.parties import CONFIDENTIAL, RESOURCE_SERVER, Parties

WRAPPING_KEY = OKPKey.generate_key("X25519")


@pytest.fixture(params=["jwt", "introspection"])
def servers(request: Any, tmp_path: Path, clock: Clock, ec_key: ECKey) -> Parties:
    options: dict[str, Any] = {}
    if request.param == "introspection":
        options["introspection_endpoint"] = "http://127.0.0.1:9000/introspect"
    return Parties.start(
        tmp_path, clock, ec_key, symmetric_model="encapsulated", **options
    )


def ask(servers: Parties, **more: Any) -> Any:
    claim = key_request_claim(algorithms=["HS256"], encryption_key=WRAPPING_KEY, **more)
    response = servers.token(
        {"grant_type": "client_credentials"},
        headers=CONFIDENTIAL,
        claims={"dsk": claim},
    )
    assert response.status_code == 200, response.get_json()
    return response.get_json()


def unwrap(servers: Parties, body: dict[str, Any]) -> DeliveredKey:
    return unwrap_key(
        body["cnf"]["jwe"],
        private_key=WRAPPING_KEY,
        algorithms=["HS256"],
        key_algorithms=["ECDH-ES"],
        encodings=["A256GCM"],
        issuer=servers.settings.issuer_url,
        audience=servers.settings.resource_url,
        access_token=body["access_token"],
        now=servers.clock.now,
    )


def call(servers: Parties, key: DeliveredKey, token: str) -> Any:
    url = f"{servers.settings.resource_url}/api/accounts"
    for _ in range(2):
        proof = make_symmetric_proof(
            key.key,
            algorithm="HS256",
            method="GET",
            url=url,
            now=servers.clock.now,
            access_token=token,
            nonce=servers.nonces.get(servers.settings.resource_url),
        )
        fields = {"Authorization": f"DPoP {token}", "DPoP": proof}
        response = servers.rs_client.get("/api/accounts", headers=fields)
        nonce = response.headers.get("DPoP-Nonce")
        if nonce is None or response.status_code == 200:
            return response
        servers.nonces[servers.settings.resource_url] = nonce
    return response


def cnf_of(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    cnf: dict[str, Any] = claims["cnf"]
    return cnf


def test_symmetric_proofs_are_good_and_nothing_secret_is_shared(
    servers: Parties,
) -> None:
    body = ask(servers)
    key = unwrap(servers, body)
    assert key.version is None
    response = call(servers, key, body["access_token"])
    assert (response.status_code, response.get_json()["proof"]) == (200, "symmetric")
    assert not list(servers.settings.rs_keys_directory.glob("keyring-*"))
    metadata = servers.as_client.get(
        "/.well-known/oauth-authorization-server"
    ).get_json()
    assert "dpop_symmetric_keyring_endpoint" not in metadata
    assert "dpop_symmetric_kdf_values_supported" not in metadata
    modes = servers.rs_client.get("/.well-known/oauth-protected-resource").get_json()
    assert modes["dpop_symmetric_modes_supported"] == ["encapsulated", "ticket"]
    assert servers.as_client.post("/keyring").status_code == 404


@pytest.mark.requirement("R2061", "R2062", "R2063")
def test_the_key_is_encrypted_for_the_registered_key(servers: Parties) -> None:
    header = parse_header(cnf_of(ask(servers)["access_token"])["jwe"])
    _, decryption = load_keys(servers.settings.rs_keys_directory)
    assert header["kid"] == decryption.thumbprint()
    assert (header["typ"], header["alg"]) == ("dpop-sym-rs+jwe", "ECDH-ES")


@pytest.mark.requirement("R2233")
def test_introspection_tells_the_resource_server_alone(servers: Parties) -> None:
    form = {"token": ask(servers)["access_token"]}
    answer = servers.as_client.post("/introspect", data=form, headers=RESOURCE_SERVER)
    assert set(answer.get_json()["cnf"]) == {"jkt", "jwe"}
    # Every other client is told nothing at all.
    other = servers.as_client.post("/introspect", data=form, headers=CONFIDENTIAL)
    assert other.get_json() == {"active": False}


@pytest.mark.requirement("T4", "R2062")
def test_a_token_with_the_encrypted_key_of_another_is_refused(
    servers: Parties, other_ec_key: ECKey
) -> None:
    body = ask(servers)
    key = unwrap(servers, body)
    claim = key_request_claim(algorithms=["HS256"], encryption_key=WRAPPING_KEY)
    response = servers.token(
        {"grant_type": "client_credentials"},
        headers=CONFIDENTIAL,
        claims={"dsk": claim},
        key=other_ec_key,
    )
    other = cnf_of(response.get_json()["access_token"])["jwe"]
    header, payload, signature = body["access_token"].split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    claims["cnf"]["jwe"] = other
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    refused = call(servers, key, f"{header}.{forged}.{signature}")
    assert refused.status_code == 401
    assert 'error="invalid_token"' in refused.headers["WWW-Authenticate"]
    assert call(servers, key, body["access_token"]).status_code == 200


def request_with(
    servers: Parties, material: KeyMaterial, *, jti: str, bound_to: str | None = None
) -> Any:
    """Ask for a token with key material, in a proof with this jti."""
    claim = key_request_claim(
        algorithms=["HS256"],
        encryption_key=WRAPPING_KEY,
        key_material=material.encrypt(
            jkt=servers.key.thumbprint(), jti=bound_to or jti
        ),
    )
    for _ in range(2):
        proof = make_proof(
            servers.key,
            algorithm="ES256",
            method="POST",
            url=f"{servers.settings.issuer_url}/token",
            now=servers.clock.now,
            jti=jti,
            nonce=servers.nonces.get(servers.settings.issuer_url),
            claims={"dsk": claim},
        )
        response = servers.as_client.post(
            "/token",
            data={"grant_type": "client_credentials"},
            headers={**CONFIDENTIAL, "DPoP": proof},
        )
        nonce = response.headers.get("DPoP-Nonce")
        if nonce is None:
            break
        servers.nonces[servers.settings.issuer_url] = nonce
    return response


@pytest.mark.requirement("R2191", "R2192", "R2193")
def test_key_material_is_encrypted_for_the_published_key(servers: Parties) -> None:
    jwks = servers.as_client.get("/jwks").get_json()
    material = KeyMaterial.of(jwks, client_id="demo-confidential")
    refused = request_with(servers, material, jti="one", bound_to="another")
    assert refused.status_code == 400
    assert refused.get_json()["error"] == "invalid_dpop_proof"
    body = request_with(servers, material, jti="two").get_json()
    key = unwrap(servers, body)
    assert call(servers, key, body["access_token"]).status_code == 200


@pytest.mark.requirement("R2191")
def test_the_encryption_key_of_the_issuer_is_not_taken_for_one_that_signs(
    servers: Parties,
) -> None:
    jwks = servers.as_client.get("/jwks").get_json()
    uses = [key["use"] for key in jwks["keys"]]
    assert uses == ["sig", "enc"]
    assert not any("d" in key for key in jwks["keys"])
    keys = StaticKeys(jwks)
    kids = [key["kid"] for key in jwks["keys"]]
    signing = keys.find(kids[0], algorithm="ES256").thumbprint()
    assert signing == kids[0]
    # Neither by its name nor as one of those that fit.
    with pytest.raises(AccessTokenError):
        keys.find(kids[1], algorithm="ES256")
    assert keys.find(None, algorithm="ES256").thumbprint() == signing


def rewrite(path: Path, *keys: Key) -> None:
    document = {"keys": [key.as_dict(private=True) for key in keys]}
    private_file.replace(path, json.dumps(document).encode())


def test_the_issuer_takes_key_material_for_its_old_key_too(
    tmp_path: Path, clock: Clock, ec_key: ECKey
) -> None:
    servers = Parties.start(tmp_path, clock, ec_key, symmetric_model="encapsulated")
    path = servers.settings.keys_directory / KEY_FILE
    old = open_keys(path)()[0]
    new = ECKey.generate_key("P-256", {"use": "enc"})
    rewrite(path, new, old)
    clock.advance(31)
    jwks = servers.as_client.get("/jwks").get_json()
    assert [k["kid"] for k in jwks["keys"] if k["use"] == "enc"] == [new.thumbprint()]
    for key, status in ((new, 200), (old, 200), (ECKey.generate_key("P-256"), 400)):
        public = {**key.as_dict(private=False), "use": "enc"}
        material = KeyMaterial.of({"keys": [public]}, client_id="demo-confidential")
        response = request_with(servers, material, jti=key.thumbprint())
        assert response.status_code == status


def test_a_file_of_something_else_stops_the_server(
    tmp_path: Path, clock: Clock, ec_key: ECKey
) -> None:
    servers = Parties.start(tmp_path, clock, ec_key, symmetric_model="encapsulated")
    path = servers.settings.keys_directory / KEY_FILE
    private_file.replace(path, b"{}")
    with pytest.raises(PrivateFileError, match=KEY_FILE):
        Parties.start(tmp_path, clock, ec_key, symmetric_model="encapsulated")
