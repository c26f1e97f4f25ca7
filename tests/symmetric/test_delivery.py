from __future__ import annotations

import base64
import json
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwe
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from dpop_ext.core.request_binding import access_token_hash
from dpop_ext.errors import KeyDeliveryError
from dpop_ext.symmetric.delivery import (
    KEY_ALGORITHMS,
    CompositeR,
    DeliveredKey,
    choose,
    unwrap_key,
    wrap_key,
)
from dpop_ext.symmetric.encryption_key import import_encryption_key
from dpop_ext.symmetric.key_jwe import ENCODINGS, MAX_JWE_LENGTH, KeyRegistry
from dpop_ext.symmetric.secret_bytes import SecretBytes
from tests.symmetric.odd_values import ODD_VALUES, odd_values
from tests.symmetric.test_key_numbers import LOW_ORDER_X25519
from tests.vectors import generate_symmetric as primitives

NOW = 1_790_000_000
ISSUER = "https://as.example.com"
AUDIENCE = "https://api.example.com"
TOKEN = "the.access.token"
SECRET = bytes(range(160, 192))
LONG_SECRET = SECRET + SECRET[::-1]

KEYS: dict[str, Key] = {
    "P-256": ECKey.generate_key("P-256"),
    "P-384": ECKey.generate_key("P-384"),
    "P-521": ECKey.generate_key("P-521"),
    "X25519": OKPKey.generate_key("X25519"),
    "X448": OKPKey.generate_key("X448"),
    "RSA": RSAKey.generate_key(2048),
}
ECDH = ("ECDH-ES", "ECDH-ES+A256KW")
COMBINATIONS = [
    (name, algorithm)
    for name in KEYS
    for algorithm in (("RSA-OAEP-256",) if name == "RSA" else ECDH)
]


def wrap(key: Key, /, **changes: Any) -> str:
    values: dict[str, Any] = {
        "recipient": type(key).import_key(dict(key.as_dict(private=False))),
        "algorithm": "RSA-OAEP-256" if key.key_type == "RSA" else "ECDH-ES",
        "encoding": "A256GCM",
        "mac_algorithm": "HS256",
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "version": 7,
        "expires_at": NOW + 300,
        "access_token": TOKEN,
        **changes,
    }
    return wrap_key(values.pop("key", SecretBytes(SECRET)), **values)


def unwrap(text: str, key: Key, **changes: Any) -> DeliveredKey:
    values: dict[str, Any] = {
        "algorithms": ("HS256", "HS512"),
        "key_algorithms": KEY_ALGORITHMS,
        "encodings": ENCODINGS,
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "access_token": TOKEN,
        "now": NOW,
        **changes,
    }
    return unwrap_key(text, private_key=key, **values)


def header_of(text: str) -> dict[str, Any]:
    segment = text.split(".", maxsplit=1)[0]
    header: dict[str, Any] = json.loads(base64.urlsafe_b64decode(segment + "=="))
    return header


def sound_header(key: Key) -> dict[str, Any]:
    return {
        "typ": "dpop-sym+jwe",
        "cty": "jwk+json",
        "alg": "ECDH-ES",
        "enc": "A256GCM",
        "kid": key.thumbprint(),
        "dsk": {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "v": 7,
            "exp": NOW + 300,
            "ath": access_token_hash(TOKEN),
        },
    }


SOUND_JWK: dict[str, Any] = {
    "kty": "oct",
    "use": "sig",
    "key_ops": ["sign"],
    "alg": "HS256",
    "kid": "7",
    "k": base64.urlsafe_b64encode(SECRET)[:-1].decode(),
}
EVERY_ALGORITHM = [
    "dir",
    "A256KW",
    "RSA1_5",
    "RSA-OAEP",
    "RSA-OAEP-256",
    "ECDH-ES",
    "ECDH-ES+A128KW",
    "PBES2-HS256+A128KW",
    "A256GCM",
    "A256CBC-HS512",
    "A128CBC-HS256",
    "DEF",
]


