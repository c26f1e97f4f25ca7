"""The key that a verified token brings along, encrypted for its resource server."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from dpop_ext.core.confirmation import AccessToken, Confirmation
from dpop_ext.core.jose import json_segment
from dpop_ext.errors import AccessTokenError, DPoPError, StoreError, UnknownKeyError
from dpop_ext.symmetric import encapsulation
from dpop_ext.symmetric.delivery import wrap_key
from dpop_ext.symmetric.derivation import MAC_ALGORITHMS
from dpop_ext.symmetric.encapsulation import (
    ENCAPSULATED_JWE_TYPE,
    MAX_NAMES,
    KeyDecryptor,
    KeyRecipient,
    encapsulate_key,
)
from dpop_ext.symmetric.key_material import encrypt_key_material
from dpop_ext.symmetric.mac_key import MacKey
from dpop_ext.symmetric.secret_bytes import SecretBytes
from tests.symmetric.odd_values import ODD_VALUES, odd_values
from tests.symmetric.test_delivery import (
    AUDIENCE,
    ISSUER,
    KEYS,
    NOW,
    SECRET,
    SOUND_JWK,
    forge,
    header_of,
    without,
)

CLIENT = "s6BhdRkqt3"
JKT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
OTHER_JKT = "1ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
TOKEN = AccessToken(
    issuer=ISSUER,
    audience=(AUDIENCE,),
    client_id=CLIENT,
    expires_at=NOW + 300,
    token_id="token-1",
    confirmation=Confirmation(jkt=JKT, dsk=None),
    scope="",
    claims={},
)
KEY = KEYS["P-256"]
JWK = {**without(SOUND_JWK, "kid"), "key_ops": ["verify"]}


def public(key: Key) -> Key:
    return type(key).import_key(dict(key.as_dict(private=False)))


def encapsulate(key: Key = KEY, /, **changes: Any) -> str:
    values: dict[str, Any] = {
        "recipient": KeyRecipient(key=public(key), algorithm=algorithm_of(key)),
        "mac_algorithm": "HS256",
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "client_id": CLIENT,
        "jkt": JKT,
        "expires_at": NOW + 300,
        **changes,
    }
    return encapsulate_key(values.pop("key", SecretBytes(SECRET)), **values)


def algorithm_of(key: Key) -> str:
    return "RSA-OAEP-256" if key.key_type == "RSA" else "ECDH-ES"


def decryptor(*keys: Key, **options: Any) -> KeyDecryptor:
    return KeyDecryptor(lambda: keys or (KEY,), **options)


def decrypt(
    text: str, token: AccessToken = TOKEN, *keys: Key, **options: Any
) -> encapsulation.EncapsulatedKey:
    return decryptor(*keys, **options).decrypt(
        text, token, issuer=ISSUER, audience=AUDIENCE
    )


def same_key(found: encapsulation.EncapsulatedKey, value: bytes = SECRET) -> bool:
    algorithm = {32: "HS256", 64: "HS512"}[len(value)]
    assert found.mac_key.algorithm == algorithm
    return found.mac_key.tag(b"x") == MacKey(algorithm, value).tag(b"x")


@pytest.mark.requirement("R2061", "R2062", "R2064")
@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("mac_algorithm", MAC_ALGORITHMS)
def test_the_resource_server_of_the_token_gets_the_key(
    name: str, mac_algorithm: str
) -> None:
    key = KEYS[name]
    value = (SECRET + SECRET[::-1])[: MAC_ALGORITHMS[mac_algorithm]]
    text = encapsulate(key, key=SecretBytes(value), mac_algorithm=mac_algorithm)
    header = header_of(text)
    assert header["typ"] == ENCAPSULATED_JWE_TYPE == "dpop-sym-rs+jwe"
    assert header["dsk"] == {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "client_id": CLIENT,
        "jkt": JKT,
        "alg": mac_algorithm,
        "exp": NOW + 300,
    }
    found = decrypt(text, TOKEN, key, algorithm=algorithm_of(key))
    assert same_key(found, value)
    assert found.recipient == key.thumbprint()


@pytest.mark.requirement("R2062", "T4")
@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "https://as2.example.com"},
        {"audience": ("https://api2.example.com",)},
        {"audience": (AUDIENCE, "https://api2.example.com")},
        {"audience": ()},
        {"client_id": "another"},
        {"client_id": None},
        {"expires_at": NOW + 299},
        {"expires_at": NOW + 301},
        {"expires_at": None},
        {"confirmation": Confirmation(jkt=OTHER_JKT, dsk=None)},
        {"confirmation": Confirmation(jkt=None, dsk=None, certificate=JKT)},
        {"confirmation": None},
    ],
)
def test_a_key_that_was_made_for_another_token_is_not_decrypted(
    change: dict[str, Any], decryptions: list[str]
) -> None:
    text = encapsulate()
    assert same_key(decrypt(text))
    assert len(decryptions) == 1
    with pytest.raises(AccessTokenError):
        decrypt(text, TOKEN._replace(**change))
    assert len(decryptions) == 1


@pytest.mark.requirement("R2062")
@pytest.mark.parametrize("certificate", [None, JKT])
def test_a_token_without_a_proof_key_brings_no_key(
    certificate: str | None, decryptions: list[str]
) -> None:
    text = encapsulate(jkt=None)
    bound = Confirmation(jkt=None, dsk=None, certificate=certificate)
    with pytest.raises(AccessTokenError):
        decrypt(text, TOKEN._replace(confirmation=bound))
    assert decryptions == []


@pytest.mark.requirement("R2062", "T4")
def test_a_key_for_another_server_is_not_decrypted(decryptions: list[str]) -> None:
    """The server's own names count, and not only that token and header agree."""
    other = "https://api2.example.com"
    text = encapsulate(audience=other)
    token = TOKEN._replace(audience=(other,))
    with pytest.raises(AccessTokenError):
        decrypt(text, token)
    assert decryptions == []
    found = decryptor().decrypt(text, token, issuer=ISSUER, audience=other)
    assert same_key(found)


