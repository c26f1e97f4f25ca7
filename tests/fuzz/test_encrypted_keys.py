"""Odd encrypted keys: in tokens of the issuer, and in requests of clients."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey

from demo_server.resource_server_keys import load_keys
from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.jose import parse_compact_jws
from dpop_ext.resource_server import failure_limit
from dpop_ext.symmetric.key_jwe import parse_header
from tests.demo.parties import CONFIDENTIAL
from tests.fuzz.odd_values import JSON_VALUES, json_values
from tests.fuzz.profile import fuzz
from tests.fuzz.running import running
from tests.fuzz.servers import (
    RESOURCE_ERRORS,
    TOKEN_ERRORS,
    Servers,
    check_challenge,
    joined,
    sign,
    written,
)
from tests.fuzz.wire import Answer, send
from tests.symmetric.test_delivery import forge

HEADER = ["typ", "cty", "alg", "enc", "kid", "dsk", "epk", "zip", "crit", "apu", ""]
CLAIMS = ["iss", "aud", "client_id", "jkt", "alg", "exp", ""]
MATERIAL = ["client_id", "jkt", "jti", ""]
JWK = ["kty", "use", "key_ops", "alg", "kid", "k", ""]


@pytest.fixture(scope="module")
def servers(
    tmp_path_factory: pytest.TempPathFactory, ec_key: ECKey
) -> Iterator[Servers]:
    directory = tmp_path_factory.mktemp("fuzz")
    with (
        pytest.MonkeyPatch.context() as patch,
        running(
            directory, ec_key, nonce="off", symmetric_model="encapsulated"
        ) as servers,
    ):
        patch.setattr(failure_limit, "LIMIT", 1_000_000)
        token, _ = servers.symmetric
        assert servers.api("GET", "/api/accounts", token).status_code == 200
        yield servers


def call(servers: Servers, jwe: str, key: bytes) -> Answer:
    """Send a token of the issuer with this ``cnf.jwe``, and a proof by *key*."""
    good = parse_compact_jws(servers.symmetric[0], max_length=16_384)
    claims = {**good.payload, "cnf": {**good.payload["cnf"], "jwe": jwe}}
    token = sign(
        joined(written(good.header).items()),
        joined(written(claims).items()),
        servers.signing_key,
    )
    url = f"{servers.settings.resource_url}/api/accounts"
    _, members = servers.members("GET", url, token.decode())
    header = joined(written({"typ": "dpop-sym+jwt", "alg": "HS256"}).items())
    text = b".".join(
        b64url_encode(part).encode() for part in (header, joined(members.items()))
    )
    tag = b64url_encode(hmac.digest(key, text, hashlib.sha256)).encode()
    fields = [("Authorization", b"DPoP " + token), ("DPoP", text + b"." + tag)]
    before = servers.state()
    answer = send(servers.rs_app, "GET", b"/api/accounts", fields)
    if answer.status != 200:
        check_challenge(answer)
        servers.check_unchanged(before, answer, RESOURCE_ERRORS)
    return answer


def parts_of(servers: Servers) -> dict[str, dict[str, bytes]]:
    jwe = parse_compact_jws(servers.symmetric[0], max_length=16_384)
    text: str = jwe.payload["cnf"]["jwe"]
    header = parse_header(text)
    return {"header": written(header), "dsk": written(header["dsk"])}


@pytest.mark.requirement("R2061", "R2062", "R2063", "R2094")
def test_encrypted_keys_with_an_odd_header(servers: Servers) -> None:
    key = servers.symmetric[1].key.reveal()
    good = parse_compact_jws(servers.symmetric[0], max_length=16_384)
    jwe: str = good.payload["cnf"]["jwe"]
    places = [*(("header", n) for n in HEADER), *(("dsk", n) for n in CLAIMS)]

    def check(where: str, name: str, value: bytes) -> None:
        parts = parts_of(servers)
        parts[where][name] = value
        if where == "dsk":
            parts["header"]["dsk"] = joined(parts["dsk"].items())
        segment = b64url_encode(joined(parts["header"].items()))
        answer = call(servers, f"{segment}.{jwe.split('.', 1)[1]}", key)
        assert answer.status == 401
        assert answer.error in ("invalid_token", "use_dpop_asymmetric")

    @fuzz
    @given(place=st.sampled_from(places), value=json_values())
    def check_made_up(place: tuple[str, str], value: bytes) -> None:
        check(*place, value)

    for number, (where, name) in enumerate(places):
        for kind, value in enumerate(JSON_VALUES.values(), number):
            if kind % 3 == 0:
                check(where, name, value)
    check_made_up()
    assert call(servers, jwe, key).status == 200


@pytest.mark.requirement("R2064", "R2065", "T20")
def test_encrypted_keys_that_are_odd(servers: Servers) -> None:
    """They decrypt: whoever knows the public key can make them."""
    key = bytes(range(32))
    good = parse_compact_jws(servers.symmetric[0], max_length=16_384)
    header = parse_header(good.payload["cnf"]["jwe"])
    _, recipient = load_keys(servers.settings.rs_keys_directory)
    jwk = {"kty": "oct", "use": "sig", "key_ops": ["verify"], "alg": "HS256"}
    jwk["k"] = b64url_encode(key)

    def check(plaintext: bytes) -> Answer:
        return call(servers, forge(recipient, header, plaintext), key)

    @fuzz
    @given(name=st.sampled_from(JWK), value=json_values())
    def check_made_up(name: str, value: bytes) -> None:
        answer = check(joined({**written(jwk), name: value}.items()))
        # A member that is not known is of no importance.
        assert answer.status == 401 or name == ""

    for name in JWK[:-1]:
        for value in list(JSON_VALUES.values())[::3]:
            check(joined({**written(jwk), name: value}.items()))
    check_made_up()
    for plaintext in (b"", b"{}", b"\xff", key, b"[" * 5000):
        assert check(plaintext).error == "invalid_token"
    assert check(json.dumps(jwk).encode()).status == 200


@pytest.mark.requirement("R2192", "R2193", "R2194")
def test_key_material_that_is_odd(servers: Servers) -> None:
    url = f"{servers.settings.issuer_url}/token"
    pairs = [("grant_type", b"client_credentials")]
    fields = [("Authorization", CONFIDENTIAL["Authorization"].encode())]
    jwks = servers.as_client.get("/jwks").get_json()
    (jwk,) = [key for key in jwks["keys"] if key["use"] == "enc"]
    recipient = ECKey.import_key(jwk)
    own = servers.key.as_dict(private=False)

    def check(where: str, name: str, value: bytes, plaintext: bytes) -> Answer:
        header, claims = servers.members("POST", url)
        binding = {
            "client_id": "demo-confidential",
            "jkt": servers.key.thumbprint(),
            "jti": json.loads(claims["jti"]),
        }
        parts = {
            "header": written(
                {
                    "typ": "dpop-sym-entropy+jwe",
                    "alg": "ECDH-ES",
                    "enc": "A256GCM",
                    "kid": recipient.thumbprint(),
                }
            ),
            "dsk": written(binding),
        }
        text = forge(
            recipient,
            {name: json.loads(value) for name, value in parts["header"].items()}
            | {"dsk": binding},
            plaintext,
        )
        if where:
            made = parse_header(text)
            parts["header"] = written(made)
            parts[where][name] = value
            if where == "dsk":
                parts["header"]["dsk"] = joined(parts["dsk"].items())
            segment = b64url_encode(joined(parts["header"].items()))
            text = f"{segment}.{text.split('.', 1)[1]}"
        dsk = {"algs": ["HS256"], "jwk": own, "k_jwe": text}
        proof = servers.proof(header, claims | {"dsk": json.dumps(dsk).encode()})
        before = servers.state()
        answer = servers.ask_token(pairs, proof=proof, fields=fields)
        if answer.status != 200:
            assert answer.error == "invalid_dpop_proof"
            servers.check_unchanged(before, answer, TOKEN_ERRORS)
        return answer

    places = [*(("header", n) for n in HEADER), *(("dsk", n) for n in MATERIAL)]

    @fuzz
    @given(place=st.sampled_from(places), value=json_values())
    def check_made_up(place: tuple[str, str], value: bytes) -> None:
        assert check(*place, value, bytes(32)).status == 400

    for number, (where, name) in enumerate(places):
        for kind, value in enumerate(JSON_VALUES.values(), number):
            if kind % 4 == 0:
                assert check(where, name, value, bytes(32)).status == 400
    check_made_up()
    for length in (0, 31, 33, 4000):
        assert check("", "", b"", bytes(length)).status == 400
    assert check("", "", b"", bytes(32)).status == 200