def forge(key: Key, header: dict[str, Any], plaintext: object = SOUND_JWK) -> str:
    """Make a JWE that decrypts, as a hostile server could, of anything."""
    registry = jwe.JWERegistry(algorithms=EVERY_ALGORITHM, strict_check_header=False)
    registry.max_protected_header_length = 8192
    data = plaintext if isinstance(plaintext, bytes) else json.dumps(plaintext).encode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        return jwe.encrypt_compact(dict(header), data, key, registry=registry)


def without(members: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in members.items() if key != name}


def cause_of(text: str, key: Key, **changes: Any) -> str:
    """Return what went wrong, which only the debugger of the client sees."""
    with pytest.raises(KeyDeliveryError) as caught:
        unwrap(text, key, **changes)
    assert str(caught.value) == "The delivered symmetric key was not accepted."
    assert caught.value.args == ()
    return repr(caught.value.__cause__)


@pytest.mark.parametrize(("name", "algorithm"), COMBINATIONS)
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("mac", ["HS256", "HS512"])
def test_what_is_wrapped_is_unwrapped(
    name: str, algorithm: str, encoding: str, mac: str
) -> None:
    secret = SECRET if mac == "HS256" else LONG_SECRET
    text = wrap(
        KEYS[name],
        key=SecretBytes(secret),
        algorithm=algorithm,
        encoding=encoding,
        mac_algorithm=mac,
    )
    assert len(text) < 1000
    delivered = unwrap(
        text,
        KEYS[name],
        algorithms=[mac],
        key_algorithms=[algorithm],
        encodings=[encoding],
    )
    assert delivered == DeliveredKey(
        key=SecretBytes(secret),
        algorithm=mac,
        version=7,
        issuer=ISSUER,
        audience=AUDIENCE,
        expires_at=NOW + 300,
    )


@pytest.mark.parametrize("name", KEYS)
def test_keys_of_4096_bits_and_the_longest_identifiers_fit(name: str) -> None:
    key = RSAKey.generate_key(4096) if name == "RSA" else KEYS[name]
    names = {"issuer": "https://" + "i" * 248, "audience": "https://" + "a" * 248}
    text = wrap(key, **names, version=2**53 - 1)
    assert len(text) < MAX_JWE_LENGTH
    assert unwrap(text, key, **names).version == 2**53 - 1


@pytest.mark.requirement("R1201", "R1203", "R1204")
def test_the_header_says_what_the_key_is_for() -> None:
    key = KEYS["P-256"]
    header = header_of(wrap(key))
    epk = header.pop("epk")
    assert header == sound_header(key)
    assert sorted(epk) == ["crv", "kty", "x", "y"]


@pytest.mark.requirement("R1205")
def test_the_plaintext_is_a_single_jwk() -> None:
    key = KEYS["P-256"]
    registry = jwe.JWERegistry(strict_check_header=False)
    plaintext = jwe.decrypt_compact(wrap(key), key, registry=registry).plaintext
    assert plaintext is not None
    assert json.loads(plaintext) == SOUND_JWK


def test_each_jwe_has_its_own_ephemeral_key() -> None:
    points = {header_of(wrap(KEYS["X25519"]))["epk"]["x"] for _ in range(20)}
    assert len(points) == 20


