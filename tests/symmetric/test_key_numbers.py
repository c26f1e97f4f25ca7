from __future__ import annotations

import base64
from typing import Any

import pytest
from joserfc.jwk import OKPKey

from dpop_ext.errors import UnsupportedKeyError
from dpop_ext.symmetric.encryption_key import import_encryption_key
from tests.symmetric.offered_keys import KEYS, P256, X25519, b64url, load, rsa_jwk

#: The points of small order on Curve25519, RFC 7748 and its errata.
LOW_ORDER_X25519 = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]


@pytest.mark.requirement("T13")
def test_a_point_off_the_curve_is_refused() -> None:
    y = bytearray(base64.urlsafe_b64decode(P256["y"] + "="))
    y[-1] ^= 1
    with pytest.raises(UnsupportedKeyError):
        load({**P256, "y": b64url(bytes(y))})
    with pytest.raises(UnsupportedKeyError):
        load({**P256, "x": b64url(bytes(32)), "y": b64url(bytes(32))})


@pytest.mark.requirement("T13")
@pytest.mark.parametrize("point", LOW_ORDER_X25519)
def test_a_low_order_point_of_x25519_is_refused(point: str) -> None:
    jwk = {**X25519, "x": b64url(bytes.fromhex(point))}
    # The import alone takes it: only the exchange shows what it is.
    assert OKPKey.import_key(jwk).curve_name == "X25519"
    with pytest.raises(UnsupportedKeyError):
        load(jwk)


@pytest.mark.requirement("T13")
@pytest.mark.parametrize("value", [0, 1, 2**448 - 2**224 - 2])
def test_a_low_order_point_of_x448_is_refused(value: int) -> None:
    point = value.to_bytes(56, "little")
    with pytest.raises(UnsupportedKeyError):
        load({"kty": "OKP", "crv": "X448", "x": b64url(point)})


@pytest.mark.parametrize("name", ["x", "y"])
@pytest.mark.parametrize(
    "change",
    [
        lambda value: value + "=",
        lambda value: b64url(b"\0" + base64.urlsafe_b64decode(value + "=")),
        lambda value: value[:-1],
        lambda value: value[:-2] + "+/",
        lambda value: "",
        lambda value: 1,
        lambda value: None,
        lambda value: [value],
    ],
)
def test_a_coordinate_has_one_spelling(name: str, change: Any) -> None:
    with pytest.raises(UnsupportedKeyError):
        load({**P256, name: change(P256[name])})


@pytest.mark.parametrize("name", ["x", "y"])
def test_a_coordinate_beyond_the_field_is_no_second_spelling(name: str) -> None:
    jwk: dict[str, Any] = {**KEYS["P-521"].as_dict(private=False)}
    number = int.from_bytes(base64.urlsafe_b64decode(jwk[name]))
    jwk[name] = b64url((number + 2**521 - 1).to_bytes(66))
    with pytest.raises(UnsupportedKeyError):
        load(jwk)


@pytest.mark.parametrize(
    ("curve", "field", "length"),
    [("X25519", 2**255 - 19, 32), ("X448", 2**448 - 2**224 - 1, 56)],
)
def test_a_u_coordinate_beyond_the_field_is_no_second_spelling(
    curve: str, field: int, length: int
) -> None:
    def of(number: int) -> dict[str, Any]:
        return {
            **KEYS[curve].as_dict(private=False),
            "x": b64url(number.to_bytes(length, "little")),
        }

    assert not load(of(9)).is_proof_key
    with pytest.raises(UnsupportedKeyError):
        load(of(9 + field))


@pytest.mark.requirement("T14", "R2111", "R2112")
@pytest.mark.parametrize(
    "jwk",
    [
        rsa_jwk(bits=1024),
        rsa_jwk(bits=2047),
        rsa_jwk(bits=4097),
        rsa_jwk(bits=16384),
        rsa_jwk(e=1),
        rsa_jwk(e=3),
        rsa_jwk(e=65535),
        rsa_jwk(e=65536),
        rsa_jwk(e=2**32 + 1),
        rsa_jwk(n=1 << 2047),
        rsa_jwk(n=0),
        {**rsa_jwk(), "e": "AAEAAQ"},
        {**rsa_jwk(), "n": b64url(b"\0" + (1 << 2047 | 1).to_bytes(256))},
        {**rsa_jwk(), "n": ""},
        {**rsa_jwk(), "e": ""},
        {**rsa_jwk(), "e": None},
    ],
    ids=lambda jwk: f"{len(jwk['n'])} {jwk['e']}",
)
def test_an_rsa_key_out_of_range_is_refused(jwk: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedKeyError):
        load(jwk)


@pytest.mark.parametrize("x", [None, 5, True, [], ["AA"], {}])
def test_a_coordinate_that_is_no_text_is_no_accident(x: object) -> None:
    """The cause goes into the log, where an ``AttributeError`` looks like a fault."""
    jwk = {"kty": "OKP", "crv": "X25519", "x": x}
    with pytest.raises(UnsupportedKeyError) as refused:
        import_encryption_key(jwk, proof_jwk={})
    assert refused.value.__cause__ is None
