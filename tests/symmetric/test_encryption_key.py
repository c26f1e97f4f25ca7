from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from dpop_ext.errors import MalformedProofError, ProofError, UnsupportedKeyError
from dpop_ext.symmetric import encryption_key
from dpop_ext.symmetric.encryption_key import (
    MAX_JWK_LENGTH,
    EncryptionKey,
    import_encryption_key,
)
from tests.symmetric.odd_values import ODD_VALUES, odd_values

KEYS: dict[str, Key] = {
    "P-256": ECKey.generate_key("P-256"),
    "P-384": ECKey.generate_key("P-384"),
    "P-521": ECKey.generate_key("P-521"),
    "X25519": OKPKey.generate_key("X25519"),
    "X448": OKPKey.generate_key("X448"),
}
P256: dict[str, Any] = {**KEYS["P-256"].as_dict(private=False)}
X25519: dict[str, Any] = {**KEYS["X25519"].as_dict(private=False)}

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


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def load(jwk: object) -> EncryptionKey:
    found = import_encryption_key(jwk, proof_jwk={})
    assert found is not None
    return found


def rsa_jwk(
    *, bits: int = 2048, e: int = 65537, n: int | None = None
) -> dict[str, Any]:
    """Return what looks like an RSA key."""
    modulus = n if n is not None else (1 << (bits - 1)) | 1
    return {
        "kty": "RSA",
        "n": b64url(modulus.to_bytes((modulus.bit_length() + 7) // 8)),
        "e": b64url(e.to_bytes((e.bit_length() + 7) // 8)),
    }


@pytest.mark.parametrize("curve", KEYS)
def test_a_key_on_each_curve_is_imported(curve: str) -> None:
    jwk = dict(KEYS[curve].as_dict(private=False))
    found = load(jwk)
    assert found.key.thumbprint() == KEYS[curve].thumbprint()
    assert found.key.is_private is False
    assert found.is_proof_key is False


def test_an_rsa_key_is_imported(rsa_key: RSAKey) -> None:
    found = load(dict(rsa_key.as_dict(private=False)))
    assert found.key.thumbprint() == rsa_key.thumbprint()


@pytest.mark.parametrize(
    "more",
    [
        {"use": "enc"},
        {"kid": "1", "x5c": [], "unknown": {"a": 1}, "ext": True},
        {"key_ops": []},
        {"key_ops": ["deriveBits"]},
        {"alg": "ECDH-ES+A256KW"},
    ],
    ids=repr,
)
def test_a_key_may_say_that_it_is_for_encryption(more: dict[str, Any]) -> None:
    found = load({**P256, **more})
    assert found.key.thumbprint() == KEYS["P-256"].thumbprint()
    assert found.key.alg == more.get("alg")


@pytest.mark.parametrize(
    "more",
    [
        {"use": "sig"},
        {"use": None},
        {"use": ["enc"]},
        {"key_ops": ["verify"]},
        {"key_ops": "deriveBits"},
        {"key_ops": None},
        {"key_ops": 1},
        {"key_ops": [["deriveKey"]]},
        {"alg": "ES256"},
        {"alg": "RSA-OAEP-256"},
        {"alg": "RSA1_5"},
        {"alg": None},
        {"alg": []},
    ],
    ids=repr,
)
def test_a_key_for_something_else_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedKeyError):
        load({**P256, **more})


@pytest.mark.requirement("R1002")
@pytest.mark.parametrize("name", ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"])
@pytest.mark.parametrize("value", ["AA", "", None, 1])
def test_a_private_member_is_refused(name: str, value: object) -> None:
    with pytest.raises(UnsupportedKeyError, match="private"):
        load({**P256, name: value})


@pytest.mark.requirement("R1002")
@pytest.mark.parametrize("curve", KEYS)
def test_a_private_key_is_refused(curve: str) -> None:
    with pytest.raises(UnsupportedKeyError, match="private"):
        load(dict(KEYS[curve].as_dict(private=True)))


@pytest.mark.parametrize("curve", ["Ed25519", "Ed448"])
def test_a_signature_key_is_not_converted(curve: Any) -> None:
    with pytest.raises(UnsupportedKeyError):
        load(dict(OKPKey.generate_key(curve).as_dict(private=False)))


@pytest.mark.parametrize(
    "change",
    [
        {"crv": "secp256k1"},
        {"crv": "P-384"},
        {"crv": "p-256"},
        {"crv": "P-1"},
        {"crv": "X25519"},
        {"crv": None},
        {"crv": ["P-256"]},
        {"kty": "OKP"},
        {"kty": "RSA"},
        {"kty": "oct"},
        {"kty": "AKP"},
        {"kty": None},
        {"kty": ["EC"]},
        {"kty": {}},
    ],
    ids=repr,
)
def test_another_curve_or_type_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedKeyError):
        load({**P256, **change})


@pytest.mark.parametrize("name", ["kty", "crv", "x", "y"])
def test_a_member_is_missing(name: str) -> None:
    with pytest.raises(UnsupportedKeyError):
        load({key: value for key, value in P256.items() if key != name})


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


@pytest.mark.requirement("T14")
def test_huge_jwk_rejected() -> None:
    room = MAX_JWK_LENGTH - len(json.dumps({**P256, "x5c": ""}, separators=(",", ":")))
    assert load({**P256, "x5c": "x" * room}).key.key_type == "EC"
    with pytest.raises(MalformedProofError, match="too long"):
        load({**P256, "x5c": "x" * (room + 1)})
    # As JSON this character takes twelve.
    wide = "\N{GRINNING FACE}"
    assert load({**P256, "x5c": wide * (room // 12)}).key.key_type == "EC"
    with pytest.raises(MalformedProofError, match="too long"):
        load({**P256, "x5c": wide * (room // 12 + 1)})


def _outcome(jwk: dict[str, Any]) -> object:
    try:
        return load(jwk).key.thumbprint()
    except ProofError as error:
        return type(error), error.description


@pytest.mark.requirement("T14", "R2113")
@given(
    st.dictionaries(
        st.sampled_from(["kty", "crv", "x", "d", "use", "alg", "key_ops"]),
        odd_values
        | st.sampled_from(["OKP", "X25519", "A" * 43, "A" * 44, "x" * 5000])
        | st.lists(st.just("x"), min_size=43, max_size=43),
        max_size=2,
    )
)
def test_what_clients_send_is_checked_like_any_other_key(
    changes: dict[str, Any],
) -> None:
    jwk = {**X25519, **changes}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encryption_key, "_is_bare_x25519", lambda _: False)
        expected = _outcome(jwk)
    assert _outcome(jwk) == expected


@pytest.mark.parametrize("x", [None, 5, True, [], ["AA"], {}])
def test_a_coordinate_that_is_no_text_is_no_accident(x: object) -> None:
    """The cause goes into the log, where an ``AttributeError`` looks like a fault."""
    jwk = {"kty": "OKP", "crv": "X25519", "x": x}
    with pytest.raises(UnsupportedKeyError) as refused:
        import_encryption_key(jwk, proof_jwk={})
    assert refused.value.__cause__ is None


@pytest.mark.parametrize("jwk", ["jwk", [], 1, True, b"{}"])
def test_a_key_that_is_no_object_is_refused(jwk: object) -> None:
    with pytest.raises(MalformedProofError):
        load(jwk)


def test_the_proof_key_is_used_when_no_other_is_offered() -> None:
    found = import_encryption_key(None, proof_jwk=P256)
    assert found is not None
    assert found.is_proof_key is True
    assert found.key.thumbprint() == KEYS["P-256"].thumbprint()


@pytest.mark.requirement("R2113")
def test_the_proof_key_offered_once_more_is_still_the_proof_key() -> None:
    jwk = {**P256, "use": "enc", "kid": "another"}
    found = import_encryption_key(jwk, proof_jwk={**P256, "use": "sig"})
    assert found is not None
    assert found.is_proof_key is True
    other = dict(ECKey.generate_key("P-256").as_dict(private=False))
    found = import_encryption_key(other, proof_jwk=P256)
    assert found is not None
    assert found.is_proof_key is False


@pytest.mark.requirement("R1003")
def test_a_proof_key_that_cannot_encrypt_gives_no_key(ed_key: OKPKey) -> None:
    assert (
        import_encryption_key(None, proof_jwk=dict(ed_key.as_dict(private=False)))
        is None
    )
    for more in ({"use": "sig"}, {"alg": "ES256"}, {"key_ops": ["verify"]}):
        assert import_encryption_key(None, proof_jwk={**P256, **more}) is None


def test_an_encryption_key_beside_an_ed25519_proof_key_is_its_own(
    ed_key: OKPKey,
) -> None:
    found = import_encryption_key(X25519, proof_jwk=dict(ed_key.as_dict(private=False)))
    assert found is not None
    assert found.is_proof_key is False


MEMBERS = ["kty", "crv", "x", "y", "n", "e", "use", "alg", "key_ops"]


@pytest.mark.parametrize("member", MEMBERS)
@pytest.mark.parametrize("value", ODD_VALUES, ids=repr)
def test_an_odd_member_gives_a_documented_error_or_none(
    member: str, value: object
) -> None:
    try:
        assert load({**P256, member: value}).key.key_type == "EC"
    except ProofError:
        assert member not in ("n", "e")  # which mean nothing for this type


@given(
    start=st.sampled_from([P256, X25519, rsa_jwk(), {}]),
    changes=st.dictionaries(st.sampled_from(MEMBERS), odd_values),
    more=st.dictionaries(st.text(max_size=5), odd_values, max_size=2),
)
def test_odd_values_give_documented_errors(
    start: dict[str, Any], changes: dict[str, Any], more: dict[str, Any]
) -> None:
    try:
        found = import_encryption_key({**more, **start, **changes}, proof_jwk=P256)
    except ProofError:
        return
    assert found is not None
    assert found.key.is_private is False