def sound_header(**dsk: Any) -> dict[str, Any]:
    return {
        "typ": "dpop-sym-rs+jwe",
        "cty": "jwk+json",
        "alg": "ECDH-ES",
        "enc": "A256GCM",
        "kid": KEY.thumbprint(),
        "dsk": {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "client_id": CLIENT,
            "jkt": JKT,
            "alg": "HS256",
            "exp": NOW + 300,
            **dsk,
        },
    }


@pytest.mark.requirement("R2061", "R2063", "R2065", "R1203")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("typ", "dpop-sym+jwe"),
        ("typ", "dpop-sym-entropy+jwe"),
        ("typ", "DPOP-SYM-RS+JWE"),
        ("typ", None),
        ("cty", "JWT"),
        ("alg", "ECDH-ES+A256KW"),
        ("enc", "A128GCM"),
        ("zip", "DEF"),
        ("crit", ["dsk"]),
        ("jku", "https://keys.example.com"),
        ("apu", "QUJD"),
        ("unknown", 1),
    ],
)
def test_one_type_one_algorithm_one_encoding_and_nothing_else(
    name: str, value: object, decryptions: list[str]
) -> None:
    header = sound_header()
    assert same_key(decrypt(forge(KEY, header, JWK)))
    assert len(decryptions) == 1
    with pytest.raises(AccessTokenError):
        decrypt(with_header(forge(KEY, header, JWK), {**header, name: value}))
    assert len(decryptions) == 1


@pytest.mark.requirement("R2063")
def test_the_pinned_algorithms_are_the_only_ones() -> None:
    key = KEYS["RSA"]
    text = encapsulate(key)
    assert same_key(decrypt(text, TOKEN, key, algorithm="RSA-OAEP-256"))
    with pytest.raises(AccessTokenError):
        decrypt(text, TOKEN, key)
    small = encapsulate(
        recipient=KeyRecipient(key=public(KEY), algorithm="ECDH-ES", encoding="A128GCM")
    )
    assert same_key(decrypt(small, encoding="A128GCM"))
    with pytest.raises(AccessTokenError):
        decrypt(small)


