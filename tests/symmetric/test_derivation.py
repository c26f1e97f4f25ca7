from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from hypothesis import given
from hypothesis import strategies as st

from dpop_ext.symmetric.derivation import (
    MAC_ALGORITHMS,
    audience_secret,
    composite_r,
    expand,
    lp,
    mixed_key,
    nonce_secret,
    symmetric_key,
    u64,
)
from tests.symmetric.vectors import PUBLISHED

ISSUER = PUBLISHED["iss"]
AUDIENCE = PUBLISHED["aud"]
ROOT = bytes.fromhex(PUBLISHED["K_root"])
SECRET = bytes.fromhex(PUBLISHED["S"])
R = base64.urlsafe_b64decode(PUBLISHED["R"] + "=")

KEY_INPUTS: dict[str, Any] = {
    "algorithm": "HS256",
    "issuer": ISSUER,
    "audience": AUDIENCE,
    "client_id": PUBLISHED["client_id"],
    "jkt": PUBLISHED["jkt"],
    "version": PUBLISHED["V"],
    "r": R,
}


def key(**changes: Any) -> bytes:
    return symmetric_key(SECRET, **{**KEY_INPUTS, **changes})


def test_audience_secret_is_the_published_one() -> None:
    derived = audience_secret(ROOT, issuer=ISSUER, audience=AUDIENCE, version=7)
    assert derived.hex() == PUBLISHED["S"]


@pytest.mark.requirement("R2071")
def test_audience_secret_with_a_root_id_is_the_published_one() -> None:
    derived = audience_secret(
        ROOT,
        issuer=ISSUER,
        audience=AUDIENCE,
        version=7,
        root_id=bytes.fromhex(PUBLISHED["root_id"]),
    )
    assert derived.hex() == PUBLISHED["S_with_root_id"]


@pytest.mark.parametrize("algorithm", ["HS256", "HS512"])
def test_symmetric_key_is_the_published_one(algorithm: str) -> None:
    derived = key(algorithm=algorithm)
    assert derived.hex() == PUBLISHED[f"SK_{algorithm}"]
    assert len(derived) == MAC_ALGORITHMS[algorithm]


def test_symmetric_key_expands_the_published_info() -> None:
    info = bytes.fromhex(PUBLISHED["info_HS256"])
    assert expand(SECRET, info, 32).hex() == PUBLISHED["SK_HS256"]
    assert key() == expand(SECRET, info, 32)


def test_nonce_secret_is_the_published_one() -> None:
    assert nonce_secret(SECRET).hex() == PUBLISHED["NK"]


@given(
    prk=st.binary(min_size=32, max_size=32),
    info=st.binary(max_size=300),
    length=st.integers(1, 64),
)
def test_expand_is_hkdf_expand(prk: bytes, info: bytes, length: int) -> None:
    assert expand(prk, info, length) == HKDFExpand(
        hashes.SHA256(), length, info
    ).derive(prk)


def test_lengths_are_two_bytes_and_versions_eight() -> None:
    assert lp(b"") == b"\0\0"
    assert lp(b"x" * 258)[:3] == b"\x01\x02x"
    assert u64(2**53 - 1).hex() == "001fffffffffffff"


JKTS = st.binary(min_size=32, max_size=32).map(
    lambda digest: base64.urlsafe_b64encode(digest)[:43].decode()
)
NAMES = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]),
    min_size=1,
    max_size=60,
)
FIELDS = {
    "algorithm": st.sampled_from(["HS256", "HS512"]),
    "issuer": NAMES,
    "audience": NAMES,
    "client_id": NAMES,
    "jkt": JKTS,
    "version": st.integers(1, 2**53 - 1),
    "r": st.binary(min_size=32, max_size=32),
}


@pytest.mark.requirement("T4")
@pytest.mark.parametrize("field", FIELDS)
@given(data=st.data())
def test_changing_any_one_field_changes_the_key(field: str, data: Any) -> None:
    inputs = data.draw(st.fixed_dictionaries(FIELDS))
    other = data.draw(FIELDS[field].filter(lambda value: value != inputs[field]))
    first = symmetric_key(SECRET, **inputs)
    second = symmetric_key(SECRET, **{**inputs, field: other})
    # An HS512 key does not even begin like the HS256 key of the same token.
    assert first[:32] != second[:32]


@pytest.mark.requirement("T4")
def test_eight_neighbouring_keys_are_all_different() -> None:
    keys = [
        key(),
        key(algorithm="HS512")[:32],
        key(issuer="https://as2.example.com"),
        key(audience="https://api2.example.com"),
        key(client_id="s6BhdRkqt4"),
        key(jkt="1" + PUBLISHED["jkt"][1:]),
        key(version=8),
        key(r=bytes(32)),
    ]
    assert len(set(keys)) == 8


@pytest.mark.requirement("T4")
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"issuer": "a", "audience": "bc"}, {"issuer": "ab", "audience": "c"}),
        ({"audience": "a", "client_id": "bc"}, {"audience": "ab", "client_id": "c"}),
    ],
)
def test_lp_boundary_shift(first: dict[str, str], second: dict[str, str]) -> None:
    assert key(**first) != key(**second)


