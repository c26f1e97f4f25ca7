"""The short ways through an access token and the long ones give the same verdict."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey

from dpop_ext.core.confirmation import AccessToken
from dpop_ext.core.jws_signature import sign_compact
from dpop_ext.errors import DPoPError
from dpop_ext.resource_server import AccessTokenValidator
from tests.conftest import Clock
from tests.test_side_by_side import changed, the_long_way
from tests.test_verifier import AUDIENCE, ISSUER

HEADER: Final = {"typ": "at+jwt", "alg": "ES256", "kid": "k1"}


class Tokens:
    """A validator that remembers tokens, beside one that remembers nothing."""

    def __init__(self, key: ECKey, clock: Clock) -> None:
        self.key, self.clock = key, clock
        self.remembering = self._new(60)

    def _new(self, remember: float) -> AccessTokenValidator:
        jwks = {"keys": [self.key.as_dict(private=False) | {"kid": "k1"}]}
        return AccessTokenValidator(
            ISSUER, AUDIENCE, jwks=jwks, remember=remember, clock=self.clock
        )

    def text(self, cnf: Any = None, **changes: Any) -> str:
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "alice",
            "client_id": "client-1",
            "iat": self.clock.now,
            "exp": self.clock.now + 300,
            "jti": "t1",
            "cnf": {"jkt": self.key.thumbprint()} if cnf is None else cnf,
        }
        return sign_compact(HEADER, claims | changes, self.key)

    def same(self, text: str) -> Any:
        with the_long_way():
            expected = self._verdict(self._new(0), text)
        # Before and after it is known.
        for _ in range(3):
            assert self._verdict(self.remembering, text) == expected
        return expected

    @staticmethod
    def _verdict(validator: AccessTokenValidator, text: str) -> Any:
        try:
            return validator(text)
        except DPoPError as error:
            return type(error), error.description


@pytest.fixture
def tokens(ec_key: ECKey, clock: Clock) -> Tokens:
    return Tokens(ec_key, clock)


@pytest.mark.parametrize(
    "cnf",
    [
        *({}, [], "x", {"jkt": 1}, {"jkt": "A" * 43}, {"jkt": "A" * 42 + "B"}),
        *({"x5t#S256": "A" * 43}, {"jkt": "A" * 43, "new": 1}, {"jkt": None}),
        {"jkt": "A" * 43, "dsk": {"alg": "HS256", "v": 1, "r": "A" * 43}},
        {"jkt": "A" * 43, "dsk": {"alg": "HS256", "v": True, "r": "A" * 43}},
        {"dsk": {"alg": "HS256", "v": 1, "r": "A" * 43}},
        {"jkt": "A" * 43, "dsk": {}, "jwe": "x"},
    ],
)
def test_tokens_with_every_confirmation_get_one_verdict(
    tokens: Tokens, cnf: Any
) -> None:
    tokens.same(tokens.text(cnf=cnf))


def test_a_good_token_is_accepted_either_way(tokens: Tokens) -> None:
    assert isinstance(tokens.same(tokens.text()), AccessToken)
    assert not isinstance(tokens.same(tokens.text(exp=1)), AccessToken)


@given(data=st.data())
@settings(
    max_examples=300,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_tokens_with_a_change_get_one_verdict(
    tokens: Tokens, data: st.DataObject
) -> None:
    text = tokens.text()
    tokens.same(text)
    forged = changed(text, data)
    if forged != text:
        assert not isinstance(tokens.same(forged), AccessToken)


@pytest.mark.parametrize("length", [100, 255, 256, 257, 300, 2000, 2100])
def test_headers_of_every_length_get_one_verdict(tokens: Tokens, length: int) -> None:
    header = HEADER | {"x": ""}
    surplus = length * 3 // 4 - len(json.dumps(header, separators=(",", ":")))
    for more in range(-2, 3):
        header["x"] = "x" * max(surplus + more, 0)
        claims = {"iss": ISSUER, "cnf": {"jkt": "A" * 43}}
        tokens.same(sign_compact(header, claims, tokens.key))
