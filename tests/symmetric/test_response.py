"""Response proofs: who answered, to what, and with what."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpop_ext.core.base64url import b64url_decode, b64url_encode
from dpop_ext.core.jose import json_segment
from dpop_ext.core.request_digest import content_digest
from dpop_ext.errors import ResponseProofError
from dpop_ext.symmetric.derivation import response_key
from dpop_ext.symmetric.mac_key import MacKey
from dpop_ext.symmetric.response import (
    MAX_RESPONSE_PROOF,
    MAX_SKEW,
    PROTECTED_FIELDS,
    AnsweredRequest,
    field_digest,
    make_response_proof,
    verify_response_proof,
)
from dpop_ext.symmetric.secret_bytes import SecretBytes
from tests.symmetric.odd_values import ODD_VALUES, json_values
from tests.symmetric.vectors import FOLDER, PUBLISHED
from tests.vectors.generate_responses import generate

VECTORS: dict[str, Any] = json.loads((FOLDER / "responses.json").read_text("utf-8"))
KEY = SecretBytes(bytes.fromhex(VECTORS["K_res"]["HS256"]))
NOW: int = VECTORS["now"]
REQUEST = AnsweredRequest.of("a.b.c", target="/a?b", content=content_digest(b"c"))
FIELDS = [("Content-Type", "text/plain")]


def make(**changes: Any) -> str:
    values: dict[str, Any] = {"status": 200, "fields": FIELDS, "content": b"d"}
    return make_response_proof(KEY, REQUEST, **(values | {"now": NOW} | changes))


def verify(*values: str, **changes: Any) -> None:
    seen: dict[str, Any] = {
        "key": KEY,
        "request": REQUEST,
        "status": 200,
        "fields": FIELDS,
        "content": b"d",
        "now": NOW,
    } | changes
    verify_response_proof(values, **seen)


def claims_of(text: str) -> dict[str, Any]:
    claims: dict[str, Any] = json.loads(b64url_decode(text.split(".")[1]))
    return claims


def signed(header: dict[str, Any], claims: dict[str, Any]) -> str:
    signing_input = f"{json_segment(header)}.{json_segment(claims)}"
    tag = MacKey("HS256", KEY.reveal()).tag(signing_input.encode())
    return f"{signing_input}.{b64url_encode(tag)}"


def test_the_generator_writes_the_file_as_it_is() -> None:
    assert generate() == VECTORS


@pytest.mark.parametrize("algorithm", ["HS256", "HS512"])
def test_the_key_is_the_one_of_the_vectors(algorithm: str) -> None:
    key = bytes.fromhex(VECTORS["SK"][algorithm])
    expected = bytes.fromhex(VECTORS["K_res"][algorithm])
    assert response_key(key) == expected
    assert MacKey(algorithm, key).response_key().reveal() == expected


def test_the_key_is_the_published_one() -> None:
    assert VECTORS["K_res"]["HS256"] == PUBLISHED["K_res"]


@pytest.mark.parametrize("length", [0, 31, 33, 63, 65])
def test_a_key_of_another_length_has_no_response_key(length: int) -> None:
    with pytest.raises(ValueError, match="length"):
        response_key(bytes(length))


@pytest.mark.requirement("R1901", "R2161", "R2162", "R2163")
@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda v: v["name"])
def test_the_verdict_is_the_one_of_the_vector(vector: dict[str, Any]) -> None:
    request = AnsweredRequest.of(
        vector["proof"],
        target=vector["target"],
        content=content_digest(vector["request_content"].encode("latin-1")),
    )
    key = SecretBytes(bytes.fromhex(vector.get("K_res", VECTORS["K_res"]["HS256"])))
    answer: dict[str, Any] = {
        "status": vector["status"],
        "fields": [(name, value) for name, value in vector["fields"]],
        "content": vector["content"].encode("latin-1"),
        "now": vector.get("now", NOW),
    }
    values = [vector["response"]]
    if vector["result"] == "refused":
        with pytest.raises(ResponseProofError):
            verify_response_proof(values, key, request, **answer)
        return
    proof = verify_response_proof(values, key, request, **answer)
    assert (proof.status, proof.issued_at) == (vector["status"], NOW)
    assert make_response_proof(key, request, **answer) == vector["response"]


@pytest.mark.requirement("R1903", "R2154")
@pytest.mark.parametrize("count", [0, 2, 3])
def test_there_must_be_one_proof(count: int) -> None:
    with pytest.raises(ResponseProofError, match="several"):
        verify(*[make()] * count)
    verify(make())


def test_two_proofs_that_a_proxy_joined_are_none() -> None:
    with pytest.raises(ResponseProofError, match="malformed"):
        verify(f"{make()}, {make()}")


@pytest.mark.parametrize("skew", [-MAX_SKEW, MAX_SKEW])
def test_clocks_may_differ_a_little(skew: int) -> None:
    verify(make(), now=NOW + skew)
    with pytest.raises(ResponseProofError, match="time"):
        verify(make(), now=NOW + skew + (1 if skew > 0 else -1))


@pytest.mark.requirement("R2163")
@pytest.mark.parametrize("name", PROTECTED_FIELDS)
def test_each_protected_field_counts(name: str) -> None:
    digests = [
        field_digest(fields)
        for fields in (
            [],
            [(name, "")],
            [(name, "a")],
            [(name, "a"), (name.upper(), "b")],
            [(name, "a,b")],
        )
    ]
    assert len(set(digests)) == len(digests)
    assert field_digest([(name, "a"), (name, "b")]) == field_digest([(name, "a, b")])


def test_other_fields_do_not_count() -> None:
    assert field_digest([("Date", "now"), ("Via", "proxy")]) == field_digest([])


def test_a_value_does_not_run_into_the_next_field() -> None:
    # The bytes behind the digest of an absent field, as the value of the one before.
    tail = "\0" + "\0\x10content-encoding" + "\0"
    assert field_digest([("Content-Type", tail)]) != field_digest([])


@pytest.mark.parametrize("value", ["a" * 65_536, "\u20ac"])
def test_a_field_without_an_encoding_has_no_proof(value: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever it says
        make(fields=[("ETag", value)])
    with pytest.raises(ResponseProofError):
        verify(make(), fields=[("ETag", value)])


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "dpop-sym-res+jwt", "alg": "HS512"},
        {"typ": "dpop-sym-res+jwt", "alg": "none"},
        {"typ": "dpop-sym+jwt", "alg": "HS256"},
        {"typ": "dpop-sym-res+jwt", "alg": "HS256", "kid": "1"},
        {"typ": "dpop-sym-res+jwt", "alg": "HS256", "crit": ["x"]},
        {"alg": "HS256"},
    ],
)
def test_the_header_is_exactly_one(header: dict[str, Any]) -> None:
    claims = claims_of(make())
    verify(signed({"typ": "dpop-sym-res+jwt", "alg": "HS256"}, claims))
    with pytest.raises(ResponseProofError):
        verify(signed(header, claims))


@pytest.mark.requirement("R1901")
@pytest.mark.parametrize("name", ["rph", "rhq", "rcd", "iat", "status", "cd", "hd"])
def test_no_claim_is_optional_and_none_has_another_type(name: str) -> None:
    header = {"typ": "dpop-sym-res+jwt", "alg": "HS256"}
    claims = claims_of(make())
    missing = {other: value for other, value in claims.items() if other != name}
    with pytest.raises(ResponseProofError):
        verify(signed(header, missing))
    for value in ODD_VALUES:
        with pytest.raises(ResponseProofError):
            verify(signed(header, claims | {name: value}))


def test_unknown_claims_are_for_later_versions() -> None:
    header = {"typ": "dpop-sym-res+jwt", "alg": "HS256"}
    verify(signed(header, claims_of(make()) | {"more": 1}))


@given(st.text(max_size=MAX_RESPONSE_PROOF + 10))
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ResponseProofError):
        verify(text)


@given(st.dictionaries(st.text(max_size=8), json_values, max_size=8))
def test_any_claims_of_the_right_key_are_refused(claims: dict[str, Any]) -> None:
    header = {"typ": "dpop-sym-res+jwt", "alg": "HS256"}
    with pytest.raises(ResponseProofError):
        verify(signed(header, claims))


@given(st.data())
def test_every_changed_character_is_noticed(data: st.DataObject) -> None:
    text = make()
    position = data.draw(st.integers(0, len(text) - 1))
    character = data.draw(st.characters(exclude_characters=text[position]))
    with pytest.raises(ResponseProofError):
        verify(text[:position] + character + text[position + 1 :])
