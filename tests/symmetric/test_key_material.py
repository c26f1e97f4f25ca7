"""Key material that a client encrypts for the authorization server."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, Key, OctKey

from dpop_ext.core.jose import json_segment
from dpop_ext.errors import MalformedProofError
from dpop_ext.symmetric.key_material import decrypt_key_material, encrypt_key_material
from dpop_ext.symmetric.key_request import MAX_KEY_MATERIAL
from dpop_ext.symmetric.secret_bytes import SecretBytes
from tests.symmetric.test_delivery import KEYS, forge, header_of, without
from tests.symmetric.test_encapsulation import encapsulate, public
from tests.symmetric.vectors import PUBLISHED

CLIENT = PUBLISHED["client_id"]
JKT = PUBLISHED["jkt"]
JTI = "e1j3V_bKic8-LAEB"
VALUE = bytes.fromhex(PUBLISHED["k_c"])
KEY = KEYS["P-256"]


def encrypt(key: Key = KEY, /, value: bytes = VALUE, **changes: Any) -> str:
    values = {"client_id": CLIENT, "jkt": JKT, "jti": JTI, **changes}
    return encrypt_key_material(SecretBytes(value), recipient=public(key), **values)


def decrypt(text: str, *keys: Key, **changes: Any) -> bytes:
    values = {"client_id": CLIENT, "jkt": JKT, "jti": JTI, **changes}
    return decrypt_key_material(text, private_keys=keys or (KEY,), **values).reveal()


@pytest.mark.requirement("R2193")
@pytest.mark.parametrize("name", KEYS)
def test_the_server_gets_the_key_material(name: str) -> None:
    text = encrypt(KEYS[name])
    header = header_of(text)
    assert header["typ"] == "dpop-sym-entropy+jwe"
    assert header["dsk"] == {"client_id": CLIENT, "jkt": JKT, "jti": JTI}
    assert len(text) <= MAX_KEY_MATERIAL
    assert decrypt(text, KEYS[name]) == VALUE


@pytest.mark.requirement("R2193")
@pytest.mark.parametrize("name", ["client_id", "jkt", "jti"])
def test_key_material_for_another_proof_is_not_decrypted(
    name: str, decryptions: list[str]
) -> None:
    text = encrypt()
    assert decrypt(text) == VALUE
    assert len(decryptions) == 1
    with pytest.raises(MalformedProofError):
        decrypt(text, **{name: "another"})
    header = sound_header()
    for dsk in (
        without(header["dsk"], name),
        {**header["dsk"], name: None},
        {**header["dsk"], "more": 1},
    ):
        with pytest.raises(MalformedProofError):
            decrypt(forge(KEY, {**header, "dsk": dsk}, VALUE))
    assert len(decryptions) == 1


def sound_header() -> dict[str, Any]:
    return {
        "typ": "dpop-sym-entropy+jwe",
        "alg": "ECDH-ES",
        "enc": "A256GCM",
        "kid": KEY.thumbprint(),
        "dsk": {"client_id": CLIENT, "jkt": JKT, "jti": JTI},
    }


@pytest.mark.requirement("R2065", "R1203")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("typ", "dpop-sym+jwe"),
        ("typ", "dpop-sym-rs+jwe"),
        ("typ", None),
        ("cty", "jwk+json"),
        ("alg", "RSA-OAEP-256"),
        ("alg", "dir"),
        ("alg", None),
        ("enc", "A128GCM"),
        ("enc", "A256CBC-HS512"),
        ("kid", "another"),
        ("kid", None),
        ("dsk", None),
        ("zip", "DEF"),
        ("unknown", 1),
    ],
)
def test_another_header_is_refused_before_decryption(
    name: str, value: object, decryptions: list[str]
) -> None:
    header = sound_header()
    good = forge(KEY, header, VALUE)
    assert decrypt(good) == VALUE
    assert len(decryptions) == 1
    bad = f"{json_segment({**header, name: value})}.{good.split('.', 1)[1]}"
    with pytest.raises(MalformedProofError):
        decrypt(bad)
    assert len(decryptions) == 1


@pytest.mark.requirement("R2065")
def test_an_encapsulated_key_is_no_key_material() -> None:
    with pytest.raises(MalformedProofError):
        decrypt(encapsulate())


@pytest.mark.requirement("R2192")
@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_key_material_is_32_bytes(length: int) -> None:
    value = bytes(length)
    with pytest.raises(ValueError, match="32 bytes"):
        encrypt(KEY, value)
    with pytest.raises(MalformedProofError):
        decrypt(forge(KEY, sound_header(), value))


def test_the_keys_of_the_server_rotate() -> None:
    old, new = ECKey.generate_key("P-256"), ECKey.generate_key("P-256")
    text = encrypt(old)
    assert decrypt(text, new, old) == VALUE
    with pytest.raises(MalformedProofError):
        decrypt(text, new)


def test_a_key_that_cannot_encrypt_is_no_recipient() -> None:
    with pytest.raises(ValueError, match="cannot be used"):
        encrypt_key_material(
            SecretBytes(VALUE),
            recipient=OctKey.generate_key(256),
            client_id=CLIENT,
            jkt=JKT,
            jti=JTI,
        )


@given(data=st.data())
def test_a_changed_jwe_is_an_error_of_ours(data: st.DataObject) -> None:
    text = encrypt()
    position = data.draw(st.integers(0, len(text) - 1))
    character = data.draw(st.characters(codec="ascii"))
    changed = text[:position] + character + text[position + 1 :]
    if changed == text:
        assert decrypt(changed) == VALUE
    else:
        with pytest.raises(MalformedProofError):
            decrypt(changed)