@pytest.mark.parametrize(
    "changes",
    [
        {"key": SecretBytes(SECRET[:31])},
        {"key": SecretBytes(LONG_SECRET)},
        {"mac_algorithm": "HS512"},
        {"mac_algorithm": "HS384"},
        {"algorithm": "RSA-OAEP-256"},
        {"algorithm": "RSA-OAEP"},
        {"algorithm": "dir"},
        {"encoding": "A256CBC-HS512"},
        {"recipient": OctKey.generate_key(256)},
    ],
    ids=" ".join,
)
def test_what_does_not_fit_is_not_wrapped(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        wrap(KEYS["P-256"], **changes)


@pytest.mark.parametrize(
    ("name", "key_algorithms", "encodings", "chosen"),
    [
        ("P-256", ["ECDH-ES", "RSA-OAEP-256"], ["A256GCM"], ("ECDH-ES", "A256GCM")),
        ("RSA", ["ECDH-ES", "RSA-OAEP-256"], ["A256GCM"], ("RSA-OAEP-256", "A256GCM")),
        ("X448", ["ECDH-ES+A256KW", "ECDH-ES"], ["A128GCM", "A256GCM"],
         ("ECDH-ES+A256KW", "A128GCM")),
        ("P-521", ["HPKE-9-KE", "ECDH-ES"], ["A256CBC-HS512", "A256GCM"],
         ("ECDH-ES", "A256GCM")),
        ("P-256", ["RSA-OAEP-256"], ["A256GCM"], None),
        ("P-256", ["ECDH-ES+A128KW", "dir", "A256KW"], ["A256GCM"], None),
        ("P-256", ["ECDH-ES"], ["A256CBC-HS512", "A192GCM"], None),
        ("RSA", ["RSA1_5", "RSA-OAEP"], ["A256GCM"], None),
        ("P-256", [], ["A256GCM"], None),
        ("P-256", ["ECDH-ES"], [], None),
    ],
)  # fmt: skip
def test_the_first_algorithms_in_common_are_chosen(
    name: str,
    key_algorithms: list[str],
    encodings: list[str],
    chosen: tuple[str, str] | None,
) -> None:
    assert (
        choose(KEYS[name], key_algorithms=key_algorithms, encodings=encodings) == chosen
    )


def test_a_key_that_names_its_algorithm_is_used_with_no_other() -> None:
    jwk = dict(KEYS["P-256"].as_dict(private=False))
    key = ECKey.import_key({**jwk, "alg": "ECDH-ES+A256KW"})
    assert choose(key, key_algorithms=ECDH, encodings=ENCODINGS) == (
        "ECDH-ES+A256KW",
        "A256GCM",
    )
    assert choose(key, key_algorithms=["ECDH-ES"], encodings=ENCODINGS) is None


def test_a_jwe_of_another_implementation_is_unwrapped() -> None:
    key = KEYS["P-256"]
    assert unwrap(forge(key, sound_header(key)), key).key == SecretBytes(SECRET)


@pytest.mark.requirement("R1601")
@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"access_token": "another.access.token"}, "another access token"),
        ({"issuer": "https://as2.example.com"}, "another issuer"),
        ({"audience": "https://api2.example.com"}, "another audience"),
        ({"audience": "https://api.example.com/"}, "another audience"),
        ({"now": NOW + 300}, "expired"),
        ({"key_algorithms": ["ECDH-ES+A256KW"]}, "alg is not accepted"),
        ({"encodings": ["A128GCM"]}, "enc is not accepted"),
        ({"algorithms": ["HS512"]}, "None"),
        ({"algorithms": []}, "None"),
    ],
)
def test_a_key_that_was_not_asked_for_is_refused(
    changes: dict[str, Any], why: str
) -> None:
    key = KEYS["P-256"]
    text = wrap(key)
    assert unwrap(text, key, now=NOW + 299).expires_at == NOW + 300
    assert why in cause_of(text, key, **changes)


@pytest.mark.requirement("R1201", "R2211", "R2065")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("typ", "JWE"),
        ("typ", "dpop-sym+jwt"),
        ("typ", "dpop-sym-rs+jwe"),
        ("typ", "DPOP-SYM+JWE"),
        ("cty", "JWT"),
        ("cty", "jwk-set+json"),
        ("cty", "application/jwk+json"),
        ("kid", "another"),
        ("apu", "QWxpY2U"),
        ("apv", "Qm9i"),
        ("jwk", {"kty": "oct", "k": "AA"}),
        ("jku", "https://keys.example.com"),
        ("unknown", 1),
    ],
)
def test_a_header_that_says_something_else_is_refused(name: str, value: object) -> None:
    key = KEYS["P-256"]
    header = sound_header(key)
    assert unwrap(forge(key, header), key).version == 7
    assert "ValueError" in cause_of(forge(key, {**header, name: value}), key)


@pytest.mark.parametrize("name", ["typ", "cty", "kid", "dsk"])
def test_a_header_without_a_member_is_refused(name: str) -> None:
    key = KEYS["P-256"]
    assert "KeyError" in cause_of(forge(key, without(sound_header(key), name)), key)


