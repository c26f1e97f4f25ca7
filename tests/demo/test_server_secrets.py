"""Derivation secrets and signing keys of the demo: at rest, read, rotated."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from demo_server import derivation_secrets, private_file
from demo_server.database import Database
from demo_server.derivation_secrets import ACTIVE_PERIOD, OVERLAP, DerivationSecrets
from demo_server.models import DerivationSecret
from demo_server.private_file import PrivateFileError
from demo_server.resource_server.keyring import POLL_INTERVAL, create_keyring
from demo_server.row_encryption import KEY_VARIABLE, RowEncryption, load_row_encryption
from demo_server.signing_keys import SigningKeys
from dpop_ext.errors import StaleKeyError, StoreError
from dpop_ext.resource_server import HTTPKeyringSource, RemoteKeys
from tests.conftest import Clock
from tests.demo.parties import Parties

ISSUER = "https://as.example"
AUDIENCE = "https://rs.example"
OTHER = "https://other.example"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/secrets.sqlite3")
    database.create_schema()
    yield database
    database.close()


def open_table(database: Database, clock: Clock, key: bytes = b"k" * 32) -> Any:
    return DerivationSecrets(
        database.engine, RowEncryption(key), issuer=ISSUER, clock=clock
    )


@pytest.fixture
def table(database: Database, clock: Clock) -> DerivationSecrets:
    table = open_table(database, clock)
    table.register(AUDIENCE)
    assert isinstance(table, DerivationSecrets)
    return table


def test_an_audience_starts_with_one_active_version(
    table: DerivationSecrets, clock: Clock
) -> None:
    table.register(AUDIENCE)
    ring = table.load(AUDIENCE)
    assert ring is not None
    assert [(e.version, e.state) for e in ring] == [(1, "active")]
    assert ring.active(now=clock.now).version == 1
    assert table.load(OTHER) is None
    assert table.audiences() == [AUDIENCE]


def test_audiences_and_versions_have_different_secrets(
    table: DerivationSecrets, clock: Clock
) -> None:
    table.register(OTHER)
    table.rotate(AUDIENCE)
    rings = table.read(AUDIENCE), table.read(OTHER)
    secrets = [e.secret.reveal() for ring in rings for e in ring if e.secret]
    assert len(set(secrets)) == 3


def test_secrets_are_not_in_the_database_file(
    table: DerivationSecrets, database: Database
) -> None:
    entry = next(iter(table.read(AUDIENCE)))
    assert entry.secret is not None
    name = database.engine.url.database
    assert name is not None
    for path in Path(name).parent.glob(f"{Path(name).name}*"):
        assert entry.secret.reveal() not in path.read_bytes()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("state", "verify_only"),
        ("not_before", 0),
        ("expires_at", 2_000_000_000),
        ("audience", OTHER),
        ("version", 2),
        ("sequence", 5),
        ("sealed", b"short"),
    ],
)
def test_a_changed_row_is_not_believed(
    table: DerivationSecrets, database: Database, column: str, value: object
) -> None:
    with database.engine.begin() as connection:
        connection.execute(update(DerivationSecret).values({column: value}))
    with pytest.raises(StoreError):
        table.read(OTHER if column == "audience" else AUDIENCE)


def test_an_old_row_put_back_is_not_believed(
    table: DerivationSecrets, database: Database
) -> None:
    with database.engine.connect() as connection:
        old = dict(connection.execute(select(DerivationSecret)).one()._mapping)
    table.rotate(AUDIENCE, retire_old=True)
    table.read(AUDIENCE)
    with database.engine.begin() as connection:
        mine = DerivationSecret.version == 1
        connection.execute(update(DerivationSecret).where(mine).values(old))
    with pytest.raises(StoreError):
        table.read(AUDIENCE)


def test_another_key_opens_nothing(
    table: DerivationSecrets, database: Database, clock: Clock
) -> None:
    with pytest.raises(StoreError):
        open_table(database, clock, b"x" * 32).read(AUDIENCE)


def test_a_database_without_tables_is_a_store_error(
    tmp_path: Path, clock: Clock
) -> None:
    empty = Database(f"sqlite:///{tmp_path}/empty.sqlite3")
    table = open_table(empty, clock)
    with pytest.raises(StoreError):
        table.read(AUDIENCE)
    with pytest.raises(StoreError):
        table.rotate(AUDIENCE)
    empty.close()


def test_rotation_keeps_the_old_version_for_verification(
    table: DerivationSecrets, clock: Clock
) -> None:
    assert table.rotate(AUDIENCE) == 2
    ring = table.read(AUDIENCE)
    assert [e.state for e in ring] == ["verify_only", "active"]
    assert ring.find(1, now=clock.now).version == 1
    assert ring.active(now=clock.now).version == 2


def test_rotation_can_erase_the_old_versions(
    table: DerivationSecrets, clock: Clock, database: Database
) -> None:
    table.rotate(AUDIENCE)
    table.rotate(AUDIENCE, retire_old=True)
    ring = table.read(AUDIENCE)
    assert [e.state for e in ring] == ["retired", "retired", "active"]
    assert [e.secret is None for e in ring] == [True, True, False]
    for version in 1, 2:
        with pytest.raises(StaleKeyError):
            ring.find(version, now=clock.now)
    with Session(database.engine) as session:
        sizes = [len(row.sealed) for row in session.scalars(select(DerivationSecret))]
    assert sizes == [28, 28, 60]


def test_a_version_past_its_time_is_erased_at_the_next_rotation(
    table: DerivationSecrets, clock: Clock
) -> None:
    clock.advance(ACTIVE_PERIOD)
    table.load(AUDIENCE)
    clock.advance(OVERLAP)
    ring = table.load(AUDIENCE)
    assert ring is not None
    assert [e.state for e in ring] == ["retired", "verify_only", "active"]


def test_the_active_version_is_replaced_after_its_period(
    table: DerivationSecrets, clock: Clock
) -> None:
    clock.advance(ACTIVE_PERIOD - 1)
    ring = table.load(AUDIENCE)
    assert ring is not None
    assert ring.highest_version == 1
    clock.advance(1)
    ring = table.load(AUDIENCE)
    assert ring is not None
    assert ring.active(now=clock.now).version == 2
    assert ring.find(1, now=clock.now).version == 1


def test_a_rotation_by_another_process_meanwhile_is_noticed(
    table: DerivationSecrets, clock: Clock, database: Database, monkeypatch: Any
) -> None:
    other = open_table(database, clock)
    rows = table._rows

    def rows_and_a_rotation(session: Session, audience: str) -> Any:
        found = rows(session, audience)
        monkeypatch.setattr(table, "_rows", rows)
        session.expunge_all()
        other.rotate(audience)
        return found

    monkeypatch.setattr(table, "_rows", rows_and_a_rotation)
    with pytest.raises(StoreError):
        table.rotate(AUDIENCE, retire_old=True)
    monkeypatch.setattr(table, "_rows", rows_and_a_rotation)
    assert table.rotate(AUDIENCE, after=2) == 3
    assert [e.state for e in table.read(AUDIENCE)][-1] == "active"
    assert table.read(AUDIENCE).highest_version == 3


def test_parallel_issuance_rotates_once(table: DerivationSecrets, clock: Clock) -> None:
    clock.advance(ACTIVE_PERIOD)
    rings: list[Any] = []
    threads = [
        threading.Thread(target=lambda: rings.append(table.load(AUDIENCE)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [ring.active(now=clock.now).version for ring in rings] == [2] * 4


def test_the_number_of_the_secrets_goes_up_with_each_change(
    table: DerivationSecrets, clock: Clock
) -> None:
    assert table.load_numbered(OTHER) is None
    numbers = []
    for change in (
        lambda: None,
        lambda: table.rotate(AUDIENCE),
        lambda: table.rotate(AUDIENCE, retire_old=True),
        lambda: clock.advance(ACTIVE_PERIOD),
    ):
        change()
        numbered = table.load_numbered(AUDIENCE)
        assert numbered is not None
        ring, *number = numbered
        assert list(ring) == list(table.read(AUDIENCE))
        numbers.append(number)
    started = clock.now - ACTIVE_PERIOD
    assert [epoch for epoch, _ in numbers] == [started] * 4
    sequences = [sequence for _, sequence in numbers]
    assert sequences == sorted(set(sequences))
    assert sequences[0] == 1


def test_the_resource_server_sees_a_rotation_within_a_poll(
    parties: Parties, clock: Clock
) -> None:
    keyring = create_keyring_of(parties)
    assert keyring.load().highest_version == 1
    parties_table(parties, clock).rotate(parties.settings.resource_url, retire_old=True)
    clock.advance(POLL_INTERVAL * 1.1)
    ring = keyring.load()
    assert ring.find(2, now=clock.now).state == "active"
    with pytest.raises(StaleKeyError):
        ring.find(1, now=clock.now)


def test_the_resource_server_needs_neither_database_nor_its_key(
    parties: Parties, tmp_path: Path
) -> None:
    keys = tmp_path / "rs-keys"
    keys.mkdir(mode=0o700)
    name = "resource-server.json"
    (parties.settings.keys_directory / name).rename(keys / name)
    settings = dataclasses.replace(
        parties.settings, database=f"sqlite:///{tmp_path}/none.sqlite3", keys=keys
    )
    keyring = create_keyring_of(parties, settings)
    assert keyring.load().highest_version == 1
    assert not (tmp_path / "none.sqlite3").exists()


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


def parties_table(parties: Parties, clock: Clock) -> DerivationSecrets:
    return DerivationSecrets(
        Database(parties.settings.database).engine,
        load_row_encryption(parties.settings.keys_directory),
        issuer=parties.settings.issuer_url,
        clock=clock,
    )


def test_the_row_key_is_made_once_and_kept_private(tmp_path: Path) -> None:
    load_row_encryption(tmp_path / "keys")
    path = tmp_path / "keys" / "database.key"
    content = path.read_bytes()
    load_row_encryption(tmp_path / "keys")
    assert path.read_bytes() == content
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_the_row_key_can_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "A" * 43)
    load_row_encryption(tmp_path)
    assert list(tmp_path.iterdir()) == []
    for bad in "", "A" * 42, "A" * 44, "not base64url!":
        monkeypatch.setenv(KEY_VARIABLE, bad)
        with pytest.raises(PrivateFileError) as caught:
            load_row_encryption(tmp_path)
        assert not bad or bad not in str(caught.value)


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    private_file.read_or_create(path, lambda: b"secret")
    path.chmod(0o640)
    with pytest.raises(PrivateFileError, match="chmod 600"):
        private_file.read(path)


def test_a_link_or_directory_is_no_key_file(tmp_path: Path) -> None:
    private_file.read_or_create(tmp_path / "key", lambda: b"secret")
    (tmp_path / "link").symlink_to(tmp_path / "key")
    for name in "link", ".", "missing":
        with pytest.raises(PrivateFileError):
            private_file.read(tmp_path / name)


def test_of_parallel_creations_one_wins_and_all_read_it(tmp_path: Path) -> None:
    results: list[bytes] = []
    barrier = threading.Barrier(8)

    def create(content: bytes) -> None:
        def make() -> bytes:
            barrier.wait(timeout=10)
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
    parties: Parties, clock: Clock, ec_key: ECKey
) -> None:
    token = parties.redeem(parties.code()).get_json()["access_token"]
    assert parties.api("GET", "/api/accounts", token).status_code == 200
    path = parties.settings.keys_directory / "signing.json"
    SigningKeys(path, clock=clock).rotate(keep_until=clock.now + 360)
    clock.advance(1)
    newer = parties.redeem(parties.code()).get_json()["access_token"]
    assert parties.api("GET", "/api/accounts", newer).status_code == 200
    assert parties.api("GET", "/api/accounts", token).status_code == 200


def test_periods_leave_room_for_the_longest_token() -> None:
    longest = derivation_secrets.OVERLAP - 120
    assert longest > 43_200
