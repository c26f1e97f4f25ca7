"""A prepared key makes the MACs of :mod:`hmac`."""

from __future__ import annotations

import hmac
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpop_ext.symmetric.mac_key import MacKey


@pytest.mark.requirement("R1403")
@given(st.binary(min_size=64, max_size=64), st.lists(st.binary(max_size=300)))
def test_macs_are_those_of_the_standard_library(
    key: bytes, messages: list[bytes]
) -> None:
    for algorithm, length, digest in (("HS256", 32, "sha256"), ("HS512", 64, "sha512")):
        prepared = MacKey(algorithm, key[:length])
        for message in messages:
            expected = hmac.digest(key[:length], message, digest)
            assert prepared.tag(message) == expected


@pytest.mark.parametrize("algorithm", ["HS256", "HS512", "HS384", "none"])
@pytest.mark.parametrize("length", [0, 31, 33, 63, 65])
def test_a_key_has_the_length_of_its_algorithm(algorithm: str, length: int) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        MacKey(algorithm, bytes(length))


@pytest.mark.requirement("T20")
def test_a_key_is_neither_shown_nor_pickled() -> None:
    key = bytes(range(32))
    prepared = MacKey("HS256", key)
    assert repr(prepared) == "<MacKey for HS256>"
    with pytest.raises(TypeError):
        pickle.dumps(prepared)