@pytest.mark.requirement("R1601", "R1204", "R2212")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("iss", "https://as2.example.com"),
        ("iss", None),
        ("aud", "https://api2.example.com"),
        ("aud", [AUDIENCE]),
        ("ath", access_token_hash("another")),
        ("ath", ""),
        ("ath", "é"),
        ("ath", None),
        ("exp", NOW),
        ("exp", str(NOW + 300)),
        ("exp", True),
        ("exp", NOW + 300.5),
        ("exp", None),
        ("v", 8),
        ("v", 7.0),
        ("v", "7"),
        ("v", True),
        ("v", 0),
        ("v", 2**53),
        ("n", base64.urlsafe_b64encode(bytes(32))[:-1].decode()),
        ("r_as", ""),
        ("r", None),
    ],
)
def test_a_dsk_header_that_says_something_else_is_refused(
    name: str, value: object
) -> None:
    key = KEYS["P-256"]
    header = sound_header(key)
    dsk = {**header["dsk"], name: value}
    jwk = {**SOUND_JWK, "kid": str(value) if name == "v" and value != 8 else "7"}
    cause_of(forge(key, {**header, "dsk": dsk}, jwk), key)


@pytest.mark.requirement("R1204")
@pytest.mark.parametrize("name", ["iss", "aud", "exp", "ath"])
def test_a_dsk_header_without_a_member_is_refused(name: str) -> None:
    key = KEYS["P-256"]
    header = sound_header(key)
    text = forge(key, {**header, "dsk": without(header["dsk"], name)})
    assert "KeyError" in cause_of(text, key)


@pytest.mark.parametrize("dsk", [None, "dsk", [], 1])
def test_a_dsk_header_that_is_no_object_is_refused(dsk: object) -> None:
    key = KEYS["P-256"]
    cause_of(forge(key, {**sound_header(key), "dsk": dsk}), key)


@pytest.mark.requirement("R1203", "T14")
def test_zip_rejected() -> None:
    key = KEYS["P-256"]
    header = {**sound_header(key), "zip": "DEF"}
    assert "unknown header member" in cause_of(forge(key, header), key)
    bomb = forge(key, header, b" " * 10**6 + json.dumps(SOUND_JWK).encode())
    assert "unknown header member" in cause_of(bomb, key)


@pytest.mark.requirement("R1202", "T14")
@pytest.mark.parametrize(
    ("name", "alg"),
    [
        ("RSA", "RSA1_5"),
        ("RSA", "RSA-OAEP"),
        ("P-256", "ECDH-ES+A128KW"),
        ("oct", "dir"),
        ("oct", "A256KW"),
        ("oct", "PBES2-HS256+A128KW"),
    ],
)
def test_other_key_algorithms_are_refused_even_if_they_were_offered(
    name: str, alg: str
) -> None:
    key = OctKey.generate_key(256) if name == "oct" else KEYS[name]
    text = forge(key, {**sound_header(key), "alg": alg})
    if alg.startswith("PBES2"):
        assert header_of(text)["p2c"]  # which would be work to do
        text = forge(key, {**sound_header(key), "alg": alg, "p2c": 300_000})
    cause = cause_of(text, key, key_algorithms=[*KEY_ALGORITHMS, alg])
    assert "alg is not accepted" in cause or "unknown header member" in cause


def test_other_encodings_are_refused_even_if_they_were_offered() -> None:
    key = KEYS["P-256"]
    text = forge(key, {**sound_header(key), "enc": "A256CBC-HS512"})
    cause = cause_of(text, key, encodings=[*ENCODINGS, "A256CBC-HS512"])
    assert "enc is not accepted" in cause


