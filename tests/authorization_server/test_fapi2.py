"""The FAPI 2.0 profile: one registration, and what it does not let through."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest
from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc7636 import CodeChallenge, create_s256_code_challenge
from flask import Response
from joserfc.jwk import ECKey, RSAKey

from dpop_ext import FAPI2, RFC9449, ProofPolicy, ProofVerifier
from dpop_ext.authorization_server import DPoP, FAPI2SecurityProfile
from dpop_ext.authorization_server.fapi2 import CODE_LIFETIME
from dpop_ext.core.client_assertion import ASSERTION_TYPE
from dpop_ext.core.jws_signature import sign_compact
from dpop_ext.core.nonce import NonceIssuer
from dpop_ext.stores.memory import MemoryReplayStore
from dpop_ext.stores.pushed_requests import MemoryPushedRequestStore
from tests.authorization_server.pushing import (
    PAR_URL,
    SigningClient,
    par_proof,
    redirected,
)
from tests.authorization_server.simulator import (
    ISSUER,
    PUBLIC_GRANTS,
    REDIRECT_URI,
    TOKEN_URL,
    VERIFIER,
    Prover,
    Simulator,
    basic,
)

REQUEST = {
    "response_type": "code",
    "client_id": "signer",
    "redirect_uri": REDIRECT_URI,
    "state": "s-1",
    "code_challenge": create_s256_code_challenge(VERIFIER),
    "code_challenge_method": "S256",
}


class Implicit(grants.ImplicitGrant):
    pass


class Fapi:
    """A server that has the profile, and a client with a key."""

    def __init__(self, clock: Any, key: ECKey, **options: Any) -> None:
        self.key = key
        self.sim = Simulator(
            clock,
            way="profile",
            policy=FAPI2,
            extra_grants=[Implicit],
            rotate=False,
            **options,
        )
        for grant, _ in self.sim.server._token_grants:
            if grant.GRANT_TYPE == "refresh_token":
                # What the profile has to change.
                grant.INCLUDE_NEW_REFRESH_TOKEN = True
        self.sim.clients["signer"] = SigningClient("signer", key)
        for _, extensions in self.sim.server._authorization_grants:
            extensions[:] = [e for e in extensions if not isinstance(e, CodeChallenge)]
        self.profile = FAPI2SecurityProfile(
            ISSUER,
            dpop=self.sim.dpop,
            replay_store=MemoryReplayStore(),
            pushed_requests=MemoryPushedRequestStore(),
        )
        self.sim.server.register_extension(self.profile)

        @self.sim.app.post("/par")
        def par() -> Response:
            return self.sim.server.create_endpoint_response(  # type: ignore[no-any-return]
                "pushed_authorization_request"
            )

    def assertion(self, **changes: Any) -> dict[str, str]:
        now = self.sim.clock.now
        claims = {"iss": "signer", "sub": "signer", "aud": ISSUER, "iat": now}
        claims |= {"exp": now + 60, "jti": secrets.token_hex(8), **changes}
        header = {"alg": "ES256", "kid": self.key.kid}
        return {
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": sign_compact(header, claims, self.key),
        }

    def push(self, proof: str | None = None, **changes: Any) -> Any:
        form = REQUEST | self.assertion() | changes
        form = {k: v for k, v in form.items() if v is not None}
        fields = [("DPoP", proof)] if proof is not None else []
        return self.sim.http.post(PAR_URL, data=form, headers=fields)

    def code(self, proof: str | None = None, **changes: Any) -> str:
        answer = self.push(proof, **changes)
        assert answer.status_code == 201, answer.text
        query = {
            "client_id": "signer",
            "request_uri": answer.get_json()["request_uri"],
        }
        address = f"{ISSUER}/authorize?{urlencode(query)}"
        assert self.sim.http.get(address).status_code == 200
        return redirected(self.sim.http.post(address, data={"confirm": "1"}))["code"]

    def token(self, proof: str | None, **form: Any) -> Any:
        fields = [("DPoP", proof)] if proof is not None else []
        return self.sim.http.post(
            TOKEN_URL, data=self.assertion() | form, headers=fields
        )

    def redeem(self, code: str, proof: str | None, **changes: Any) -> Any:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": REDIRECT_URI,
            "code_verifier": VERIFIER,
            **changes,
        }
        return self.token(proof, **form)


@pytest.fixture(scope="module")
def key() -> ECKey:
    return ECKey.generate_key("P-256", {"kid": "k1"})


@pytest.fixture
def make_fapi(clock: Any, key: ECKey) -> Callable[..., Fapi]:
    def make(**options: Any) -> Fapi:
        return Fapi(clock, key, **options)

    return make


@pytest.fixture
def fapi(make_fapi: Callable[..., Fapi]) -> Fapi:
    return make_fapi()


@pytest.mark.requirement("F-2", "F-3", "F-6")
def test_the_whole_flow(fapi: Fapi, prove: Prover) -> None:
    answer = fapi.redeem(fapi.code(par_proof(prove)), prove()).get_json()
    assert answer["token_type"] == "DPoP"
    for _ in range(2):
        refreshed = fapi.token(
            prove(), grant_type="refresh_token", refresh_token=answer["refresh_token"]
        )
        assert refreshed.status_code == 200
        assert refreshed.get_json()["token_type"] == "DPoP"
        assert "refresh_token" not in refreshed.get_json()


@pytest.mark.requirement("F-4")
def test_the_flow_with_nonces(
    make_fapi: Callable[..., Fapi], prove: Prover, nonces: NonceIssuer, clock: Any
) -> None:
    fapi = make_fapi(nonces=nonces)
    assert fapi.push(par_proof(prove)).get_json()["error"] == "use_dpop_nonce"
    code = fapi.code(par_proof(prove, nonces))
    assert fapi.redeem(code, prove()).get_json()["error"] == "use_dpop_nonce"
    nonce = nonces.issue(purpose="as", now=clock.now)
    assert fapi.redeem(code, prove(nonce=nonce)).status_code == 200


@pytest.mark.requirement("F-2")
def test_no_token_without_a_proof(fapi: Fapi) -> None:
    answer = fapi.redeem(fapi.code(), None)
    assert answer.get_json()["error"] == "invalid_dpop_proof"
    answer = fapi.token(None, grant_type="client_credentials")
    assert answer.get_json()["error"] == "invalid_dpop_proof"
    assert fapi.sim.tokens == []


@pytest.mark.requirement("F-1")
def test_public_clients_get_nothing(fapi: Fapi, prove: Prover) -> None:
    for grant_type in PUBLIC_GRANTS:
        form = fapi.sim.grant(grant_type, "public")
        answer = fapi.sim.token(form, prove(), client="public")
        expected = (
            "unsupported_grant_type" if grant_type == "password" else "invalid_client"
        )
        assert answer.get_json()["error"] == expected
        assert fapi.sim.is_unused(form)
    answer = fapi.sim.http.post(PAR_URL, data=REQUEST | {"client_id": "public"})
    assert answer.get_json()["error"] == "invalid_client"


@pytest.mark.requirement("F-1")
def test_a_secret_is_no_authentication(fapi: Fapi, prove: Prover) -> None:
    for grant_type in "client_credentials", "authorization_code", "refresh_token":
        form = fapi.sim.grant(grant_type)
        answer = fapi.sim.token(form, prove())
        assert answer.get_json()["error"] == "invalid_client"
        assert fapi.sim.is_unused(form)
    secret = [("Authorization", basic("confidential", "secret"))]
    form = REQUEST | {"client_id": "confidential"}
    answer = fapi.sim.http.post(PAR_URL, data=form, headers=secret)
    assert answer.get_json()["error"] == "invalid_client"


@pytest.mark.parametrize(
    "grant_type", ["password", "urn:ietf:params:oauth:grant-type:jwt-bearer"]
)
def test_some_grants_are_not_offered(
    fapi: Fapi, prove: Prover, grant_type: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "dpop_ext")
    answer = fapi.sim.token(fapi.sim.grant(grant_type), prove())
    assert answer.get_json()["error"] == "unsupported_grant_type"
    (record,) = caplog.records
    assert record.getMessage().startswith("refused: unsupported_grant_type, client")


@pytest.mark.requirement("F-8")
def test_a_request_must_be_pushed(fapi: Fapi) -> None:
    answer = fapi.sim.http.get(f"{ISSUER}/authorize", query_string=REQUEST)
    assert answer.status_code == 400
    assert answer.get_json()["error"] == "invalid_request"


@pytest.mark.requirement("F-8")
@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": "A" * 44}, "invalid_request"),
        ({"code_challenge": "A" * 42 + "."}, "invalid_request"),
        ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
        ({"redirect_uri": None}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "none"}, "unsupported_response_type"),
    ],
)
def test_a_faulty_request_cannot_be_pushed(
    fapi: Fapi, changes: dict[str, Any], error: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "dpop_ext")
    answer = fapi.push(**changes)
    assert answer.status_code == 400
    assert answer.get_json()["error"] == error
    (record,) = caplog.records
    assert record.getMessage().startswith(f"refused: {error}, client 'signer', pushed")


@pytest.mark.requirement("F-8")
@pytest.mark.parametrize(
    ("verifier", "error"),
    [
        ("w" * 43, "invalid_grant"),
        (create_s256_code_challenge(VERIFIER), "invalid_grant"),
        ("short", "invalid_request"),
        (None, "invalid_request"),
    ],
)
def test_the_code_verifier_must_fit(
    fapi: Fapi, prove: Prover, verifier: str | None, error: str
) -> None:
    code = fapi.code()
    answer = fapi.redeem(code, prove(), code_verifier=verifier or [])
    assert answer.get_json()["error"] == error
    assert code in fapi.sim.codes


def test_a_code_that_was_stored_without_its_challenge_is_worth_nothing(
    fapi: Fapi, prove: Prover
) -> None:
    code = fapi.code()
    fapi.sim.codes[code].code_challenge = None
    answer = fapi.redeem(code, prove())
    assert answer.get_json()["error"] == "invalid_grant"
    answer = fapi.redeem(code, prove(), code_verifier=[])
    assert answer.get_json()["error"] == "invalid_grant"


@pytest.mark.requirement("F-5")
@pytest.mark.parametrize(("age", "status"), [(0, 200), (59, 200), (60, 400)])
def test_a_code_of_known_age_lives_a_minute(
    fapi: Fapi, prove: Prover, clock: Any, age: int, status: int
) -> None:
    code = fapi.code()
    fapi.sim.codes[code].auth_time = clock.now
    clock.advance(age)
    answer = fapi.redeem(code, prove())
    assert answer.status_code == status
    if status == 400:
        assert answer.get_json()["error"] == "invalid_grant"
        assert fapi.sim.tokens == []


def test_a_code_that_was_used_is_found_however_old(
    fapi: Fapi, prove: Prover, clock: Any
) -> None:
    """So that the grant can tell a second use, and revoke what came of the first."""
    code = fapi.code()
    fapi.sim.codes[code].auth_time = clock.now - 600
    fapi.sim.codes[code].redeemed_at = clock.now - 590
    # The grant of this test has no use for it and takes it for a good one.
    assert fapi.redeem(code, prove()).status_code == 200


@pytest.mark.requirement("F-8")
def test_every_authorization_response_names_the_issuer(fapi: Fapi) -> None:
    def address() -> str:
        request_uri = fapi.push().get_json()["request_uri"]
        query = {"client_id": "signer", "request_uri": request_uri}
        return f"{ISSUER}/authorize?{urlencode(query)}"

    allowed = fapi.sim.http.post(address(), data={"confirm": "1"})
    denied = fapi.sim.http.post(address())
    assert redirected(allowed).keys() == {"code", "state", "iss"}
    assert redirected(denied)["error"] == "access_denied"
    for answer in allowed, denied:
        assert redirected(answer)["iss"] == ISSUER
        assert redirected(answer)["state"] == "s-1"
    assert fapi.profile.get_metadata()["authorization_response_iss_parameter_supported"]


@pytest.mark.requirement("F-7")
@pytest.mark.parametrize("mode", ["off", "required"])
def test_clocks_may_be_ten_seconds_fast_and_not_sixty(
    make_fapi: Callable[..., Fapi], prove: Prover, nonces: NonceIssuer, mode: str
) -> None:
    fapi = make_fapi(nonces=nonces if mode == "required" else None)
    now = prove.clock.now
    nonce = nonces.issue(purpose="as", now=now)
    for ahead, status in (0, 200), (10, 200), (61, 400):
        proof = prove(now=now + ahead, nonce=nonce)
        answer = fapi.token(proof, grant_type="client_credentials")
        assert answer.status_code == status
    for ahead, status in (0, 201), (10, 201), (61, 401):
        form = fapi.assertion(iat=now + ahead, nbf=now + ahead)
        assert fapi.push(**form).status_code == status


@pytest.mark.requirement("F-12", "F-13")
def test_rs256_is_refused(fapi: Fapi, rsa_key: RSAKey, clock: Any) -> None:
    for algorithm, status in ("PS256", 200), ("RS256", 400):
        proof = Prover(rsa_key, clock, algorithm)()
        answer = fapi.token(proof, grant_type="client_credentials")
        assert answer.status_code == status


def test_the_metadata_is_what_is_enforced(fapi: Fapi) -> None:
    metadata = fapi.profile.get_metadata()
    algorithms = ["ES256", "Ed25519", "EdDSA", "PS256"]
    assert metadata["dpop_signing_alg_values_supported"] == algorithms
    assert metadata["token_endpoint_auth_signing_alg_values_supported"] == algorithms
    assert metadata["token_endpoint_auth_methods_supported"] == ["private_key_jwt"]
    assert metadata["response_types_supported"] == ["code"]
    assert metadata["code_challenge_methods_supported"] == ["S256"]
    assert metadata["require_pushed_authorization_requests"] is True
    assert CODE_LIFETIME == 60


@pytest.mark.requirement("F-2", "F-7", "F-12")
@pytest.mark.parametrize(
    "policy",
    [
        RFC9449,
        ProofPolicy(required=True, algorithms=("ES256", "RS256")),
        ProofPolicy(required=True, future=9),
        ProofPolicy(required=True, future=61),
    ],
)
def test_a_policy_that_is_not_fapi_is_refused(policy: ProofPolicy) -> None:
    dpop = DPoP(ProofVerifier(MemoryReplayStore(), policy=policy), public_url=ISSUER)
    with pytest.raises(ValueError, match="policy"):
        FAPI2SecurityProfile(
            ISSUER,
            dpop=dpop,
            replay_store=MemoryReplayStore(),
            pushed_requests=MemoryPushedRequestStore(),
        )


@pytest.mark.requirement("F-7")
@pytest.mark.parametrize("future", [10, 60])
def test_the_profile_takes_all_that_fapi_allows_for_fast_clocks(future: int) -> None:
    policy = replace(FAPI2, future=future)
    dpop = DPoP(ProofVerifier(MemoryReplayStore(), policy=policy), public_url=ISSUER)
    profile = FAPI2SecurityProfile(
        ISSUER,
        dpop=dpop,
        replay_store=MemoryReplayStore(),
        pushed_requests=MemoryPushedRequestStore(),
    )
    assert profile.dpop is dpop
