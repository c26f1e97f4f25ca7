"""Each type of proof key with each way to deliver a symmetric key, over HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from functools import cache
from typing import Any

import httpx
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc.jwk import ECKey, OKPKey, RSAKey

from demo_server import demo_data
from demo_server.option_values import SettingsError
from demo_server.settings import Settings
from demo_server.supervisor import DemoServer
from dpop_ext import ProofSigner, ProofTooLongError
from dpop_ext.client.audience import Audience
from dpop_ext.core import ml_dsa
from dpop_ext.core.akp import AnyKey, any_thumbprint
from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.jose import json_segment
from dpop_ext.core.ml_dsa import ML_DSA
from dpop_ext.core.proof_making import make_proof
from dpop_ext.integrations.authlib_httpx import AsyncOAuth2Client
from dpop_ext.integrations.httpx_client import DPoPAuth as HttpxAuth
from dpop_ext.integrations.httpx_client import DPoPTokenAuth as HttpxTokenAuth
from dpop_ext.integrations.requests_client import DPoPAuth, OAuth2Session
from dpop_ext.symmetric import hpke
from dpop_ext.symmetric.delivery import DeliveredKey, unwrap_key
from dpop_ext.symmetric.key_request import key_request_claim
from dpop_ext.symmetric.proof import make_symmetric_proof
from tests import post_quantum
from tests.patience import PATIENCE

post_quantum.require()

SIGNATURES = ["ES256", "PS256", "Ed25519", "EdDSA", *ML_DSA]
#: A policy may name them; that of the demo does not.
OFF = ["ES384", "ES512", "RS256"]
DELIVERIES = [
    ("P-256", "ECDH-ES"),
    ("P-256", "ECDH-ES+A256KW"),
    ("P-384", "ECDH-ES"),
    ("P-521", "ECDH-ES+A256KW"),
    ("X25519", "ECDH-ES"),
    ("X25519", "ECDH-ES+A256KW"),
    ("X448", "ECDH-ES"),
    ("RSA", "RSA-OAEP-256"),
    ("ML-KEM-768/X25519", "HPKE-9-KE"),
]
CLIENT = ("demo-confidential", demo_data.CONFIDENTIAL_SECRET)


@cache
def signing_key(algorithm: str) -> AnyKey:
    if algorithm in ML_DSA:
        return ml_dsa.generate(algorithm)
    curves = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
    if algorithm in curves:
        return ECKey.generate_key(curves[algorithm])
    if algorithm in ("PS256", "RS256"):
        return RSAKey.generate_key(2048)
    return OKPKey.generate_key("Ed25519")


@cache
def encryption_key(name: str) -> AnyKey:
    if name.startswith("P-"):
        return ECKey.generate_key(name)
    if name == "RSA":
        return RSAKey.generate_key(2048)
    if name.startswith("X"):
        return OKPKey.generate_key(name)  # type: ignore[arg-type]
    return hpke.generate()


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoServer]:
    settings = Settings(
        as_port=0,
        rs_port=0,
        nonce="off",
        post_quantum="on",
        access_token_lifetime=3600,
        database=f"sqlite:///{tmp_path_factory.mktemp('demo')}/demo.sqlite3",
        log_level="error",
    )
    with DemoServer(settings) as server:
        yield server


def request_token(
    servers: DemoServer,
    algorithm: str,
    *,
    in_form: bool = False,
    **claim: Any,
) -> requests.Response:
    url = f"{servers.as_url}/token"
    proof = make_proof(
        signing_key(algorithm),
        algorithm=algorithm,
        method="POST",
        url=url,
        now=int(time.time()),
        claims={"dsk": key_request_claim(algorithms=("HS256",), **claim)},
    )
    form = {
        "grant_type": "client_credentials",
        "scope": "accounts",
        "resource": servers.settings.resource_url,
    }
    headers = {} if in_form else {"DPoP": proof}
    if in_form:
        form["dpop_proof"] = proof
    return requests.post(url, data=form, headers=headers, auth=CLIENT, timeout=PATIENCE)


def unwrap(
    servers: DemoServer, response: requests.Response, key: AnyKey, algorithm: str
) -> DeliveredKey:
    token = response.json()
    return unwrap_key(
        token["cnf"]["jwe"],
        private_key=key,
        algorithms=("HS256",),
        key_algorithms=(algorithm,),
        encodings=("A256GCM",),
        issuer=servers.settings.issuer_url,
        audience=servers.settings.resource_url,
        access_token=token["access_token"],
        now=int(time.time()),
    )


def call(servers: DemoServer, token: str, proof: str) -> str:
    """Return the kind of proof that the API verified."""
    headers = {"Authorization": f"DPoP {token}", "DPoP": proof}
    url = f"{servers.rs_url}/api/accounts"
    response = requests.get(url, headers=headers, timeout=PATIENCE)
    assert response.status_code == 200, response.headers
    kind: str = response.json()["proof"]
    return kind


def check_key(servers: DemoServer, delivered: DeliveredKey, token: str) -> None:
    proof = make_symmetric_proof(
        delivered.key,
        algorithm=delivered.algorithm,
        method="GET",
        url=f"{servers.rs_url}/api/accounts",
        now=int(time.time()),
        access_token=token,
    )
    assert call(servers, token, proof) == "symmetric"


@pytest.mark.requirement("R1003", "R1202", "R1204", "R1301", "R2308", "R2309", "S-3")
@pytest.mark.parametrize(("name", "key_algorithm"), DELIVERIES)
@pytest.mark.parametrize("algorithm", SIGNATURES)
def test_a_key_of_its_own_gets_the_symmetric_key(
    servers: DemoServer, algorithm: str, name: str, key_algorithm: str
) -> None:
    key = encryption_key(name)
    response = request_token(
        servers,
        algorithm,
        in_form=algorithm in ML_DSA,
        encryption_key=key,
        key_algorithms=(key_algorithm,),
        must=True,
    )
    assert response.status_code == 200, response.text
    token = response.json()
    assert token["cnf"]["jkt"] == any_thumbprint(signing_key(algorithm))
    delivered = unwrap(servers, response, key, key_algorithm)
    check_key(servers, delivered, token["access_token"])


@pytest.mark.requirement("R2113", "R1003")
@pytest.mark.parametrize("algorithm", SIGNATURES)
def test_the_proof_key_gets_it_if_it_can_decrypt(
    servers: DemoServer, algorithm: str
) -> None:
    key = signing_key(algorithm)
    key_algorithm = {"EC": "ECDH-ES", "RSA": "RSA-OAEP-256"}.get(key.key_type)
    response = request_token(servers, algorithm, in_form=algorithm in ML_DSA)
    assert response.status_code == 200, response.text
    assert response.json()["token_type"] == "DPoP"
    assert ("cnf" in response.json()) == (key_algorithm is not None)
    if key_algorithm is not None:
        delivered = unwrap(servers, response, key, key_algorithm)
        check_key(servers, delivered, response.json()["access_token"])
    must = request_token(servers, algorithm, in_form=algorithm in ML_DSA, must=True)
    if key_algorithm is None:
        assert must.status_code == 400
        assert must.json()["error"] == "dpop_sym_unavailable"
    else:
        assert must.status_code == 200


@pytest.mark.requirement("S-3", "P-1", "R2301")
@pytest.mark.parametrize("algorithm", SIGNATURES)
def test_each_key_makes_asymmetric_proofs_too(
    servers: DemoServer, algorithm: str
) -> None:
    response = request_token(servers, algorithm, in_form=algorithm in ML_DSA)
    token = response.json()["access_token"]
    proof = make_proof(
        signing_key(algorithm),
        algorithm=algorithm,
        method="GET",
        url=f"{servers.rs_url}/api/accounts",
        now=int(time.time()),
        access_token=token,
    )
    # These servers have room for the longest of them in a header field.
    assert call(servers, token, proof) == "asymmetric"


@pytest.mark.requirement("C-5", "M-1")
@pytest.mark.parametrize("algorithm", OFF)
def test_an_algorithm_that_the_policy_does_not_name_is_refused(
    servers: DemoServer, algorithm: str
) -> None:
    response = request_token(servers, algorithm)
    assert response.status_code == 400
    assert response.json()["error"] == "invalid_dpop_proof"


@pytest.mark.requirement("C-5", "R1003")
@pytest.mark.parametrize(
    ("key", "algorithms"),
    [
        (ECKey.generate_key("secp256k1"), ["ES256K", "ES256"]),
        (OKPKey.generate_key("Ed448"), ["Ed448", "EdDSA", "Ed25519"]),
    ],
    ids=["secp256k1", "Ed448"],
)
def test_the_curves_that_no_policy_can_name_are_refused(
    servers: DemoServer, key: Any, algorithms: list[str]
) -> None:
    url = f"{servers.as_url}/token"
    payload = {"jti": "a", "htm": "POST", "htu": url, "iat": int(time.time())}
    for algorithm in algorithms:
        jwk = key.as_dict(private=False)
        header = {"typ": "dpop+jwt", "alg": algorithm, "jwk": jwk}
        message = f"{json_segment(header)}.{json_segment(payload)}"
        signature = (
            key.private_key.sign(message.encode())
            if key.key_type == "OKP"
            else _es256k(key, message.encode())
        )
        response = requests.post(
            url,
            data={"grant_type": "client_credentials"},
            headers={"DPoP": f"{message}.{b64url_encode(signature)}"},
            auth=CLIENT,
            timeout=PATIENCE,
        )
        assert response.status_code == 400
        assert response.json()["error"] == "invalid_dpop_proof"


def _es256k(key: ECKey, message: bytes) -> bytes:
    der = key.private_key.sign(message, ec.ECDSA(SHA256()))  # type: ignore[union-attr]
    r, s = decode_dss_signature(der)
    return r.to_bytes(32) + s.to_bytes(32)


@pytest.mark.requirement("R1002", "R2308")
@pytest.mark.parametrize(
    "jwk",
    [
        ECKey.generate_key("secp256k1").as_dict(private=False),
        OKPKey.generate_key("Ed25519").as_dict(private=False),
        OKPKey.generate_key("Ed448").as_dict(private=False),
        ml_dsa.generate("ML-DSA-65").as_dict(),
        {**hpke.generate().as_dict(), "alg": "HPKE-9"},
        {**hpke.generate().as_dict(), "alg": "ML-KEM-768"},
        hpke.generate().as_dict(private=True),
    ],
    ids=["secp256k1", "Ed25519", "Ed448", "ML-DSA", "HPKE-9", "ML-KEM", "private"],
)
def test_a_key_that_is_not_for_encryption_is_refused(
    servers: DemoServer, jwk: dict[str, Any]
) -> None:
    url = f"{servers.as_url}/token"
    dsk = {"algs": ["HS256"], "jwk": jwk, "kalgs": ["ECDH-ES", "HPKE-9-KE"]}
    proof = make_proof(
        signing_key("ES256"),
        algorithm="ES256",
        method="POST",
        url=url,
        now=int(time.time()),
        claims={"dsk": dsk},
    )
    form = {"grant_type": "client_credentials"}
    response = requests.post(
        url, data=form, headers={"DPoP": proof}, auth=CLIENT, timeout=PATIENCE
    )
    assert response.status_code == 400
    assert response.json()["error"] == "invalid_dpop_proof"


@pytest.mark.requirement("R2301", "R2307", "R2309", "R1604")
@pytest.mark.parametrize("algorithm", ["ES256", *ML_DSA])
@pytest.mark.parametrize("key_algorithm", ["ECDH-ES", "HPKE-9-KE"])
def test_the_session_of_requests_does_all_of_it(
    servers: DemoServer, algorithm: str, key_algorithm: Any
) -> None:
    signer = ProofSigner.generate(
        algorithm, symmetric="must", key_algorithm=key_algorithm
    )
    with OAuth2Session(
        *CLIENT,
        dpop=signer,
        token_endpoint=f"{servers.as_url}/token",
        issuer=servers.settings.issuer_url,
        resource=servers.settings.resource_url,
        scope="accounts",
    ) as session:
        session.fetch_token()
        response = session.get(f"{servers.rs_url}/api/accounts")
    assert response.json()["proof"] == "symmetric"
    assert len(response.request.headers["DPoP"]) < 400


@pytest.fixture
def long_session(servers: DemoServer) -> Iterator[OAuth2Session]:
    """A session with a key whose proofs fit no header field."""
    signer = ProofSigner.generate("ML-DSA-65", symmetric="must")
    with session_of(servers, signer) as session:
        yield session


def session_of(
    servers: DemoServer, signer: ProofSigner, **options: Any
) -> OAuth2Session:
    return OAuth2Session(
        *CLIENT,
        dpop=signer,
        token_endpoint=f"{servers.as_url}/token",
        issuer=servers.settings.issuer_url,
        resource=servers.settings.resource_url,
        scope="accounts",
        grant_type="client_credentials",
        **options,
    )


@pytest.mark.requirement("R2307")
def test_a_token_is_kept_no_longer_than_the_key_that_it_needs(
    servers: DemoServer, long_session: OAuth2Session
) -> None:
    token = long_session.fetch_token()
    key_end = long_session.dpop.key_expires_at(token["access_token"])
    assert key_end is not None
    # The tokens of these servers live an hour, and the keys ten minutes.
    assert token["expires_in"] == 3600
    assert token["expires_at"] == key_end <= time.time() + 600
    other = ProofSigner.generate("ML-DSA-44", symmetric="must")
    with session_of(servers, other) as session:
        assert session.fetch_token()["expires_at"] > time.time() + 3000


@pytest.mark.requirement("R2307")
def test_a_token_of_an_earlier_process_is_refreshed_for_its_key(
    servers: DemoServer, long_session: OAuth2Session
) -> None:
    token = dict(long_session.fetch_token())
    key = ml_dsa.generate("ML-DSA-65")
    signer = ProofSigner(key, symmetric="must")
    with session_of(servers, signer, token=token) as session:
        response = session.get(f"{servers.rs_url}/api/accounts")
        assert session.token["access_token"] != token["access_token"]
    assert response.json()["proof"] == "symmetric"


@pytest.mark.requirement("R2307")
def test_httpx_sends_a_long_proof_in_the_form(servers: DemoServer) -> None:
    signer = ProofSigner.generate("ML-DSA-65", symmetric="must")
    audience = Audience.of(servers.settings.issuer_url, servers.settings.resource_url)
    form = {
        "grant_type": "client_credentials",
        "scope": "accounts",
        "resource": servers.settings.resource_url,
    }
    auth = HttpxTokenAuth(signer, CLIENT, audience=audience)
    answer = httpx.post(f"{servers.as_url}/token", data=form, auth=auth)
    assert answer.status_code == 200, answer.text
    token = answer.json()["access_token"]
    url = f"{servers.rs_url}/api/accounts"
    response = httpx.get(url, auth=HttpxAuth(signer, token))
    assert response.json()["proof"] == "symmetric"
    signer.forget(token)
    with pytest.raises(ProofTooLongError):
        httpx.get(url, auth=HttpxAuth(signer, token))
    with pytest.raises(ProofTooLongError):
        requests.get(url, auth=DPoPAuth(signer, token), timeout=PATIENCE)


@pytest.mark.requirement("R2307")
@pytest.mark.parametrize("key_algorithm", ["ECDH-ES", "HPKE-9-KE"])
def test_the_client_for_asyncio_does_all_of_it(
    servers: DemoServer, key_algorithm: Any
) -> None:
    signer = ProofSigner.generate(
        "ML-DSA-65", symmetric="must", key_algorithm=key_algorithm
    )

    async def journey() -> httpx.Response:
        async with AsyncOAuth2Client(
            *CLIENT,
            dpop=signer,
            token_endpoint=f"{servers.as_url}/token",
            issuer=servers.settings.issuer_url,
            resource=servers.settings.resource_url,
            scope="accounts",
        ) as client:
            await client.fetch_token()
            answer: httpx.Response = await client.get(f"{servers.rs_url}/api/accounts")
            return answer

    assert asyncio.run(journey()).json()["proof"] == "symmetric"


def test_the_metadata_says_what_is_accepted(servers: DemoServer) -> None:
    url = f"{servers.as_url}/.well-known/oauth-authorization-server"
    metadata = requests.get(url, timeout=PATIENCE).json()
    assert metadata["dpop_proof_parameter_supported"] is True
    algorithms = metadata["dpop_signing_alg_values_supported"]
    assert sorted(algorithms) == sorted(SIGNATURES)
    names = metadata["dpop_symmetric_key_encryption_alg_values_supported"]
    assert set(names) == {name for _, name in DELIVERIES}


def test_the_fapi_profile_has_no_post_quantum_algorithms() -> None:
    with pytest.raises(SettingsError, match="FAPI"):
        Settings(profile="fapi2", post_quantum="on")


@pytest.mark.requirement("R2302")
def test_an_old_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hpke, "is_supported", lambda: False)
    with pytest.raises(SettingsError, match="cryptography 50"):
        Settings(post_quantum="on")
