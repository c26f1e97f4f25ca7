"""Credentials where a server keeps the lines of a field apart."""

from __future__ import annotations

from typing import Any

import pytest
from authlib.oauth2.rfc6749 import JsonRequest
from werkzeug.datastructures import Headers

from dpop_ext.core.token_text import MAX_TOKEN_LENGTH
from dpop_ext.resource_server.authlib_request import resource_request
from dpop_ext.resource_server.credentials import (
    ResourceRequest,
    names_access_token,
    parse_credentials,
)
from dpop_ext.resource_server.refusal import AccessRefusedError


def request(*authorization: str, proofs: tuple[str, ...] = ("proof",)) -> Any:
    return ResourceRequest(
        method="GET",
        scheme="https",
        host="api.example.com",
        raw_target="/",
        authorization=authorization,
        proofs=proofs,
    )


@pytest.mark.requirement("J-15", "P-5")
def test_one_line_of_each_makes_credentials() -> None:
    found = parse_credentials(request("dPoP token"))
    assert found is not None
    assert (found.scheme, found.token, found.proof) == ("dpop", "token", "proof")


@pytest.mark.requirement("D-8")
def test_under_bearer_there_is_no_proof() -> None:
    found = parse_credentials(request("Bearer token"))
    assert found is not None
    assert (found.scheme, found.proof) == ("bearer", None)


@pytest.mark.requirement("D-7", "J-15")
@pytest.mark.parametrize(
    "lines", [("DPoP a", "Bearer b"), ("DPoP a", "DPoP a"), ("DPoP a", ""), ("", "")]
)
def test_two_authorization_lines_are_ambiguous(lines: tuple[str, ...]) -> None:
    with pytest.raises(AccessRefusedError) as info:
        parse_credentials(request(*lines))
    assert info.value.refusal.status == 400
    assert set(info.value.refusal.schemes) == {"bearer", "dpop"}


@pytest.mark.requirement("C-1", "H-4", "P-4", "J-15")
@pytest.mark.parametrize("proofs", [(), ("a", "b"), ("a", ""), ("", "a"), ("a", "a")])
def test_other_than_one_dpop_line_is_an_invalid_proof(proofs: tuple[str, ...]) -> None:
    with pytest.raises(AccessRefusedError) as info:
        parse_credentials(request("DPoP a", proofs=proofs))
    assert info.value.refusal.error == "invalid_dpop_proof"


@pytest.mark.parametrize("scheme", ["DPoP", "Bearer"])
def test_a_token_that_is_too_long_is_not_looked_at(scheme: str) -> None:
    token = "a" * MAX_TOKEN_LENGTH
    assert parse_credentials(request(f"{scheme} {token}"))
    with pytest.raises(AccessRefusedError) as info:
        parse_credentials(request(f"{scheme} {token}a"))
    refusal = info.value.refusal
    assert (refusal.status, refusal.error) == (401, "invalid_token")
    assert refusal.schemes == (scheme.lower(),)


@pytest.mark.requirement("T20")
def test_nothing_secret_is_shown() -> None:
    one = request("DPoP access-token", proofs=("the-proof",))
    shown = f"{one!r} {parse_credentials(one)!r}"
    assert "access-token" not in shown
    assert "the-proof" not in shown


@pytest.mark.requirement("J-15", "H-1")
def test_a_framework_that_keeps_lines_apart_is_asked_for_all_of_them() -> None:
    headers = Headers([("authorization", "DPoP a"), ("dpop", "b"), ("DPOP", "c")])
    made = resource_request(JsonRequest("GET", "https://api.example.com/x", headers))
    assert made.authorization == ("DPoP a",)
    assert made.proofs == ("b", "c")


@pytest.mark.requirement("P-8")
@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", False),
        ("access_token", True),
        ("access_token=", True),
        ("a=b&access_token=c", True),
        ("%61ccess_token=c", True),
        ("".join(f"%{ord(each):02X}" for each in "access_token"), True),
        ("Access_Token=c", False),
        ("a=access_token", False),
        ("xaccess_token=c", False),
        ("%", False),
        ("&&;=", False),
    ],
)
def test_the_parameter_is_found_by_its_name(text: str, names: bool) -> None:
    assert names_access_token(text) is names