@pytest.mark.requirement("R1205", "R2213")
@pytest.mark.parametrize(
    "plaintext",
    [
        {"keys": [SOUND_JWK]},
        [SOUND_JWK],
        "text",
        b"",
        b"\xff",
        SECRET,
        b"\xef\xbb\xbf" + json.dumps(SOUND_JWK).encode(),
        json.dumps(SOUND_JWK)[:-1].encode() + b',"k":"AA"}',
        json.dumps(SOUND_JWK).encode() * 2,
        {**SOUND_JWK, "kty": "EC"},
        {**SOUND_JWK, "kty": ["oct"]},
        {**SOUND_JWK, "use": "enc"},
        {**SOUND_JWK, "key_ops": ["sign", "verify"]},
        {**SOUND_JWK, "key_ops": "sign"},
        {**SOUND_JWK, "key_ops": []},
        {**SOUND_JWK, "alg": "HS512"},
        {**SOUND_JWK, "alg": "HS384"},
        {**SOUND_JWK, "alg": "none"},
        {**SOUND_JWK, "alg": ["HS256"]},
        {**SOUND_JWK, "kid": "8"},
        {**SOUND_JWK, "kid": 7},
        {**SOUND_JWK, "kid": "07"},
        {**SOUND_JWK, "k": ""},
        {**SOUND_JWK, "k": SOUND_JWK["k"][:-1]},
        {**SOUND_JWK, "k": SOUND_JWK["k"] + "="},
        {**SOUND_JWK, "k": SOUND_JWK["k"] + "AA"},
        {**SOUND_JWK, "k": None},
        *(without(SOUND_JWK, name) for name in SOUND_JWK),
    ],
    ids=repr,
)
def test_a_plaintext_that_is_not_one_good_jwk_is_refused(plaintext: object) -> None:
    key = KEYS["P-256"]
    assert cause_of(forge(key, sound_header(key), plaintext), key) == "None"


def test_members_of_the_jwk_that_mean_nothing_here_are_ignored() -> None:
    key = KEYS["P-256"]
    text = forge(key, sound_header(key), {**SOUND_JWK, "ext": True})
    assert unwrap(text, key).algorithm == "HS256"


def replace_header(text: str, header: dict[str, Any]) -> str:
    return ".".join(
        [primitives.b64url(primitives.compact(header)), *text.split(".")[1:]]
    )


@pytest.mark.requirement("T13")
def test_invalid_curve_epk() -> None:
    key = KEYS["P-256"]
    text = wrap(key)
    header = header_of(text)
    y = bytearray(base64.urlsafe_b64decode(header["epk"]["y"] + "="))
    y[0] ^= 1
    header["epk"]["y"] = primitives.b64url(bytes(y))
    # Refused as a point, before anything is decrypted with it.
    assert "not on the curve" in cause_of(replace_header(text, header), key)


@pytest.mark.requirement("T13")
@pytest.mark.parametrize("point", LOW_ORDER_X25519)
def test_low_order_x25519(point: str) -> None:
    """Whatever the private key is, the shared secret would be zero: known to all."""
    key = KEYS["X25519"]
    epk = {"kty": "OKP", "crv": "X25519", "x": primitives.b64url(bytes.fromhex(point))}
    cek = primitives.concat_kdf(bytes(32), "A256GCM", 256)
    text = primitives.seal(
        {**sound_header(key), "epk": epk}, b"", cek, primitives.compact(SOUND_JWK)
    )
    assert "ValueError" in cause_of(text, key)


@pytest.mark.parametrize(
    "change",
    [
        lambda epk: {**epk, "crv": "P-384"},
        lambda epk: {**epk, "crv": "X25519"},
        lambda epk: {**epk, "crv": "no such curve"},
        lambda epk: {**epk, "kty": "oct"},
        lambda epk: {**epk, "d": epk["x"]},
        lambda epk: without(epk, "x"),
        lambda epk: {},
        lambda epk: None,
        lambda epk: "epk",
        lambda epk: dict(KEYS["X25519"].as_dict(private=False)),
    ],
)
def test_an_odd_epk_is_refused(change: Callable[[Any], Any]) -> None:
    key = KEYS["P-256"]
    text = wrap(key)
    header = header_of(text)
    header["epk"] = change(header["epk"])
    cause_of(replace_header(text, header), key)


