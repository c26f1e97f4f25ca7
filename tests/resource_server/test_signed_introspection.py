"""IntrospectionTokenValidator with signed answers: which of them it believes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, OctKey

from dpop_ext.core.jws_signature import sign_compact
from dpop_ext.errors import AccessTokenError, StoreError
from dpop_ext.integrations.wsgi import DPoPMiddleware
from dpop_ext.resource_server import AccessTokenValidator, IntrospectionTokenValidator
from tests.resource_server.test_introspection import ENDPOINT
from tests.resource_server.world import AUDIENCE, CLIENT, ISSUER, Request, World, send

HEADER = {"typ": "token-introspection+jwt", "alg": "ES256"}


class Signer:
    """An authorization server that signs its answers, or does something else."""

    def __init__(self, world: World) -> None:
        self.key: Any = world.issuer_key
        self.header: dict[str, Any] = dict(HEADER)
        self.claims: dict[str, Any] = {
            "iss": ISSUER,
            "aud": "api",
            "iat": world.clock.now,
            "token_introspection": {
                "active": True,
                "aud": AUDIENCE,
                "client_id": CLIENT,
                "exp": world.clock.now + 300,
                "scope": "accounts",
                "token_type": "DPoP",
                "cnf": {"jkt": world.jkt},
            },
        }
        self.accepted: list[str] = []

    def __call__(self, url: str, *, data: bytes, headers: Any) -> bytes:
        self.accepted.append(headers["Accept"])
        present = {n: v for n, v in self.claims.items() if v is not ...}
        return sign_compact(self.header, present, self.key).encode()


@pytest.fixture
def signer(world: World) -> Signer:
    return Signer(world)


def validator(world: World, post: Any, **changes: Any) -> IntrospectionTokenValidator:
    values: dict[str, Any] = {
        "client_id": "api",
        "client_secret": "secret",
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "jwks": {"keys": [world.issuer_key.as_dict(private=False)]},
        "post": post,
        "clock": world.clock,
    }
    return IntrospectionTokenValidator(ENDPOINT, **(values | changes))


@pytest.mark.requirement("B-7", "J-4")
def test_a_signed_answer_is_asked_for_and_read(world: World, signer: Signer) -> None:
    token = validator(world, signer)("opaque")
    assert signer.accepted == ["application/token-introspection+jwt"]
    assert token.confirmation is not None
    assert token.confirmation.jkt == world.jkt
    assert (token.client_id, token.scope) == (CLIENT, "accounts")


@pytest.mark.requirement("J-4")
def test_what_it_says_is_judged_as_ever(world: World, signer: Signer) -> None:
    find = validator(world, signer)
    said = signer.claims["token_introspection"]
    faulty: list[Any] = [{"active": "true"}, {"aud": "x"}, {"exp": 5}, {"cnf": {}}]
    for changes in faulty:
        signer.claims["token_introspection"] = said | changes
        with pytest.raises(AccessTokenError):
            find("opaque")


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://other.example"},
        {"iss": ...},
        {"aud": "other"},
        {"aud": AUDIENCE},
        {"aud": ...},
        {"iat": ...},
        {"iat": "now"},
        {"iat": 1_790_000_000 - 61},
        {"iat": 1_790_000_000 + 61},
        {"exp": 1_790_000_000},
        {"token_introspection": ...},
        {"token_introspection": "active"},
        {"active": True, "token_introspection": ...},
    ],
)
@pytest.mark.requirement("X-21", "J-13")
def test_an_answer_to_somebody_else_or_of_another_time_decides_nothing(
    world: World, signer: Signer, changes: dict[str, Any]
) -> None:
    signer.claims |= changes
    with pytest.raises(StoreError):
        validator(world, signer)("opaque")


def test_an_answer_may_take_a_minute(world: World, signer: Signer) -> None:
    find = validator(world, signer)
    for age in (60, -60):
        signer.claims["iat"] = world.clock.now - age
        assert find("opaque").scope == "accounts"


@pytest.mark.parametrize("kind", [..., "JWT", "at+jwt", "", None, ["x"], "dpop+jwt"])
@pytest.mark.requirement("X-21", "J-13")
def test_no_other_jwt_passes_for_an_answer(
    world: World, signer: Signer, kind: Any
) -> None:
    signer.header = {n: v for n, v in (HEADER | {"typ": kind}).items() if v is not ...}
    with pytest.raises(StoreError):
        validator(world, signer)("opaque")


@pytest.mark.requirement("X-21", "J-8")
def test_an_answer_does_not_pass_for_an_access_token(
    world: World, signer: Signer
) -> None:
    """Trap: it is signed with the same key, and may say all that a token says."""
    signer.claims |= {"sub": "a", "client_id": CLIENT, "jti": "j", "aud": AUDIENCE}
    signer.claims |= {"exp": world.clock.now + 300}
    text = signer("", data=b"", headers={"Accept": ""}).decode()
    find = AccessTokenValidator(
        ISSUER,
        AUDIENCE,
        jwks={"keys": [world.issuer_key.as_dict(private=False)]},
        clock=world.clock,
    )
    with pytest.raises(AccessTokenError):
        find(text)
    signer.header["typ"] = "at+jwt"
    assert find(signer("", data=b"", headers={"Accept": ""}).decode()).scope == ""


def test_the_signature_is_that_of_the_issuer(world: World, signer: Signer) -> None:
    find = validator(world, signer)
    signer.key = world.other_key
    with pytest.raises(StoreError):
        find("opaque")
    signer.key = world.issuer_key
    assert find("opaque").scope == "accounts"


@pytest.mark.requirement("J-13")
def test_the_algorithm_is_one_that_was_named(world: World, signer: Signer) -> None:
    with pytest.raises(StoreError):
        validator(world, signer, algorithms=["PS256"])("opaque")
    signer.header["alg"] = "HS256"
    signer.key = OctKey.generate_key(256)
    mac = jws.serialize_compact(
        signer.header, json.dumps(signer.claims).encode(), signer.key
    )
    with pytest.raises(StoreError):
        validator(world, lambda url, **_: mac.encode())("opaque")


def test_an_answer_without_a_signature_is_no_answer(
    world: World, signer: Signer
) -> None:
    """What stands in between cannot leave the signature out."""
    plain = json.dumps(signer.claims["token_introspection"]).encode()
    with pytest.raises(StoreError):
        validator(world, lambda url, **_: plain)("opaque")
    assert validator(world, lambda url, **_: plain, jwks=None)("opaque").scope


def test_when_the_keys_are_not_available_nothing_is_decided(
    world: World, signer: Signer
) -> None:
    class Unavailable:
        def find(self, kid: str | None, *, algorithm: str) -> ECKey:
            raise StoreError

    protected = DPoPMiddleware(
        lambda environ, start: [],
        verifier=world.verifier,
        find_token=validator(world, signer, jwks=Unavailable()),
        public_url=AUDIENCE,
    )
    headers = [("Authorization", "DPoP opaque"), ("DPoP", world.proof("opaque"))]
    assert send(protected, Request(headers=headers).environ()).status == 503


def test_the_keys_are_given_once(world: World, signer: Signer) -> None:
    cases: list[tuple[dict[str, Any], type[Exception]]] = [
        ({"jwks_uri": "https://as.example.com/jwks"}, ValueError),
        ({"jwks": None, "jwks_uri": "http://as.example.com/jwks"}, ValueError),
        ({"algorithms": ["HS256"]}, ValueError),
        ({"jwks": 5}, TypeError),
    ]
    for changes, error in cases:
        with pytest.raises(error):
            validator(world, signer, **changes)
