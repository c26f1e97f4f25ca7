"""A header in the usual form is read as the strict parser reads it, or not at all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpop_ext.core.base64url import b64url_decode
from dpop_ext.core.jose import parse_header
from dpop_ext.core.proof_making import proof_header
from dpop_ext.core.strict_json import parse_json_object
from dpop_ext.core.usual_header import read_usual_header
from dpop_ext.errors import MalformedJOSEError

HEADER = (
    '{"typ":"dpop+jwt","alg":"ES256","jwk":{"kty":"EC","crv":"P-256"'
    f',"x":"{"A" * 43}","y":"{"B" * 43}"}}}}'
)
PIECES = ["{", "}", "[", '"', ",", ":", "\\", "\\u0041", "\0", " ", "\n", "A", "é"]


def test_headers_of_this_package_are_in_the_usual_form(
    ec_key: Any, ed_key: Any
) -> None:
    for key, algorithm in ((ec_key, "ES256"), (ed_key, "Ed25519"), (ed_key, "EdDSA")):
        segment = proof_header(key, algorithm=algorithm)
        usual = read_usual_header(b64url_decode(segment))
        assert usual is not None
        assert usual == parse_header(segment)


@pytest.mark.requirement("S-8", "J-13")
@given(
    st.integers(0, len(HEADER)),
    st.integers(0, 20),
    st.sampled_from(PIECES) | st.text(max_size=3),
)
def test_headers_with_a_change_are_read_in_one_way(
    start: int, length: int, new: str
) -> None:
    text = HEADER[:start] + new + HEADER[start + length :]
    raw = text.encode("utf-8", "surrogatepass")
    usual = read_usual_header(raw)
    if usual is not None:
        assert usual == parse_json_object(raw)


@pytest.mark.requirement("S-8", "J-13")
@pytest.mark.parametrize(
    ("piece", "new"),
    [
        ('"kty":"EC"', '"kty":"EC","kty":"EC"'),
        ('"kty":"EC"', '"kty":"EC","d":"AAAA"'),
        ("}}", '},"crit":["b64"]}'),
        ("}}", '},"jwk":{}}'),
        ("}}", "}}\n"),
        ("}}", "}}}"),
        ('"ES256"', '"ES256","alg":"none"'),
        ('"ES256"', '"ES\\u003256"'),
        ('"dpop+jwt"', '"dpop+jwt\\u0000"'),
        ("A" * 43, "A" * 42 + "="),
        ("A" * 43, "A" * 44),
    ],
)
def test_what_is_written_otherwise_is_left_to_the_parser(piece: str, new: str) -> None:
    assert piece in HEADER
    assert read_usual_header(HEADER.replace(piece, new, 1).encode()) is None


def test_only_what_has_a_limit_is_counted() -> None:
    names = ",".join(f'"n{i}":"\\"{i}"' for i in range(1000, 1126))
    at_limit = f'{{{names},"s":"{{"}}'.encode()

    assert len(parse_json_object(at_limit)) == 127
    with pytest.raises(MalformedJOSEError):
        parse_json_object(at_limit.replace(b'"{"', b'"{{"'))
