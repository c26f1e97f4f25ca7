"""Odd values everywhere: only documented errors come out, and nothing is used up."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dpop_ext.authorization_server import SymmetricKeys
from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.jws_signature import sign_compact
from tests.authorization_server.simulator import (
    GRANTS,
    ISSUER,
    REDIRECT_URI,
    TOKEN_URL,
    Simulator,
    basic,
)
from tests.authorization_server.symmetric_parts import Secrets

ERRORS = {
    "invalid_dpop_proof",
    "use_dpop_nonce",
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "invalid_target",
    "invalid_scope",
    "dpop_sym_unavailable",
    "unauthorized_client",
    "unsupported_grant_type",
    "unsupported_response_type",
}
# fmt: off
PROOF_MEMBERS = [
    "typ", "alg", "jwk", "crit", "b64", "zip", "kid", "x5c", "jku", "extra", "jti",
    "htm", "htu", "iat", "exp", "nbf", "nonce", "ath", "dsk",
]
TOKEN_PARAMETERS = [
    "grant_type", "code", "code_verifier", "redirect_uri", "refresh_token",
    "device_code", "assertion", "username", "password", "resource", "dpop_sym",
    "client_id", "client_secret",
]
AUTHORIZATION_PARAMETERS = [
    "response_type", "client_id", "redirect_uri", "scope", "state", "dpop_jkt",
    "resource", "code_challenge", "code_challenge_method",
]
# fmt: on
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=40),
    st.sampled_from(["", "\0", "\ud800", '"', "\\", "\n", "a" * 5000, "é", "none"]),
    st.sampled_from([10**400, -(10**400), 2**63, 1e308, -0.0]),
    st.lists(st.one_of(st.none(), st.integers(), st.text(max_size=5)), max_size=3),
    st.dictionaries(
        st.sampled_from(["kty", "crv", "x", "algs", "jwk", "n", "", "é"]),
        st.one_of(st.none(), st.text(max_size=5), st.integers(), st.lists(st.none())),
        max_size=3,
    ),
)
WIRE_TEXT = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"),
    max_size=60,
)

fuzz = settings(
    max_examples=200,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def fuzzed(clock: Any, nonces: Any) -> Simulator:
    symmetric = SymmetricKeys(Secrets(clock), issuer=ISSUER)
    return Simulator(clock, symmetric=symmetric, nonces=nonces)


def check(response: Any) -> str:
    assert response.status_code in (400, 401), response.get_data()
    body = response.get_json()
    assert body["error"] in ERRORS
    assert set(body) <= {"error", "error_description"}
    assert response.headers["Cache-Control"] == "no-store"
    assert "DPoP" not in response.headers.get("WWW-Authenticate", "")
    count = len(response.headers.getlist("DPoP-Nonce"))
    assert count == (body["error"] == "use_dpop_nonce")
    return str(body["error"])


@fuzz
@given(
    part=st.sampled_from(["header", "claims"]),
    name=st.sampled_from(PROOF_MEMBERS),
    value=ODD,
)
@pytest.mark.requirement("C-2", "C-3")
def test_any_value_in_any_member_of_a_proof(
    fuzzed: Simulator, prove: Any, nonces: Any, part: str, name: str, value: Any
) -> None:
    jwk = prove.key.as_dict(private=False)
    nonce = nonces.issue(purpose="as", now=fuzzed.clock.now)
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk}
    claims = {"jti": "j", "htm": "POST", "htu": TOKEN_URL, "nonce": nonce}
    claims |= {"iat": fuzzed.clock.now}
    (header if part == "header" else claims)[name] = value
    try:
        proof = sign_compact(header, claims, prove.key)
    except Exception:  # noqa: BLE001 (no algorithm of that name: sign it all the same)
        texts = (json.dumps(header), json.dumps(claims), "signature")
        proof = ".".join(b64url_encode(t.encode(errors="surrogatepass")) for t in texts)
    request = fuzzed.grant("authorization_code")
    response = fuzzed.token(request, proof)
    if response.status_code == 200:
        assert response.get_json()["token_type"] == "DPoP"
        fuzzed.token(request)
    else:
        check(response)
        assert fuzzed.is_unused(request)


@fuzz
@given(value=WIRE_TEXT)
@pytest.mark.requirement("H-3", "C-2")
def test_any_text_in_the_header_field(fuzzed: Simulator, value: str) -> None:
    request = fuzzed.grant("authorization_code")
    assert check(fuzzed.token(request, value)) == "invalid_dpop_proof"
    assert fuzzed.is_unused(request)


@fuzz
@given(
    grant=st.sampled_from([*GRANTS, "", "x"]),
    name=st.sampled_from(TOKEN_PARAMETERS),
    value=st.one_of(st.text(max_size=30), st.sampled_from(["\0", '"', "é", "a.b.c"])),
    with_proof=st.booleans(),
)
def test_any_text_in_any_parameter_of_a_token_request(
    fuzzed: Simulator, prove: Any, nonces: Any, **case: Any
) -> None:
    request = fuzzed.grant(case["grant"]) | {case["name"]: case["value"]}
    nonce = nonces.issue(purpose="as", now=fuzzed.clock.now)
    proof = prove(nonce=nonce) if case["with_proof"] else None
    response = fuzzed.token(request, proof)
    if response.status_code == 200:
        expected = "DPoP" if case["with_proof"] else "Bearer"
        assert response.get_json()["token_type"] == expected
    else:
        check(response)


@fuzz
@given(
    name=st.sampled_from(AUTHORIZATION_PARAMETERS),
    value=st.one_of(st.text(max_size=30), st.sampled_from(["\0", '"', "é", "\\"])),
)
def test_any_text_in_any_parameter_of_an_authorization_request(
    fuzzed: Simulator, name: str, value: str
) -> None:
    query = {
        "response_type": "code",
        "client_id": "public",
        "redirect_uri": REDIRECT_URI,
        "state": "s",
    }
    response = fuzzed.http.get(
        f"{ISSUER}/authorize", query_string=query | {name: value}
    )
    assert response.status_code in (200, 302, 400, 401)
    if response.status_code == 302:
        assert response.headers["Location"].startswith(REDIRECT_URI)


@fuzz
@given(name=st.sampled_from(["Authorization", "Host", "Origin"]), value=WIRE_TEXT)
def test_any_text_in_other_header_fields(
    fuzzed: Simulator, prove: Any, name: str, value: str
) -> None:
    headers = {"Authorization": basic("confidential", "secret"), "DPoP": prove()}
    data = {"grant_type": "client_credentials"}
    response = fuzzed.http.post(TOKEN_URL, data=data, headers=headers | {name: value})
    assert response.status_code in (400, 401)
    assert response.get_json()["error"] in ERRORS | {"insecure_transport"}
