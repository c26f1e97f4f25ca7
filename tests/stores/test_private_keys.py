"""Private keys to decrypt with, in a file that is replaced now and then."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from dpop_ext.stores.private_file import write_private
from dpop_ext.stores.private_keys import MAX_KEYS, PrivateKeyFile
from dpop_ext.symmetric.encapsulation import KeyDecryptor
from tests.conftest import Clock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "decryption.json"


def write(path: Path, *keys: Key) -> None:
    document = {"keys": [key.as_dict(private=True) for key in keys]}
    write_private(path, json.dumps(document).encode())


def thumbprints(file: PrivateKeyFile) -> list[str]:
    return [key.thumbprint() for key in file()]


def test_a_jwk_or_a_jwk_set_is_read(
    path: Path, clock: Clock, rsa_key: RSAKey, ec_key: ECKey
) -> None:
    keys: list[Key] = [ec_key, rsa_key, OKPKey.generate_key("X25519")]
    write(path, *keys)
    file = PrivateKeyFile(path, clock=clock)
    assert thumbprints(file) == [key.thumbprint() for key in keys]
    write_private(path, json.dumps(ec_key.as_dict(private=True)).encode())
    file = PrivateKeyFile(path, clock=clock)
    assert thumbprints(file) == [ec_key.thumbprint()]
    assert KeyDecryptor(file).find(ec_key.thumbprint()).is_private


def test_the_first_key_is_published_without_its_private_half(
    path: Path, clock: Clock, ec_key: ECKey, other_ec_key: ECKey
) -> None:
    write(path, ec_key, other_ec_key)
    jwk = PrivateKeyFile(path, clock=clock).public_jwk()
    assert jwk == {
        **ec_key.as_dict(private=False),
        "use": "enc",
        "kid": ec_key.thumbprint(),
    }
    assert "d" not in jwk


def test_a_new_key_is_seen_within_a_poll(
    path: Path, clock: Clock, ec_key: ECKey, other_ec_key: ECKey
) -> None:
    write(path, ec_key)
    file = PrivateKeyFile(path, poll=30, clock=clock)
    write(path, other_ec_key, ec_key)
    clock.advance(29)
    assert thumbprints(file) == [ec_key.thumbprint()]
    clock.advance(1)
    assert thumbprints(file) == [other_ec_key.thumbprint(), ec_key.thumbprint()]
    write(path, other_ec_key)
    # A clock that was set back does not stop the reading.
    clock.advance(-3600)
    assert thumbprints(file) == [other_ec_key.thumbprint()]


def test_a_file_that_goes_bad_leaves_the_keys_as_they_were(
    path: Path, clock: Clock, ec_key: ECKey, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    write(path, ec_key)
    file = PrivateKeyFile(path, poll=30, clock=clock)
    secret = ec_key.as_dict(private=True)["d"]
    assert isinstance(secret, str)
    for bad in (b"", f'{{"d": "{secret}"}}'.encode()):
        write_private(path, bad)
        clock.advance(30)
        assert thumbprints(file) == [ec_key.thumbprint()]
    path.unlink()
    clock.advance(30)
    assert thumbprints(file) == [ec_key.thumbprint()]
    assert len(caplog.records) == 3
    # Which file it is.
    assert f"{path}" in caplog.records[2].getMessage()
    assert secret not in caplog.text


def bad_documents() -> list[Any]:
    ec = ECKey.generate_key("P-256")
    private = dict(ec.as_dict(private=True))
    return [
        [],
        {},
        {"keys": []},
        {"keys": "x"},
        {"keys": [5]},
        {"keys": [dict(ec.as_dict(private=False))]},
        {"keys": [dict(OctKey.generate_key(256).as_dict(private=True))]},
        {"keys": [dict(OKPKey.generate_key("Ed25519").as_dict(private=True))]},
        {"keys": [dict(ECKey.generate_key("secp256k1").as_dict(private=True))]},
        {"keys": [dict(RSAKey.generate_key(1024).as_dict(private=True))]},
        {"keys": [{**private, "use": "sig"}]},
        {"keys": [{**private, "crv": "P-384"}]},
        {"keys": [private, {"kty": "EC"}]},
        {"keys": [private] * (MAX_KEYS + 1)},
    ]


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
@pytest.mark.requirement("T20")
def test_a_file_of_something_else_is_refused_without_a_word_of_it(
    path: Path, clock: Clock
) -> None:
    for document in bad_documents():
        write_private(path, json.dumps(document).encode())
        with pytest.raises(ValueError, match="not a file of private keys") as caught:
            PrivateKeyFile(path, clock=clock)
        assert caught.value.__cause__ is None
    with pytest.raises(FileNotFoundError):
        PrivateKeyFile(path.with_name("absent"), clock=clock)


def test_a_file_that_others_can_read_is_refused(
    path: Path, clock: Clock, ec_key: ECKey
) -> None:
    write(path, ec_key)
    path.chmod(0o640)
    with pytest.raises(PermissionError):
        PrivateKeyFile(path, clock=clock)