@pytest.mark.parametrize("name", KEYS)
def test_another_private_key_does_not_open_it(name: str) -> None:
    key = KEYS[name]
    if isinstance(key, RSAKey):
        other: Key = RSAKey.generate_key(2048)
    elif isinstance(key, ECKey):
        other = ECKey.generate_key(key.curve_name)
    else:
        assert isinstance(key, OKPKey)
        other = OKPKey.generate_key(key.curve_name)
    assert "not for this key" in cause_of(wrap(key), other)
    # Nor does the right name on the wrong key.
    forged = replace_header(
        wrap(key), {**header_of(wrap(key)), "kid": other.thumbprint()}
    )
    assert "DecodeError" in cause_of(forged, other)


@pytest.mark.parametrize("name", KEYS)
def test_a_public_key_does_not_open_it(name: str) -> None:
    key = KEYS[name]
    public = type(key).import_key(dict(key.as_dict(private=False)))
    cause_of(wrap(key), public)


@given(data=st.data())
def test_any_single_bit_changed_is_refused(data: st.DataObject) -> None:
    key = KEYS["X25519"]
    parts = wrap(key, algorithm="ECDH-ES+A256KW").split(".")
    index = data.draw(st.integers(0, 4))
    raw = bytearray(base64.urlsafe_b64decode(parts[index] + "=="))
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    parts[index] = primitives.b64url(bytes(raw))
    with pytest.raises(KeyDeliveryError):
        unwrap(".".join(parts), key)


@pytest.mark.requirement("T22")
@pytest.mark.parametrize("length", [0, 4, 8, 12, 15])
def test_a_tag_that_is_cut_off_is_refused(length: int) -> None:
    key = KEYS["P-256"]
    *rest, tag = wrap(key).split(".")
    cut = primitives.b64url(base64.urlsafe_b64decode(tag + "==")[:length])
    cause_of(".".join([*rest, cut]), key)


def test_a_repeated_header_member_is_refused() -> None:
    key = KEYS["P-256"]
    epk = dict(ECKey.generate_key("P-256").as_dict(private=False))
    header = json.dumps({**sound_header(key), "epk": epk})
    twice = header[:-1] + f', "kid": "{key.thumbprint()}"}}'
    text = ".".join([primitives.b64url(twice.encode()), "", "AA", "AA", "AA"])
    assert "MalformedJOSEError" in cause_of(text, key)


@pytest.mark.requirement("T14")
def test_a_huge_jwe_is_refused_before_it_is_read() -> None:
    key = KEYS["P-256"]
    start = forge(key, sound_header(key), {**SOUND_JWK, "pad": ""})
    room = (MAX_JWE_LENGTH - len(start)) * 3 // 4 - 2
    fits = forge(key, sound_header(key), {**SOUND_JWK, "pad": "p" * room})
    assert MAX_JWE_LENGTH - 8 < len(fits) <= MAX_JWE_LENGTH
    assert unwrap(fits, key).version == 7
    over = forge(key, sound_header(key), {**SOUND_JWK, "pad": "p" * (room + 8)})
    assert "too long" in cause_of(over, key)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "....",
        "a.b.c",
        "a.b.c.d.e",
        "a.b.c.d.e.f",
        "é....",
        "\ud800....",
        "e30....",
    ],
)
def test_what_is_no_jwe_is_refused(text: str) -> None:
    cause_of(text, KEYS["P-256"])


@pytest.mark.parametrize("text", [None, 1, b"a.b.c.d.e", ["a"], {}])
def test_a_response_member_of_another_type_is_refused(text: Any) -> None:
    cause_of(text, KEYS["P-256"])


@pytest.mark.requirement("T13")
def test_uniform_client_error() -> None:
    key = KEYS["X25519"]
    sound = wrap(key)
    header = sound_header(key)
    faults = [
        "garbage",
        replace_header(sound, {**header_of(sound), "typ": "JWE"}),
        sound[:-2] + ("AA" if sound[-2:] != "AA" else "BA"),
        forge(key, header, b"not a key"),
        forge(key, {**header, "dsk": {**header["dsk"], "exp": 1}}),
        wrap(KEYS["P-256"]),
    ]
    errors = set()
    for text in faults:
        with pytest.raises(KeyDeliveryError) as caught:
            unwrap(text, key)
        error = caught.value
        errors.add((error.code, error.description, str(error), repr(error)))
    assert len(errors) == 1


