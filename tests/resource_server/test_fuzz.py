"""Odd values everywhere: only documented answers come out, and nothing is served."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey

from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.jws_signature import sign_compact
from tests.conftest import Clock
from tests.resource_server.cases import signed_proof
from tests.resource_server.test_conformance import arrange
from tests.resource_server.world import Request, World, send

ERRORS = {
    None,
    "invalid_request",
    "invalid_token",
    "invalid_dpop_proof",
    "use_dpop_nonce",
    "use_dpop_asymmetric",
}
odd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.lists(st.text(max_size=3), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=3),
)
#: What a server puts into an environ: characters of Latin-1.
field = st.text(st.characters(max_codepoint=255), max_size=60)
examples = settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def apps(world: World) -> list[tuple[World, Any]]:
    worlds = [
        arrange(world),
        arrange(world, accept_bearer=True),
        arrange(world, symmetric=True),
        arrange(world, use_nonces=True),
    ]
    return [(w, app) for w in worlds for app in (w.flask_app(), w.wsgi_app())]


def check(apps: list[tuple[World, Any]], request: Request, **changes: Any) -> None:
    for world, app in apps:
        response = send(app, request.environ(**changes))
        assert response.status in {400, 401}
        # Flask refuses a host such as "." before any of our code runs.
        by_flask = "HTTP_HOST" in changes and response.status == 400
        if not by_flask or response.values("WWW-Authenticate"):
            assert response.challenges["DPoP"].get("error") in ERRORS
        assert world.served == 0
        assert len(world.store) == 0


@pytest.mark.requirement("P-17", "P-6", "P-3", "U-23")
@examples
@given(
    scheme=st.sampled_from(["", "DPoP", "DPoP ", "dpop ", "Bearer ", "DPoP  "]),
    authorization=field,
    proof=field,
)
def test_odd_header_fields(
    apps: list[tuple[World, Any]], scheme: str, authorization: str, proof: str
) -> None:
    headers = [("Authorization", scheme + authorization), ("DPoP", proof)]
    check(apps, Request(headers=headers))


@pytest.mark.requirement("P-17", "P-3", "J-11")
@examples
@given(
    name=st.sampled_from(["iss", "aud", "exp", "iat", "nbf", "client_id", "sub"])
    | st.sampled_from(["jti", "cnf", "typ", "alg", "kid"]),
    value=odd,
    symmetric=st.booleans(),
)
def test_an_odd_claim_in_a_signed_token(
    apps: list[tuple[World, Any]], name: str, value: Any, symmetric: bool
) -> None:
    for world, app in apps:
        claims = dict(world.validator(world.symmetric_token()).claims)
        header: dict[str, Any] = {"typ": "at+jwt", "alg": "ES256"}
        (header if name in ("typ", "alg", "kid") else claims)[name] = value
        if header["alg"] != "ES256":
            parts = (header, claims)
            encoded = [b64url_encode(json.dumps(part).encode()) for part in parts]
            token = ".".join([*encoded, "AAAA"])
        else:
            token = sign_compact(header, claims, world.issuer_key)
        make = world.symmetric_proof if symmetric else world.proof
        headers = [("Authorization", f"DPoP {token}"), ("DPoP", make(token))]
        response = send(app, Request(headers=headers).environ())
        # An odd value may still be a right one, such as a jti of other text.
        assert response.status in {200, 401}
        assert response.status == 200 or (
            response.challenges["DPoP"].get("error") in ERRORS
        )


@pytest.mark.requirement("P-17", "P-3", "C-3")
@examples
@given(
    name=st.sampled_from(["typ", "jwk", "jti", "htm", "htu", "iat", "ath"]),
    value=odd,
)
def test_an_odd_claim_in_a_proof(
    apps: list[tuple[World, Any]], name: str, value: Any
) -> None:
    if name == "jti" and isinstance(value, str):
        value = ""  # any other text is a good one
    for world, app in apps:
        token = world.token()
        proof = signed_proof(world, token, **{name: value})
        headers = [("Authorization", f"DPoP {token}"), ("DPoP", proof)]
        response = send(app, Request(headers=headers).environ())
        assert response.status == 401
        error = response.challenges["DPoP"].get("error")
        if name == "iat" and world.use_nonces and error == "use_dpop_nonce":
            continue  # the nonce is looked at before the time
        assert error == "invalid_dpop_proof"
        assert world.served == 0


@pytest.mark.requirement("P-17", "C-9")
@examples
@given(target=field, host=field, query=field)
def test_odd_targets(
    apps: list[tuple[World, Any]], target: str, host: str, query: str
) -> None:
    world = apps[0][0]
    token = world.token()
    proof = world.proof(token, url="https://api.example.com/somewhere-else")
    headers = [("Authorization", f"DPoP {token}"), ("DPoP", proof)]
    check(
        apps,
        Request(headers=headers),
        RAW_URI=target,
        HTTP_HOST=host,
        QUERY_STRING=query,
    )


@pytest.mark.requirement("P-17", "T22")
@examples
@given(position=st.integers(0, 10_000), bit=st.integers(0, 6), part=st.booleans())
def test_a_changed_bit_in_token_or_proof(
    ec_key: ECKey,
    other_ec_key: ECKey,
    issuer_key: ECKey,
    position: int,
    bit: int,
    part: bool,
) -> None:
    world = World(
        clock=Clock(),
        key=ec_key,
        other_key=other_ec_key,
        issuer_key=issuer_key,
        symmetric=True,
    )
    token = world.symmetric_token()
    values = [token, world.symmetric_proof(token)]
    value = values[part]
    position %= len(value)
    changed = chr(ord(value[position]) ^ (1 << bit))
    values[part] = value[:position] + changed + value[position + 1 :]
    headers = [("Authorization", f"DPoP {values[0]}"), ("DPoP", values[1])]
    response = send(world.wsgi_app(), Request(headers=headers).environ())
    assert response.status in {400, 401}
    assert world.served == 0
