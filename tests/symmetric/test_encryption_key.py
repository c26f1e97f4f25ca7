from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OKPKey, RSAKey

from dpop_ext.errors import MalformedProofError, ProofError, UnsupportedKeyError
from dpop_ext.symmetric import encryption_key
from dpop_ext.symmetric.encryption_key import MAX_JWK_LENGTH, import_encryption_key
from tests.symmetric.odd_values import ODD_VALUES, odd_values
from tests.symmetric.offered_keys import KEYS, P256, X25519, load, rsa_jwk


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