def test_the_keys_come_from_a_function() -> None:
    with pytest.raises(TypeError, match="function"):
        KeyDecryptor([KEY])  # type: ignore[arg-type]


@pytest.mark.requirement("R2062")
@pytest.mark.parametrize("name", ["iss", "aud", "client_id", "jkt", "alg", "exp"])
@pytest.mark.parametrize("value", [..., None, True, 1, "x", [AUDIENCE], {}])
def test_every_claim_of_the_header_counts(
    name: str, value: object, decryptions: list[str]
) -> None:
    header = sound_header()
    dsk = header["dsk"]
    changed = without(dsk, name) if value is ... else {**dsk, name: value}
    with pytest.raises(AccessTokenError):
        decrypt(forge(KEY, {**header, "dsk": changed}, JWK))
    with pytest.raises(AccessTokenError):
        decrypt(forge(KEY, {**header, "dsk": {**dsk, "more": 1}}, JWK))
    assert decryptions == []


@pytest.mark.requirement("R2062")
def test_an_expiry_is_an_integer() -> None:
    text = forge(KEY, sound_header(exp=float(NOW + 300)), JWK)
    with pytest.raises(AccessTokenError):
        decrypt(text)


@pytest.mark.requirement("R2064")
@pytest.mark.parametrize(
    "change",
    [
        {"kty": "EC"},
        {"use": "enc"},
        {"key_ops": ["sign"]},
        {"key_ops": ["verify", "sign"]},
        {"alg": "HS512"},
        {"kid": "7"},
        {"k": SOUND_JWK["k"][:-2]},
        {"k": SOUND_JWK["k"] * 2},
        {"k": ""},
    ],
)
def test_what_is_decrypted_is_one_key_for_this_mac(change: dict[str, Any]) -> None:
    assert same_key(decrypt(forge(KEY, sound_header(), JWK)))
    with pytest.raises(AccessTokenError):
        decrypt(forge(KEY, sound_header(), {**JWK, **change}))
    with pytest.raises(AccessTokenError):
        decrypt(forge(KEY, sound_header(), {"keys": [JWK]}))


@pytest.mark.requirement("R2065")
def test_a_jwe_for_one_use_opens_for_no_other() -> None:
    for_client = wrap_key(
        SecretBytes(SECRET),
        recipient=public(KEY),
        algorithm="ECDH-ES",
        encoding="A256GCM",
        mac_algorithm="HS256",
        issuer=ISSUER,
        audience=AUDIENCE,
        version=None,
        expires_at=NOW + 300,
        access_token="token",
    )
    material = encrypt_key_material(
        SecretBytes(SECRET), recipient=public(KEY), client_id=CLIENT, jkt=JKT, jti="1"
    )
    for text in (for_client, material):
        with pytest.raises(AccessTokenError):
            decrypt(text)


def test_keys_are_rotated() -> None:
    old, new = ECKey.generate_key("P-256"), ECKey.generate_key("P-256")
    keys = [old]
    server = KeyDecryptor(lambda: keys)
    text = encapsulate(old)

    def open_it(text: str) -> encapsulation.EncapsulatedKey:
        return server.decrypt(text, TOKEN, issuer=ISSUER, audience=AUDIENCE)

    assert same_key(open_it(text))
    with pytest.raises(UnknownKeyError):
        open_it(encapsulate(new))
    keys[:] = [new, old]
    assert same_key(open_it(text))
    assert same_key(open_it(encapsulate(new)))
    keys[:] = [new]
    # Not the token's fault, which is good for asymmetric proofs.
    with pytest.raises(UnknownKeyError):
        open_it(text)
    with pytest.raises(UnknownKeyError):
        server.find(old.thumbprint())
    assert server.find(new.thumbprint()) is new


def test_keys_that_are_not_available_are_no_fault_of_the_token() -> None:
    def broken() -> list[Key]:
        raise ConnectionError

    server = KeyDecryptor(broken)
    with pytest.raises(StoreError):
        server.decrypt(encapsulate(), TOKEN, issuer=ISSUER, audience=AUDIENCE)
    with pytest.raises(StoreError):
        server.find(KEY.thumbprint())