@pytest.mark.requirement("T4")
def test_audience_secrets_differ_by_issuer_audience_version_and_root() -> None:
    secrets = {
        audience_secret(root, issuer=iss, audience=aud, version=v, root_id=rid)
        for root, iss, aud, v, rid in [
            (ROOT, "a", "bc", 1, b""),
            (ROOT, "ab", "c", 1, b""),
            (ROOT, "a", "bd", 1, b""),
            (ROOT, "a", "bc", 2, b""),
            (ROOT, "a", "bc", 1, b"\0"),
            (ROOT[::-1], "a", "bc", 1, b""),
        ]
    }
    assert len(secrets) == 6


@pytest.mark.requirement("R1304")
@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_r_is_32_bytes(length: int) -> None:
    with pytest.raises(ValueError, match="r must be 32 bytes"):
        key(r=bytes(length))


@pytest.mark.requirement("R2101", "R2104", "R2105")
@pytest.mark.parametrize(
    "changes",
    [
        {"algorithm": "HS384"},
        {"algorithm": "none"},
        {"algorithm": "hs256"},
        {"issuer": ""},
        {"issuer": "i" * 257},
        {"audience": "é" * 129},
        {"audience": "a\0"},
        {"client_id": ""},
        {"client_id": "c" * 2049},
        {"client_id": "c\0"},
        {"client_id": "\ud800"},
        {"jkt": PUBLISHED["jkt"][:-1]},
        {"jkt": PUBLISHED["jkt"] + "="},
        {"jkt": PUBLISHED["jkt"][:-1] + "B"},  # not the canonical last character
        {"version": 0},
        {"version": -1},
        {"version": 2**53},
        {"version": True},
        {"version": 7.0},
    ],
    ids=repr,
)
def test_a_field_outside_its_limits_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each limit has its own text
        key(**changes)


@pytest.mark.requirement("R2104")
def test_the_longest_identifiers_are_accepted() -> None:
    assert key(issuer="i" * 256, audience="é" * 128, client_id="c" * 2048)
    assert key(version=2**53 - 1) != key(version=1)


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_a_secret_is_32_bytes(length: int) -> None:
    secret = bytes(length)
    with pytest.raises(ValueError, match="must be 32 bytes"):
        symmetric_key(secret, **KEY_INPUTS)
    with pytest.raises(ValueError, match="must be 32 bytes"):
        nonce_secret(secret)
    with pytest.raises(ValueError, match="must be 32 bytes"):
        audience_secret(secret, issuer=ISSUER, audience=AUDIENCE, version=7)


def test_a_root_id_has_a_limit() -> None:
    with pytest.raises(ValueError, match="root id"):
        audience_secret(
            ROOT, issuer=ISSUER, audience=AUDIENCE, version=7, root_id=bytes(257)
        )


def octets(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@pytest.mark.requirement("R2196")
def test_the_composite_r_is_the_published_one() -> None:
    r_as, n = octets(PUBLISHED["R_as"]), octets(PUBLISHED["n_c"])
    r = composite_r(r_as, n)
    assert r == octets(PUBLISHED["R_composite"])
    assert composite_r(n, r_as) != r
    # Each side changes it, whatever the other one sends.
    assert composite_r(bytes(32), n) != composite_r(bytes(32), r_as)
    assert composite_r(n, bytes(32)) != composite_r(r_as, bytes(32))


@pytest.mark.requirement("R2192")
def test_the_key_with_key_material_is_the_published_one() -> None:
    random = bytes.fromhex(PUBLISHED["random32"])
    material = bytes.fromhex(PUBLISHED["k_c"])
    key = mixed_key(random, algorithm="HS256", key_material=material)
    assert key.hex() == PUBLISHED["SK_kc_HS256"]
    long = mixed_key(random, algorithm="HS512", key_material=material)
    # Not the beginning of a longer one: the algorithm is in both.
    assert len(long) == 64
    assert long[:32] != key


@pytest.mark.requirement("R2192")
def test_key_material_is_never_the_key_itself() -> None:
    zeros = bytes(32)
    keys = {
        mixed_key(bytes([i]) * 32, algorithm="HS256", key_material=zeros)
        for i in range(20)
    }
    assert len(keys) == 20
    assert zeros not in keys


@pytest.mark.requirement("R2195")
@pytest.mark.parametrize("length", [0, 31, 33])
def test_parts_of_another_length_are_refused(length: int) -> None:
    good, bad = bytes(32), bytes(length)
    for r_as, n in ((good, bad), (bad, good)):
        with pytest.raises(ValueError, match="32 bytes"):
            composite_r(r_as, n)
    for random, material in ((good, bad), (bad, good)):
        with pytest.raises(ValueError, match="32 bytes"):
            mixed_key(random, algorithm="HS256", key_material=material)
    with pytest.raises(ValueError, match="algorithm"):
        mixed_key(good, algorithm="HS384", key_material=good)