@pytest.mark.requirement("T20")
@pytest.mark.parametrize(
    "plaintext",
    [
        json.dumps(SOUND_JWK)[:-1].encode(),
        json.dumps(SOUND_JWK)[:-1].encode() + b',"kty":"oct"}',
        json.dumps(SOUND_JWK).encode() + b"\xff",
        {**SOUND_JWK, "kid": "8"},
        {**SOUND_JWK, "alg": SOUND_JWK["k"]},
        {"k": SOUND_JWK["k"]},
        SECRET,
    ],
    ids=repr,
)
def test_no_secret_in_the_traceback_of_a_refusal(plaintext: object) -> None:
    key = KEYS["P-256"]
    text = forge(key, sound_header(key), plaintext)
    with pytest.raises(KeyDeliveryError) as caught:
        unwrap(text, key)
    error = caught.value
    assert error.__cause__ is None
    assert error.__context__ is None
    # As an error reporter would write it, with the local variables of each frame; the
    # first frame is the one of this test.
    report = traceback.TracebackException(
        type(error),
        error,
        caught.tb.tb_next,
        capture_locals=True,
    )
    written = "".join(report.format())
    assert "unwrap_key" in written
    for spelling in (SOUND_JWK["k"], SECRET.hex(), repr(SECRET)[2:-1]):
        assert spelling not in written


@pytest.mark.requirement("T20")
def test_repr_of_a_delivered_key_shows_no_secret() -> None:
    key = KEYS["P-256"]
    text = repr(unwrap(wrap(key), key))
    for spelling in (SOUND_JWK["k"], SECRET.hex(), repr(SECRET)[2:-1]):
        assert spelling not in text
    assert "sha256" in text


@pytest.mark.parametrize("member", [*SOUND_JWK, "x"])
@pytest.mark.parametrize("value", ODD_VALUES, ids=repr)
def test_an_odd_jwk_member_is_refused_or_means_nothing(
    member: str, value: object
) -> None:
    key = KEYS["X25519"]
    text = forge(key, sound_header(key), {**SOUND_JWK, member: value})
    if member == "x" or SOUND_JWK[member] == value:
        assert unwrap(text, key).key == SecretBytes(SECRET)
    else:
        cause_of(text, key)


DSK = ["iss", "aud", "v", "exp", "ath", "n"]


@given(
    header=st.dictionaries(
        st.sampled_from(["typ", "cty", "alg", "enc", "kid", "dsk", "epk", "crit"]),
        odd_values,
        min_size=1,
    ),
    dsk=st.dictionaries(st.sampled_from(DSK), odd_values),
    segments=st.lists(st.binary(max_size=40).map(primitives.b64url), max_size=5),
)
def test_odd_headers_give_the_one_error(
    header: dict[str, Any], dsk: dict[str, Any], segments: list[str]
) -> None:
    key = KEYS["X25519"]
    sound = sound_header(key)
    sound["epk"] = header_of(wrap(key))["epk"]
    sound["dsk"].update(dsk)
    text = ".".join(
        [primitives.b64url(primitives.compact({**sound, **header})), *segments]
    )
    with pytest.raises(KeyDeliveryError):
        unwrap(text, key)


@given(plaintext=odd_values | st.binary(max_size=80))
def test_odd_plaintexts_give_the_one_error(plaintext: Any) -> None:
    key = KEYS["X25519"]
    text = forge(key, sound_header(key), plaintext)
    with pytest.raises(KeyDeliveryError):
        unwrap(text, key)


@given(st.text(max_size=100) | st.lists(st.text(max_size=30)).map(".".join))
def test_any_text_gives_the_one_error(text: str) -> None:
    with pytest.raises(KeyDeliveryError):
        unwrap(text, KEYS["X25519"])


# --- keys without a version, and composite ones