@pytest.mark.requirement("R2104")
def test_identifiers_have_room_in_the_header() -> None:
    fitting = "c" * (MAX_NAMES - len(ISSUER) - len(AUDIENCE) - 12)
    # The longest keys and names there are.
    key = KEYS["P-521"]
    token = TOKEN._replace(client_id=fitting)
    assert same_key(decrypt(encapsulate(key, client_id=fitting), token, key))
    for client_id in (fitting + "c", "é" * 200, "\N{GRINNING FACE}" * 80):
        with pytest.raises(ValueError, match="too long"):
            encapsulate(key, client_id=client_id)


def test_configurations_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValueError, match="profile"):
        decryptor(algorithm="dir")
    with pytest.raises(ValueError, match="profile"):
        decryptor(encoding="A256CBC-HS512")
    with pytest.raises(ValueError, match="not for this algorithm"):
        KeyRecipient(key=public(KEY), algorithm="RSA-OAEP-256")
    with pytest.raises(ValueError, match="profile"):
        KeyRecipient(key=public(KEY), algorithm="RSA1_5")
    with pytest.raises(ValueError, match="not for this algorithm"):
        KeyRecipient(key=OctKey.generate_key(256), algorithm="ECDH-ES")
    with pytest.raises(ValueError, match="does not fit"):
        encapsulate(mac_algorithm="HS512")


@pytest.mark.parametrize("member", ["typ", "cty", "alg", "enc", "kid", "dsk", "epk"])
@pytest.mark.parametrize("value", ODD_VALUES, ids=repr)
def test_an_odd_header_is_a_bad_token(member: str, value: object) -> None:
    header = {**header_of(encapsulate()), member: value}
    text = encapsulate().split(".", 1)[1]
    segment = segment_of(header)
    if segment is not None:
        with pytest.raises((AccessTokenError, UnknownKeyError)):
            decrypt(f"{segment}.{text}")


def with_header(text: str, header: dict[str, Any]) -> str:
    return f"{json_segment(header)}.{text.split('.', 1)[1]}"


def segment_of(header: dict[str, Any]) -> str | None:
    try:
        return json_segment(header)
    except (TypeError, ValueError):
        return None


@given(header=st.dictionaries(st.text(max_size=4), odd_values), data=st.data())
def test_whatever_comes_is_an_error_of_ours(header: Any, data: st.DataObject) -> None:
    text = encapsulate()
    position = data.draw(st.integers(0, len(text) - 1))
    character = data.draw(st.characters(codec="ascii"))
    changed = text[:position] + character + text[position + 1 :]
    segment = segment_of({**header_of(text), **header})
    for candidate in (changed, f"{segment}.{text.split('.', 1)[1]}"):
        try:
            decrypt(candidate)
        except DPoPError:
            continue
        assert candidate == text


@pytest.mark.requirement("T20")
def test_the_key_does_not_show_itself(rsa_key: RSAKey) -> None:
    found = decrypt(encapsulate())
    shown = repr(found) + repr(decryptor()) + repr(Confirmation(jkt=JKT, dsk=None))
    recipient = KeyRecipient(key=rsa_key, algorithm="RSA-OAEP-256")
    assert SOUND_JWK["k"] not in shown
    assert SECRET.hex() not in shown
    assert "key=" not in repr(recipient)
    with pytest.raises(AccessTokenError) as caught:
        decrypt(forge(KEY, sound_header(), {**JWK, "alg": "none"}))
    assert caught.value.__cause__ is None


def test_a_key_of_another_type_is_not_tried(decryptions: list[str]) -> None:
    """A kid says which key; what it is used with is pinned."""
    okp = OKPKey.generate_key("X25519")
    header = {**sound_header(), "kid": okp.thumbprint(), "alg": "RSA-OAEP-256"}
    text = f"{segment_of(header)}.{encapsulate().split('.', 1)[1]}"
    with pytest.raises(AccessTokenError):
        decrypt(text, TOKEN, okp, algorithm="RSA-OAEP-256")
    assert decryptions == []
