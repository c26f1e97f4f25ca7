"""HPKE-9-KE: the known answer of the draft, round trips, and what is refused."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from hypothesis import given
from hypothesis import strategies as st

from dpop_ext.core.akp import AKPKey
from dpop_ext.core.base64url import b64url_decode, b64url_encode
from dpop_ext.core.strict_json import parse_json_object
from dpop_ext.errors import MalformedJOSEError
from dpop_ext.symmetric import content_jwe, hpke
from tests import post_quantum

post_quantum.require()
library = pytest.importorskip("cryptography.hazmat.primitives.hpke")

EXAMPLE = json.loads(Path(__file__).with_name("hpke-9-ke.json").read_text())
HEADER = {"typ": "x", "alg": "HPKE-9-KE", "enc": "A256GCM"}
KEY = hpke.generate()


def header_of(text: str) -> dict[str, Any]:
    return parse_json_object(b64url_decode(text.split(".", maxsplit=1)[0]))


def decrypt(text: str, key: AKPKey = KEY) -> bytes:
    return hpke.decrypt(text, header=header_of(text), private_key=key)


@pytest.mark.requirement("R2309", "E3003")
def test_the_key_and_the_jwe_of_the_draft() -> None:
    key = hpke.key_pair(b64url_decode(EXAMPLE["priv"]))
    assert key.thumbprint() == EXAMPLE["kid"]
    plaintext = decrypt(EXAMPLE["jwe"], key)
    assert hashlib.sha256(plaintext).hexdigest() == EXAMPLE["plaintext_sha256"]


@pytest.mark.requirement("R2309")
@pytest.mark.parametrize("encoding", ["A256GCM", "A128GCM"])
def test_what_was_encrypted_is_decrypted(encoding: str) -> None:
    public = hpke.import_public(KEY.as_dict())
    assert not public.is_private
    text = hpke.encrypt(HEADER | {"enc": encoding}, b"secret", public)
    header = header_of(text)
    assert header == HEADER | {"enc": encoding, "ek": header["ek"]}
    assert len(b64url_decode(header["ek"])) == hpke.ENCAPSULATED_LENGTH
    assert decrypt(text) == b"secret"


def test_nothing_is_encrypted_in_the_same_way_twice() -> None:
    one, other = (hpke.encrypt(HEADER, b"secret", KEY) for _ in range(2))
    assert not set(one.split(".")) & set(other.split("."))


@pytest.mark.requirement("R2309")
def test_the_key_is_for_the_content_encryption_that_is_named() -> None:
    text = hpke.encrypt(HEADER, b"secret", KEY)
    header = header_of(text) | {"enc": "A128GCM"}
    with pytest.raises(InvalidTag):
        hpke.decrypt(text, header=header, private_key=KEY)


@given(st.data())
def test_a_changed_jwe_is_not_decrypted(data: st.DataObject) -> None:
    segments = hpke.encrypt(HEADER, b"secret", KEY).split(".")
    index = data.draw(st.integers(0, 4))
    raw = bytearray(b64url_decode(segments[index]))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    segments[index] = b64url_encode(bytes(raw))
    try:
        plaintext = decrypt(".".join(segments))
    except Exception:  # noqa: BLE001  the caller has one error for all of them
        plaintext = None
    assert plaintext is None


@pytest.mark.parametrize("index", range(1, 5))
@pytest.mark.parametrize("text", ["", "AA", "A", "=", "A" * 100])
def test_segments_of_another_length_are_refused(index: int, text: str) -> None:
    segments = hpke.encrypt(HEADER, b"secret", KEY).split(".")
    segments[index] = text
    with pytest.raises(Exception) as caught:  # noqa: PT011
        decrypt(".".join(segments))
    assert b"secret" not in repr(caught.value).encode()


@pytest.mark.requirement("R2309")
@pytest.mark.parametrize("length", [0, 1, 32, 1119, 1121, 1168])
def test_an_ek_of_another_length_is_refused(length: int) -> None:
    text = hpke.encrypt(HEADER, b"secret", KEY)
    header = header_of(text) | {"ek": b64url_encode(bytes(length))}
    with pytest.raises(MalformedJOSEError):
        hpke.decrypt(text, header=header, private_key=KEY)


def test_key_and_iv_have_the_length_of_the_encoding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """AES-GCM would take another one of either."""
    made = []
    with monkeypatch.context() as changed:
        changed.setattr(content_jwe, "IV_LENGTH", 16)
        made.append(hpke.encrypt(HEADER, b"secret", KEY))
    with monkeypatch.context() as changed:
        changed.setitem(content_jwe.CONTENT_KEYS, "A256GCM", 16)
        made.append(hpke.encrypt(HEADER, b"secret", KEY))
    for text in made:
        with pytest.raises(MalformedJOSEError):
            decrypt(text)


def test_no_octet_of_the_ciphertext_stands_in_the_tag() -> None:
    """The two are decrypted as one."""
    *segments, ciphertext, tag = hpke.encrypt(HEADER, b"secret", KEY).split(".")
    sealed = b64url_decode(ciphertext) + b64url_decode(tag)
    for length in (0, 15, 17, 22):
        divided = sealed[: -length or None], sealed[len(sealed) - length :]
        with pytest.raises(MalformedJOSEError):
            decrypt(".".join([*segments, *map(b64url_encode, divided)]))


def test_another_key_does_not_decrypt() -> None:
    text = hpke.encrypt(HEADER, b"secret", KEY)
    for key in (hpke.generate(), AKPKey(alg=KEY.alg, public=KEY.public)):
        with pytest.raises(Exception) as caught:  # noqa: PT011
            decrypt(text, key)
        assert "secret" not in repr(caught.value)


def _with_bytes(first: bytes | None = None, last: bytes | None = None) -> str:
    public = KEY.public
    return b64url_encode((first or public[:1184]) + (last or public[1184:]))


@pytest.mark.requirement("R2308")
@pytest.mark.parametrize(
    "members",
    [
        {"kty": "OKP"},
        {"alg": "HPKE-9"},
        {"alg": "ML-DSA-65"},
        {"alg": None},
        {"pub": None},
        {"pub": "AA"},
        {"pub": b64url_encode(KEY.public + b"\0")},
        {"pub": b64url_encode(KEY.public[:-1])},
        # Not reduced by the modulus of ML-KEM.
        {"pub": _with_bytes(first=b"\xff" * 1184)},
        # Low order: imported like any other, and the exchange fails.
        {"pub": _with_bytes(last=bytes(32))},
        {"pub": _with_bytes(last=(1).to_bytes(32, "little"))},
        # Another text of the same point.
        {"pub": _with_bytes(last=KEY.public[1184:-1] + bytes([KEY.public[-1] ^ 128]))},
        {"pub": _with_bytes(last=(2**255 - 19 + 9).to_bytes(32, "little"))},
    ],
)
def test_a_key_that_does_not_work_is_not_imported(members: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        hpke.import_public(KEY.as_dict() | members)
    assert hpke.import_public(KEY.as_dict()).public == KEY.public


def test_an_old_version_of_the_library_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(library, "MLKEM768X25519PublicKey")
    for attempt in (hpke.generate, lambda: hpke.import_public(KEY.as_dict())):
        assert not hpke.is_supported()
        with pytest.raises(ValueError, match="cryptography 50"):
            attempt()
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.hpke", None)
    monkeypatch.delattr("cryptography.hazmat.primitives.hpke")
    assert not hpke.is_supported()
