"""What is read of tokens that applications and Authlib have validated."""

from __future__ import annotations

from collections import UserDict
from types import SimpleNamespace
from typing import Any

import pytest

from dpop_ext.core.confirmation import AccessToken, Confirmation
from dpop_ext.errors import AccessTokenError
from dpop_ext.resource_server.bound_token import read_access_token, read_confirmation

JKT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
JWE = "a.b.c.d.e"
NOW = 1_790_000_000

OWN = AccessToken(
    issuer="https://as.example",
    audience=("https://api.example",),
    client_id="c",
    expires_at=NOW,
    token_id="t",
    confirmation=Confirmation(jkt=JKT, dsk=None),
    scope="",
    claims={},
)


def row(**columns: Any) -> SimpleNamespace:
    usual = {"dpop_jkt": JKT, "issued_at": NOW, "expires_in": 300}
    return SimpleNamespace(**usual | columns)


@pytest.mark.parametrize("token_type", ["DPoP", "dpop", "DPOP"])
@pytest.mark.parametrize(
    "token",
    [
        {},
        {"cnf": {"x5t#S256": JKT}},
        UserDict({"cnf": {"x5t#S256": JKT}}),
        row(dpop_jkt=None),
    ],
)
def test_a_dpop_token_whose_key_is_not_known_is_refused(
    token: Any, token_type: str
) -> None:
    """Also one with a certificate: the proof that it asks for would go unchecked."""
    if isinstance(token, SimpleNamespace):
        token = row(dpop_jkt=None, token_type=token_type)
    else:
        token = type(token)({**token, "token_type": token_type})
    with pytest.raises(AccessTokenError):
        read_confirmation(token)


@pytest.mark.parametrize("token_type", ["Bearer", None, 5, ["DPoP"]])
def test_a_token_of_another_type_may_have_no_key(token_type: Any) -> None:
    assert read_confirmation({"token_type": token_type}) is None
    assert read_confirmation(row(dpop_jkt=None, token_type=token_type)) is None
    found = read_confirmation({"token_type": token_type, "cnf": {"x5t#S256": JKT}})
    assert found == Confirmation(jkt=None, dsk=None, certificate=JKT)


@pytest.mark.parametrize("token", [None, "text", object(), SimpleNamespace(cnf={})])
def test_what_does_not_tell_whether_it_is_bound_is_refused(token: Any) -> None:
    with pytest.raises(TypeError, match="get_confirmation"):
        read_confirmation(token)


@pytest.mark.parametrize(
    "token",
    [
        OWN,
        {"cnf": {"jkt": JKT}},
        row(),
        SimpleNamespace(get_confirmation=lambda: {"jkt": JKT}),
        SimpleNamespace(get_confirmation=lambda: OWN.confirmation, dpop_jkt=None),
    ],
)
def test_all_kinds_of_tokens_tell_their_key(token: Any) -> None:
    assert read_confirmation(token) == OWN.confirmation


def test_a_token_of_ours_is_taken_as_it_is() -> None:
    assert read_access_token(OWN, None, issuer="https://other.example") is OWN


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"aud": "https://api.example"}, ("https://api.example",)),
        ({"aud": ["https://api.example", 5, None, "b"]}, ("https://api.example", "b")),
        ({"aud": {"https://api.example": 1}}, ()),
        ({}, ()),
    ],
)
def test_the_audience_is_what_is_text(
    claims: dict[str, Any], expected: tuple[str, ...]
) -> None:
    token = read_access_token(claims, None, issuer="https://as.example")
    assert token.audience == expected
    # Claims name their issuer, or nobody does.
    assert token.issuer is None


@pytest.mark.parametrize("value", [True, "1790000300", None, [NOW], {}])
def test_an_end_that_is_no_number_is_none(value: Any) -> None:
    token = read_access_token({"exp": value, "scope": value and 5}, None, issuer=None)
    assert (token.expires_at, token.scope) == (None, "")
    for columns in {"issued_at": value}, {"expires_in": value}:
        token = read_access_token(row(**columns), None, issuer=None)
        assert (token.expires_at, token.scope) == (None, "")


def test_claims_and_columns_are_read_by_their_names() -> None:
    claims = {"iss": "i", "client_id": "c", "jti": "t", "exp": NOW + 0.5, "scope": "a"}
    token = read_access_token(claims, OWN.confirmation, issuer="other")
    assert token == ("i", (), "c", NOW, "t", OWN.confirmation, "a", claims)
    found = row(client_id="c", scope="a", dpop_dsk='{"aud": "b"}')
    token = read_access_token(found, OWN.confirmation, issuer="i")
    assert token == ("i", ("b",), "c", NOW + 300, None, OWN.confirmation, "a", {})


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ({"jwe": JWE, "exp": NOW + 299}, NOW + 299),
        ({"jwe": JWE, "exp": NOW + 301}, NOW + 300),
        ({"jwe": JWE}, NOW + 300),
        # The key of a reference ends by itself: its end is checked with it.
        ({"alg": "HS256", "exp": NOW + 299}, NOW + 300),
    ],
)
def test_a_row_with_an_encrypted_key_ends_no_later_than_the_key(
    key: dict[str, Any], expected: int
) -> None:
    token = read_access_token(row(dpop_dsk=key), None, issuer=None)
    assert token.expires_at == expected


def test_an_encrypted_key_gives_a_row_no_end_of_its_own() -> None:
    found = row(dpop_dsk={"jwe": JWE, "exp": NOW + 299}, expires_in=None)
    assert read_access_token(found, None, issuer=None).expires_at is None
