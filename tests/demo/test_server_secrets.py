"""Derivation secrets and signing keys of the demo: at rest, read, rotated."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path
from typing import Any

import pytest

from demo_server import private_file
from demo_server.database import Database
from demo_server.derivation_secrets import KEY_VARIABLE, load_key, open_secrets
from demo_server.private_file import PrivateFileError
from demo_server.resource_server.keyring import POLL_INTERVAL, create_keyring
from demo_server.signing_keys import SigningKeys
from dpop_ext.errors import StaleKeyError
from dpop_ext.resource_server import HTTPKeyringSource, RemoteKeys
from tests.conftest import Clock
from tests.demo.parties import Parties
from tests.patience import PATIENCE


def test_the_resource_server_sees_a_revocation_within_a_poll(
    parties: Parties, clock: Clock
) -> None:
    keyring = create_keyring_of(parties)
    assert keyring.load().highest_version == 1
    database = Database(parties.settings.database)
    secrets = open_secrets(parties.settings, database.engine, clock=clock)
    secrets.revoke(parties.settings.resource_url, 1)
    clock.advance(POLL_INTERVAL * 1.1)
    ring = keyring.load()
    assert ring.find(2, now=clock.now).state == "pending"
    with pytest.raises(StaleKeyError):
        ring.find(1, now=clock.now)
    database.close()


def test_the_resource_server_needs_nothing_of_the_other_one(
    parties: Parties, tmp_path: Path
) -> None:
    keys = parties.settings.rs_keys_directory.rename(tmp_path / "elsewhere")
    settings = dataclasses.replace(
        parties.settings,
        database=f"sqlite:///{tmp_path}/none.sqlite3",
        keys=tmp_path / "none",
        rs_keys=keys,
    )
    keyring = create_keyring_of(parties, settings)
    assert keyring.load().highest_version == 1
    assert not list(tmp_path.glob("none*"))


def create_keyring_of(parties: Parties, settings: Any = None) -> HTTPKeyringSource:
    settings = settings or parties.settings
    keys = RemoteKeys(
        f"{settings.issuer_url}/jwks", fetch=parties.fetch, clock=parties.clock
    )
    keyring = create_keyring(
        settings, jwks=keys, fetch=parties.fetch, clock=parties.clock
    )
    assert keyring is not None
    return keyring


def test_the_row_key_is_made_once_and_kept_private(tmp_path: Path) -> None:
    load_key(tmp_path / "keys")
    path = tmp_path / "keys" / "database.key"
    content = path.read_bytes()
    load_key(tmp_path / "keys")
    assert path.read_bytes() == content
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_the_row_key_can_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "A" * 43)
    load_key(tmp_path)
    assert list(tmp_path.iterdir()) == []
    for bad in "", "A" * 42, "A" * 44, "+" + "A" * 42, "not base64url!":
        monkeypatch.setenv(KEY_VARIABLE, bad)
        with pytest.raises(PrivateFileError) as caught:
            load_key(tmp_path)
        assert not bad or bad not in str(caught.value)


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    private_file.read_or_create(path, lambda: b"secret")
    path.chmod(0o640)
    with pytest.raises(PrivateFileError, match="mode 0600"):
        private_file.read(path)


def test_a_link_or_directory_is_no_key_file(tmp_path: Path) -> None:
    private_file.read_or_create(tmp_path / "key", lambda: b"secret")
    (tmp_path / "link").symlink_to(tmp_path / "key")
    for name in "link", ".", "missing":
        with pytest.raises(PrivateFileError):
            private_file.read(tmp_path / name)


def test_a_lock_that_nobody_gives_back_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demo_server.private_file.LOCK_TIMEOUT", 0.05)
    path = tmp_path / "key"
    with (
        private_file.locked(path),
        pytest.raises(PrivateFileError, match="another process holds"),
        private_file.locked(path),
    ):
        pytest.fail("both have it")
    with pytest.raises(PrivateFileError), private_file.locked(tmp_path / "no" / "key"):
        pytest.fail("there is no such directory")
    with pytest.raises(BlockingIOError), private_file.locked(path):
        raise BlockingIOError


def test_of_parallel_creations_one_wins_and_all_read_it(tmp_path: Path) -> None:
    results: list[bytes] = []
    barrier = threading.Barrier(8)

    def create(content: bytes) -> None:
        def make() -> bytes:
            barrier.wait(timeout=PATIENCE)
            return content

        results.append(private_file.read_or_create(tmp_path / "key", make))

    threads = [threading.Thread(target=create, args=(bytes([n]),)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert len(set(results)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_a_key_file_in_a_place_that_cannot_be_written_is_an_error(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PrivateFileError):
        private_file.read_or_create(tmp_path / "file" / "key", lambda: b"secret")


def test_signing_keys_are_made_once_and_kept_private(
    tmp_path: Path, clock: Clock
) -> None:
    path = tmp_path / "signing.json"
    first = SigningKeys(path, clock=clock).signing_key()
    assert SigningKeys(path, clock=clock).signing_key().kid == first.kid
    assert path.stat().st_mode & 0o777 == 0o600


def test_public_keys_are_public_and_named(tmp_path: Path, clock: Clock) -> None:
    keys = SigningKeys(tmp_path / "signing.json", clock=clock)
    (jwk,) = keys.public_jwks()["keys"]
    assert "d" not in jwk
    assert jwk["kid"] == keys.signing_key().kid == keys.signing_key().thumbprint()
    assert (jwk["use"], jwk["alg"]) == ("sig", "ES256")


def test_an_old_signing_key_stays_public_until_its_tokens_have_expired(
    tmp_path: Path, clock: Clock
) -> None:
    path = tmp_path / "signing.json"
    running = SigningKeys(path, clock=clock)
    old = running.signing_key().thumbprint()
    new = SigningKeys(path, clock=clock).rotate(keep_until=clock.now + 300)
    assert running.signing_key().kid == new
    assert {jwk["kid"] for jwk in running.public_jwks()["keys"]} == {new, old}
    clock.advance(300)
    assert {jwk["kid"] for jwk in running.public_jwks()["keys"]} == {new}
    SigningKeys(path, clock=clock).rotate(keep_until=clock.now + 300)
    assert old not in path.read_text()


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'[{"key": {}}]', b"[1]"])
def test_a_damaged_file_of_signing_keys_is_refused(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "signing.json"
    private_file.replace(path, content)
    with pytest.raises(PrivateFileError):
        SigningKeys(path).signing_key()


def test_a_token_of_the_old_key_is_good_after_a_rotation(
    parties: Parties, clock: Clock
) -> None:
    token = parties.redeem(parties.code()).get_json()["access_token"]
    assert parties.api("GET", "/api/accounts", token).status_code == 200
    path = parties.settings.keys_directory / "signing.json"
    SigningKeys(path, clock=clock).rotate(keep_until=clock.now + 360)
    clock.advance(1)
    newer = parties.redeem(parties.code()).get_json()["access_token"]
    assert parties.api("GET", "/api/accounts", newer).status_code == 200
    assert parties.api("GET", "/api/accounts", token).status_code == 200
