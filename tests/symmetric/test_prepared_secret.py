"""A prepared secret derives the keys that the secret itself does."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpop_ext.core.base64url import b64url_encode
from dpop_ext.symmetric.derivation import symmetric_key
from dpop_ext.symmetric.prepared_secret import PreparedSecret
from dpop_ext.symmetric.secret_bytes import SecretBytes

SECRET = bytes(range(32))
SERVER: dict[str, Any] = {
    "issuer": "https://as.example.com",
    "audience": "https://api.example.com",
    "version": 7,
}
TOKEN: dict[str, Any] = {
    "algorithm": "HS256",
    "client_id": "app",
    "jkt": b64url_encode(bytes(32)),
    "r": bytes(32),
}


@given(
    secret=st.binary(min_size=32, max_size=32),
    server=st.fixed_dictionaries(
        {
            "issuer": st.text(min_size=1, max_size=300),
            "audience": st.text(min_size=1, max_size=300),
            "version": st.integers(-1, 2**53) | st.booleans(),
        }
    ),
    token=st.fixed_dictionaries(
        {
            "algorithm": st.sampled_from(["HS256", "HS512", "HS384"]),
            "client_id": st.text(max_size=40),
            "jkt": st.binary(min_size=31, max_size=33).map(b64url_encode),
            "r": st.binary(min_size=31, max_size=33),
        }
    ),
)
def test_keys_are_those_of_the_secret(
    secret: bytes, server: dict[str, Any], token: dict[str, Any]
) -> None:
    for values in (TOKEN, token):
        try:
            expected = symmetric_key(secret, **server, **values)
        except ValueError:
            with pytest.raises(ValueError, match=r"must|is|contains|not"):
                PreparedSecret(SecretBytes(secret), **server).symmetric_key(**values)
        else:
            prepared = PreparedSecret(SecretBytes(secret), **server)
            assert prepared.symmetric_key(**values) == expected
            # Once more: what was hashed is as it was.
            assert prepared.symmetric_key(**values) == expected


@pytest.mark.requirement("T20")
def test_a_prepared_secret_is_neither_shown_nor_pickled() -> None:
    prepared = PreparedSecret(SecretBytes(SECRET), **SERVER)

    assert repr(prepared) == "<PreparedSecret 7>"
    with pytest.raises(TypeError):
        pickle.dumps(prepared)
