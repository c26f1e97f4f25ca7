"""Nothing but the documented errors comes out, whatever goes in."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.request_binding import access_token_hash
from dpop_ext.errors import DPoPError
from tests.core.proofs import BASE64URL, NOW, TOKEN, URL, verify

pytestmark = pytest.mark.requirement("P-17", "C-2", "C-3", "S-3", "S-8")

HEADER_TEXT = re.compile(r"[ !#-\[\]-~]+")
#: Where anything is expected, and what may not be there.
HEADER_MEMBERS = ["typ", "alg", "jwk", "kid", "jku", "x5u", "x5c", "x5t", "cty", "epk"]
HEADER_MEMBERS += ["crit", "b64", "zip", "enc", "url", "nonce", ""]
JWK_MEMBERS = ["kty", "crv", "x", "y", "n", "e", "d", "k", "p", "use", "key_ops", "alg"]
JWK_MEMBERS += ["kid", "x5c", "x5u", "oth", "priv", "ext", ""]
CLAIMS = ["jti", "htm", "htu", "iat", "ath", "nonce", "exp", "nbf", "aud", "sub", "dsk"]

ODD_VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 1.5, -0.0, 1e308, 10**300, -(10**300), 2**63),
    *("", " ", "a", "ES256", "none", "HS256", "EdDSA", "RSA", "EC", "OKP", "oct"),
    *("dpop+jwt", "dpop-sym+jwt", "GET", URL, "https://[", "https://h:99999/"),
    *("é", "\u202e", "\x7f", "\n", "\x01", '"', "\\", "A" * 300, "A" * 43, "=", "AQAB"),
    *([], {}, [[]], [{}], [None], {"": ""}, {"a": {"b": [1]}}, ["verify"], ["exp"]),
    *({"kty": "EC"}, {"kty": []}, {"kty": "EC", "crv": "P-999", "x": "", "y": ""}),
    *(
        {"kty": "OKP", "crv": "Ed25519", "x": "AA"},
        {"kty": "RSA", "n": "AA", "e": "Aw"},
    ),
    [1] * 60,
]

_MODELS = {name: JWSRegistry.algorithms[name] for name in ("ES256", "PS256", "Ed25519")}


@pytest.mark.parametrize("name", [*HEADER_MEMBERS, *CLAIMS])
def test_every_member_with_every_odd_value(name: str, ec_key: ECKey) -> None:
    outcomes = set()
    for value in ODD_VALUES:
        header = {name: value} if name in HEADER_MEMBERS else {}
        claims = {name: value} if name in CLAIMS else {}
        outcomes.add(_outcome(_signed(ec_key, header, claims)))
    if name in {"typ", "alg", "jwk", "jti", "htm", "htu", "iat"}:
        assert outcomes & {"malformed_proof", "unsupported_key"}
    assert outcomes <= {
        *("accepted", "malformed_proof", "unsupported_key", "bad_signature"),
        *("target_mismatch", "token_mismatch"),
    }


@pytest.mark.parametrize("name", JWK_MEMBERS)
def test_every_member_of_the_key_with_every_odd_value(
    name: str, ec_key: ECKey, ed_key: OKPKey, rsa_key: RSAKey
) -> None:
    keys: dict[str, Key] = {
        "ES256": ec_key,
        "Ed25519": ed_key,
        "EdDSA": ed_key,
        "PS256": rsa_key,
    }
    for algorithm, key in keys.items():
        for value in ODD_VALUES:
            jwk = key.as_dict(private=False) | {name: value}
            header = {"alg": algorithm, "jwk": jwk}
            assert _outcome(_signed(key, header, {})) in {
                *("accepted", "malformed_proof", "unsupported_key"),
                "bad_signature",
            }


@given(
    header=st.dictionaries(
        st.sampled_from(HEADER_MEMBERS), st.sampled_from(ODD_VALUES), max_size=3
    ),
    jwk=st.dictionaries(
        st.sampled_from(JWK_MEMBERS), st.sampled_from(ODD_VALUES), max_size=3
    ),
    claims=st.dictionaries(
        st.sampled_from(CLAIMS), st.sampled_from(ODD_VALUES), max_size=4
    ),
    gone=st.sets(st.sampled_from(HEADER_MEMBERS + CLAIMS), max_size=2),
)
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_several_at_once(
    ec_key: ECKey,
    header: dict[str, Any],
    jwk: dict[str, Any],
    claims: dict[str, Any],
    gone: set[str],
) -> None:
    public = ec_key.as_dict(private=False)
    _outcome(_signed(ec_key, {"jwk": public | jwk} | header, claims, gone))


@given(st.binary(max_size=120), st.binary(max_size=120), st.binary(max_size=70))
def test_any_bytes_in_any_part(header: bytes, payload: bytes, signature: bytes) -> None:
    parts = [b64url_encode(part) for part in (header, payload, signature)]
    _outcome(".".join(parts))


@given(st.text(max_size=80) | st.text(BASE64URL + "...", max_size=80))
def test_any_text(text: str) -> None:
    _outcome(text)


def _outcome(proof: str) -> str:
    try:
        verify(proof)
    except DPoPError as error:
        if not HEADER_TEXT.fullmatch(error.description):
            raise AssertionError("a header cannot carry this text") from error
        return error.code
    return "accepted"


def _signed(
    key: Key,
    header: dict[str, Any],
    claims: dict[str, Any],
    gone: set[str] | None = None,
) -> str:
    """A proof with these members, under a good signature whatever ``alg`` says."""
    public = key.as_dict(private=False)
    algorithm = {"EC": "ES256", "RSA": "PS256"}.get(str(public["kty"]), "Ed25519")
    full_header = {"typ": "dpop+jwt", "alg": algorithm, "jwk": public} | header
    full_claims = {
        "jti": hashlib.sha256(repr(claims).encode()).hexdigest(),
        "htm": "GET",
        "htu": URL,
        "iat": NOW,
        "ath": access_token_hash(TOKEN),
    } | claims
    segments = [
        b64url_encode(
            json.dumps(
                {name: part[name] for name in part if name not in (gone or ())},
                separators=(",", ":"),
            ).encode()
        )
        for part in (full_header, full_claims)
    ]
    signing_input = ".".join(segments)
    signature = _MODELS[algorithm].sign(signing_input.encode(), key)
    return f"{signing_input}.{b64url_encode(signature)}"