def test_a_key_that_is_not_derived_has_no_version() -> None:
    key = KEYS["X25519"]
    text = wrap(key, version=None)
    assert "v" not in header_of(text)["dsk"]
    delivered = unwrap(text, key)
    assert (delivered.version, delivered.key.reveal()) == (None, SECRET)
    header = sound_header(key)
    bare = {**header, "dsk": without(header["dsk"], "v")}
    assert unwrap(forge(key, bare, without(SOUND_JWK, "kid")), key).version is None
    # Neither of the two without the other.
    cause_of(forge(key, bare, SOUND_JWK), key)
    cause_of(forge(key, header, without(SOUND_JWK, "kid")), key)


N = bytes(range(96, 128))
COMPOSITE = CompositeR(n=N, r_as=bytes(range(128, 160)))


@pytest.mark.requirement("R2196", "R1601")
def test_the_jwe_shows_how_r_was_composed() -> None:
    key = KEYS["X25519"]
    text = wrap(key, composite=COMPOSITE)
    dsk = header_of(text)["dsk"]
    # Also the ones that are published.
    assert dsk["n"] == "YGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6e3x9fn8"
    assert dsk["r_as"] == "gIGCg4SFhoeIiYqLjI2Oj5CRkpOUlZaXmJmam5ydnp8"
    assert dsk["r"] == "Gaw3latcUIaoP8uWbyK0dpuRwV57zgHXqPf-ALixPQA"
    assert unwrap(text, key, n=N).key.reveal() == SECRET
    assert "another request" in cause_of(text, key, n=bytes(32))
    assert "not sent" in cause_of(text, key)
    assert "KeyError" in cause_of(wrap(key), key, n=N)


@pytest.mark.requirement("R2196", "R1601", "R2103")
@pytest.mark.parametrize("name", ["n", "r_as", "r"])
@pytest.mark.parametrize(
    "value", [None, 1, [], "", "A" * 42, "A" * 44, "A" * 42 + "B", "A" * 43, ...]
)
def test_a_composition_that_does_not_follow_is_refused(
    name: str, value: object
) -> None:
    key = KEYS["X25519"]
    header = sound_header(key)
    dsk = {**header["dsk"], **sound_composition()}
    assert unwrap(forge(key, {**header, "dsk": dsk}), key, n=N).version == 7
    changed = without(dsk, name) if value is ... else {**dsk, name: value}
    text = forge(key, {**header, "dsk": changed})
    cause_of(text, key, n=N)


def sound_composition() -> dict[str, str]:
    members = {"n": N, "r_as": COMPOSITE.r_as, "r": COMPOSITE.r}
    return {
        name: base64.urlsafe_b64encode(value)[:-1].decode()
        for name, value in members.items()
    }


@pytest.mark.parametrize("imported_by", ["us", "joserfc"])
@pytest.mark.parametrize("algorithm", ECDH)
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("curve", ["X25519", "P-256", "P-384", "P-521"])
def test_what_is_made_here_is_what_joserfc_makes(
    curve: str, encoding: str, algorithm: str, imported_by: str
) -> None:
    key, pair = KEYS[curve], (algorithm, encoding)
    jwk = dict(key.as_dict(private=False))
    public = type(key).import_key(jwk)
    found = import_encryption_key(jwk, proof_jwk={})
    assert found is not None
    recipient = found.key if imported_by == "us" else public
    text = wrap(public, recipient=recipient, algorithm=algorithm, encoding=encoding)

    theirs = jwe.encrypt_compact(
        {**sound_header(key), "alg": algorithm, "enc": encoding},
        b"{}",
        public,
        registry=KeyRegistry(*pair),
    )
    ours, other = header_of(text), header_of(theirs)
    made, expected = ours.pop("epk"), other.pop("epk")
    assert {name: len(value) for name, value in made.items()} == {
        name: len(value) for name, value in expected.items()
    }
    assert made["crv"] == expected["crv"]
    assert ours == other
    lengths = [len(part) for part in text.split(".")[1:3]]
    assert lengths == [len(part) for part in theirs.split(".")[1:3]]
    assert unwrap(text, key).key == SecretBytes(SECRET)
