"""AccessTokenValidator: what RFC 9068 asks of a token, strictly parsed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, Key, KeySet, OctKey, OKPKey, RSAKey

from dpop_ext.core.base64url import b64url_decode, b64url_encode
from dpop_ext.core.confirmation import AccessToken
from dpop_ext.core.jws_signature import sign_compact, sign_segments
from dpop_ext.errors import AccessTokenError, StoreError
from dpop_ext.resource_server import AccessTokenValidator
from tests.resource_server.world import AUDIENCE, CLIENT, ISSUER, World


def refused(world: World, text: str) -> None:
    with pytest.raises(AccessTokenError):
        world.validator(text)


@pytest.mark.requirement("J-8", "F-11")
def test_a_good_token_is_read(world: World) -> None:
    token = world.validator(world.token(groups=["a"]))
    assert isinstance(token, AccessToken)
    assert token.issuer == ISSUER
    assert token.audience == (AUDIENCE,)
    assert token.client_id == CLIENT
    assert token.expires_at == world.clock.now + 300
    assert token.token_id == "token-1"
    assert token.scope == "accounts transfers"
    assert token.claims["groups"] == ["a"]
    assert token.confirmation is not None
    assert token.confirmation.jkt == world.jkt


@pytest.mark.requirement("B-1")
def test_an_unbound_token_is_known_to_be_unbound(world: World) -> None:
    assert world.validator(world.unbound_token()).confirmation is None


@pytest.mark.requirement("J-8")
@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt"])
def test_the_type_is_the_one_of_access_tokens(world: World, typ: str) -> None:
    assert world.validator(world.token(header={"typ": typ})).client_id == CLIENT


@pytest.mark.requirement("J-8", "J-13", "X-21")
@pytest.mark.parametrize("typ", ["JWT", "dpop+jwt", "", None, 1, "at+jwt ", "xat+jwt"])
def test_any_other_type_is_refused(world: World, typ: Any) -> None:
    refused(world, world.token(header={"typ": typ}))


@pytest.mark.requirement("J-8")
@pytest.mark.parametrize(
    "aud", [AUDIENCE, [AUDIENCE], ["https://other.example", AUDIENCE]]
)
def test_an_audience_names_this_server(world: World, aud: Any) -> None:
    assert AUDIENCE in world.validator(world.token(aud=aud)).audience


@pytest.mark.requirement("J-8")
@pytest.mark.parametrize(
    "changes",
    [
        {"iss": ISSUER + "/"},
        {"iss": ISSUER.upper()},
        {"iss": [ISSUER]},
        {"iss": None},
        {"aud": AUDIENCE + "/"},
        {"aud": []},
        {"aud": [AUDIENCE, 1]},
        {"aud": {AUDIENCE: 1}},
        {"aud": True},
        {"sub": None},
        {"sub": ""},
        {"sub": 1},
        {"client_id": None},
        {"client_id": ""},
        {"client_id": ["client-1"]},
        {"client_id": "x" * 2049},
        {"jti": None},
        {"jti": 1},
        {"scope": ["accounts"]},
        {"scope": 1},
        {"exp": None},
        {"exp": "1790000300"},
        {"exp": True},
        {"iat": None},
        {"iat": "now"},
        {"nbf": "now"},
        {"nbf": []},
    ],
)
def test_a_claim_that_is_missing_or_of_another_type_is_refused(
    world: World, changes: dict[str, Any]
) -> None:
    refused(world, world.token(**changes))


@pytest.mark.requirement("J-8", "F-11")
def test_expiry_has_no_leeway(world: World) -> None:
    token = world.token(exp=world.clock.now + 10)
    world.clock.advance(9)
    assert world.validator(token).expires_at == world.clock.now + 1
    world.clock.advance(1)
    refused(world, token)


@pytest.mark.requirement("J-8")
@pytest.mark.parametrize("name", ["iat", "nbf"])
def test_a_token_may_be_60_seconds_early(world: World, name: str) -> None:
    changes: dict[str, Any] = {name: world.clock.now + 60}
    assert world.validator(world.token(**changes)).client_id == CLIENT
    changes = {name: world.clock.now + 61}
    refused(world, world.token(**changes))


@pytest.mark.requirement("J-8")
def test_fractions_of_seconds_are_understood(world: World) -> None:
    token = world.validator(world.token(exp=world.clock.now + 1.5))
    assert token.expires_at == world.clock.now + 1


@pytest.mark.requirement("J-8", "J-13")
@pytest.mark.parametrize(
    "key",
    [
        RSAKey.generate_key(2048, {"kid": "k"}),
        OKPKey.generate_key("Ed25519", {"kid": "k"}),
    ],
    ids=["PS256", "Ed25519"],
)
def test_other_asymmetric_algorithms_work(world: World, key: Key) -> None:
    algorithm = "PS256" if key.key_type == "RSA" else "Ed25519"
    world.issuer_key = key  # type: ignore[assignment]
    validator = AccessTokenValidator(
        ISSUER,
        AUDIENCE,
        jwks=KeySet([key]).as_dict(private=False),
        clock=world.clock,
    )
    token = world.token(header={"alg": algorithm, "kid": "k"})
    assert validator(token).client_id == CLIENT
    strict = AccessTokenValidator(
        ISSUER,
        AUDIENCE,
        jwks=KeySet([key]).as_dict(private=False),
        algorithms=["ES256"],
        clock=world.clock,
    )
    with pytest.raises(AccessTokenError):
        strict(token)


@pytest.mark.requirement("J-13")
def test_what_is_remembered_of_a_key_is_for_one_algorithm(
    world: World, rsa_key: RSAKey
) -> None:
    class OneKey:
        def find(self, kid: str | None, *, algorithm: str) -> Key:
            return rsa_key

    world.issuer_key = rsa_key  # type: ignore[assignment]
    validator = AccessTokenValidator(
        ISSUER,
        AUDIENCE,
        jwks=OneKey(),
        remember=0,
        clock=world.clock,
    )
    tokens = [world.token(header={"alg": name}) for name in ("RS256", "PS256")]
    for token in (*tokens, *tokens):
        assert validator(token).client_id == CLIENT
    # The signature of the other one, under the key and the name that come next.
    header, _, _ = tokens[1].partition(".")
    _, _, payload = tokens[0].rpartition(".")[0].partition(".")
    crossed = sign_segments(f"{header}.{payload}", rsa_key, algorithm="RS256")
    validator(tokens[0])
    with pytest.raises(AccessTokenError):
        validator(crossed)


def unsigned(claims: Mapping[str, Any], **header: Any) -> str:
    parts = ({"typ": "at+jwt"} | header, claims)
    encoded = [b64url_encode(json.dumps(dict(part)).encode()) for part in parts]
    return ".".join([*encoded, "AAAA"])


@pytest.mark.requirement("J-8", "J-13", "T5")
@pytest.mark.parametrize(
    "algorithm", ["none", "HS256", "RS512", "", 1, None, ["ES256"]]
)
def test_an_algorithm_that_is_not_in_the_list_is_refused(
    world: World, algorithm: Any
) -> None:
    claims = world.validator(world.token()).claims
    refused(world, unsigned(claims, alg=algorithm))


@pytest.mark.requirement("T5", "J-13")
def test_a_mac_under_the_public_key_is_refused(world: World) -> None:
    claims = world.validator(world.token()).claims
    public = world.issuer_key.as_pem(private=False)
    registry = jws.JWSRegistry(algorithms=["HS256"])
    text = jws.serialize_compact(
        {"typ": "at+jwt", "alg": "HS256"},
        json.dumps(dict(claims)),
        OctKey(public, public),
        registry=registry,
    )
    refused(world, text)


@pytest.mark.requirement("J-8")
def test_a_signature_by_another_key_is_refused(world: World) -> None:
    world.issuer_key = world.other_key
    refused(world, world.token())


@pytest.mark.requirement("J-13", "C-6")
def test_a_key_in_the_header_is_not_looked_at(world: World) -> None:
    jwk = world.other_key.as_dict(private=False)
    world.issuer_key = world.other_key
    refused(world, world.token(header={"jwk": jwk, "jku": "https://x.example"}))


@pytest.mark.requirement("J-8", "J-11", "P-17")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "..",
        "a.b.c",
        "a.b.c.d.e",
        "é.é.é",
        "\ud800",
        "\0",
        "a" * (16 * 1024 + 1),
    ],
)
def test_what_is_no_jwt_is_refused(world: World, text: str) -> None:
    refused(world, text)


@pytest.mark.requirement("J-11", "C-2c")
@pytest.mark.parametrize(
    "header", [{"crit": None}, {"crit": []}, {"b64": True}, {"zip": "DEF"}]
)
def test_critical_headers_are_refused(world: World, header: dict[str, Any]) -> None:
    refused(world, world.token(header=header))


@pytest.mark.requirement("J-11", "C-2b")
def test_a_repeated_claim_is_refused(world: World) -> None:
    header, _, _ = world.token().split(".")
    payload = b'{"iss":"https://as.example.com","iss":"https://as.example.com"}'
    refused(world, f"{header}.{b64url_encode(payload)}.AAAA")


@pytest.mark.parametrize("algorithms", [[], ["none"], ["HS256"], ["ES256", "HS256"]])
@pytest.mark.requirement("J-8")
def test_none_and_macs_cannot_be_configured(algorithms: Any) -> None:
    with pytest.raises(ValueError, match="asymmetric"):
        AccessTokenValidator(
            ISSUER, AUDIENCE, jwks={"keys": [{}]}, algorithms=algorithms
        )


def test_keys_come_from_one_place(ec_key: ECKey) -> None:
    jwks = {"keys": [ec_key.as_dict(private=False)]}
    for sources in ({}, {"jwks": jwks, "jwks_uri": "https://as.example.com/jwks"}):
        with pytest.raises(ValueError, match="jwks"):
            AccessTokenValidator(ISSUER, AUDIENCE, **sources)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        AccessTokenValidator(ISSUER, AUDIENCE, jwks=KeySet([ec_key]))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="RemoteKeys"):
        AccessTokenValidator(ISSUER, AUDIENCE, jwks="https://as.example.com/jwks")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="https"):
        AccessTokenValidator(ISSUER, AUDIENCE, jwks_uri="http://as.example.com/jwks")


@pytest.mark.requirement("X-15")
def test_when_keys_are_not_available_nothing_is_decided(world: World) -> None:
    class Down:
        def find(self, kid: str | None, *, algorithm: str) -> Key:
            raise StoreError

    validator = AccessTokenValidator(ISSUER, AUDIENCE, jwks=Down(), clock=world.clock)
    with pytest.raises(StoreError):
        validator(world.token())


@pytest.mark.requirement("P-17")
def test_a_key_source_that_fails_otherwise_is_no_way_in(world: World) -> None:
    class Broken:
        def find(self, kid: str | None, *, algorithm: str) -> Key:
            raise KeyError(kid)

    validator = AccessTokenValidator(ISSUER, AUDIENCE, jwks=Broken(), clock=world.clock)
    with pytest.raises(AccessTokenError):
        validator(world.token())


@pytest.mark.requirement("B-8")
@pytest.mark.parametrize("cnf", [{}, [], "x", {"jkt": "x"}, {"jwk": {}}, 0])
def test_a_binding_that_cannot_be_verified_is_refused(world: World, cnf: Any) -> None:
    refused(world, world.token(cnf=cnf))


@pytest.mark.requirement("B-8")
def test_a_cnf_of_null_is_no_absent_cnf(world: World) -> None:
    claims = dict(world.validator(world.token()).claims) | {"cnf": None}
    header = {"typ": "at+jwt", "alg": "ES256"}
    refused(world, sign_compact(header, claims, world.issuer_key))


def test_each_token_has_its_own_claims(world: World) -> None:
    changes: list[dict[str, Any]] = [
        *({}, {"groups": ["a"]}, {"groups": ["b"]}, {}, {"acr": "1", "groups": []}),
        *({"cnf": None}, {"scope": None}, {"iss": ISSUER, "x": {"y": 1}}, {}),
    ]
    for number, change in enumerate(changes * 2):
        text = world.token(jti=f"token-{number}", **change)
        signed = json.loads(b64url_decode(text.split(".")[1]))
        assert dict(world.validator(text).claims) == signed


def test_tokens_share_the_names_of_their_claims(world: World) -> None:
    first, second = (
        world.validator(world.token(jti=jti, organisation="o")).claims
        for jti in ("token-1", "token-2")
    )
    assert {id(name) for name in first} == {id(name) for name in second}


def test_the_keys_are_asked_for_whatever_header_was_seen(
    world: World, other_ec_key: ECKey
) -> None:
    class Source:
        key: Key | None = world.issuer_key

        def find(self, kid: str | None, *, algorithm: str) -> Key:
            if self.key is None:
                raise AccessTokenError
            return self.key

    source = Source()
    validator = AccessTokenValidator(
        ISSUER, AUDIENCE, jwks=source, remember=0, clock=world.clock
    )
    text = world.token()
    for key, good in (
        *((world.issuer_key, True), (None, False), (world.issuer_key, True)),
        *((other_ec_key, False), (world.issuer_key, True)),
    ):
        source.key = key
        if good:
            assert validator(text).client_id == CLIENT
            continue
        with pytest.raises(AccessTokenError):
            validator(text)
