"""What every source of derivation secrets does, wherever it has them from."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from redis import Redis
from sqlalchemy import MetaData

from dpop_ext.core.base64url import b64url_encode
from dpop_ext.errors import AccessTokenError, StaleKeyError, UnknownKeyError
from dpop_ext.resource_server import EnvironmentKeyring, FileKeyring, RowKeyring
from dpop_ext.stores.base import KeyringSource, SyncingKeyringSource
from dpop_ext.stores.memory import MemoryKeyring
from dpop_ext.stores.private_file import write_private
from dpop_ext.stores.secret_rows import SQLSecretRows
from dpop_ext.stores.secret_rows_redis import RedisSecretRows
from dpop_ext.stores.secret_tables import define_secret_tables
from dpop_ext.symmetric.keyring_claims import keyring_claims
from dpop_ext.symmetric.sealed_row import SealedRow, audience_row_key, seal_row
from dpop_ext.symmetric.secret_bytes import SecretBytes
from tests.conftest import Clock
from tests.resource_server.keyring_issuer import KeyringIssuer
from tests.resource_server.world import AUDIENCE, ISSUER, VERSION, ring, secret

NEW = VERSION + 1
OTHER = "https://other.example.com"
KEY = SecretBytes(bytes(range(100, 132)))
#: More than a poll of every source, and its jitter.
POLL = 40
TABLES = define_secret_tables(MetaData())


def row_key(audience: str = AUDIENCE) -> SecretBytes:
    return audience_row_key(KEY, issuer=ISSUER, audience=audience)


def sealed(*entries: Any, sequence: int, audience: str = AUDIENCE) -> list[SealedRow]:
    return [
        seal_row(
            entry,
            issuer=ISSUER,
            audience=audience,
            sequence=sequence + number,
            key=row_key(audience),
        )
        for number, entry in enumerate(entries)
    ]


class Place(ABC):
    """Where an issuer puts secrets, and a resource server finds them."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self.directory = directory
        self.clock = clock

    @abstractmethod
    def publish(self, *entries: Any, sequence: int) -> None: ...

    @abstractmethod
    def source(self) -> KeyringSource:
        """A resource server that starts, or starts again."""

    def fail(self) -> None:
        """Be out of reach from now on."""
        raise NotImplementedError

    @property
    def floor(self) -> Path:
        return self.directory / "floor"


class Memory(Place):
    def publish(self, *entries: Any, sequence: int) -> None:
        self.keyring = MemoryKeyring(ring(*entries))

    def source(self) -> KeyringSource:
        return self.keyring


class Environment(Place):
    def publish(self, *entries: Any, sequence: int) -> None:
        self.text = ",".join(
            f"{e.version}:{e.state}:{e.expires_at}:"
            + (b64url_encode(e.secret.reveal()) if e.secret else "")
            for e in entries
        )

    def source(self) -> KeyringSource:
        return EnvironmentKeyring(
            "SECRETS",
            issuer=ISSUER,
            audience=AUDIENCE,
            floor=self.floor,
            environment={"SECRETS": self.text},
        )


class File(Place):
    def publish(self, *entries: Any, sequence: int) -> None:
        said = keyring_claims(ring(*entries), epoch=1, sequence=sequence, poll=30)
        write_private(self.directory / "keyring", json.dumps(said).encode())

    def source(self) -> KeyringSource:
        return FileKeyring(
            self.directory / "keyring",
            issuer=ISSUER,
            audience=AUDIENCE,
            floor=self.floor,
            clock=self.clock,
        )

    def fail(self) -> None:
        (self.directory / "keyring").unlink()


class SQL(Place):
    def __init__(self, directory: Path, clock: Clock, url: str) -> None:
        super().__init__(directory, clock)
        self.engine = sqlalchemy.create_engine(url)
        self.rows = SQLSecretRows.from_url(url, issuer=ISSUER, audience=AUDIENCE)
        TABLES.versions.metadata.drop_all(self.engine)
        TABLES.versions.metadata.create_all(self.engine)
        self.put(sealed(secret(1), sequence=1000, audience=OTHER))

    def put(self, rows: list[SealedRow]) -> None:
        table = TABLES.versions
        names = ("version", "state", "not_before", "expires_at", "sequence", "sealed")
        with self.engine.begin() as connection:
            ours = table.c.audience == rows[0].audience
            connection.execute(table.delete().where(ours))
            for row in rows:
                values = {name: getattr(row, name) for name in names}
                values |= {"issuer": row.issuer, "audience": row.audience}
                connection.execute(table.insert().values(values))

    def publish(self, *entries: Any, sequence: int) -> None:
        self.put(sealed(*entries, sequence=10 * sequence))

    def source(self) -> KeyringSource:
        return RowKeyring(
            self.rows,
            row_key(),
            issuer=ISSUER,
            audience=AUDIENCE,
            floor=self.floor,
            clock=self.clock,
        )

    def fail(self) -> None:
        TABLES.versions.metadata.drop_all(self.engine)


class InRedis(SQL):
    def __init__(self, directory: Path, clock: Clock, url: str) -> None:
        Place.__init__(self, directory, clock)
        self.client = Redis.from_url(url)
        self.client.flushdb()
        self.rows = self.rows_of(AUDIENCE)  # type: ignore[assignment]
        self.put(sealed(secret(1), sequence=1000, audience=OTHER))

    def rows_of(self, audience: str) -> RedisSecretRows:
        return RedisSecretRows(
            self.client,
            issuer=ISSUER,
            audience=audience,
        )

    def put(self, rows: list[SealedRow]) -> None:
        at = self.rows_of(rows[0].audience)
        self.client.delete(at.key)
        at.write(rows)

    def fail(self) -> None:
        self.client.set(self.rows_of(AUDIENCE).key, b"nonsense")


class HTTP(Place):
    def __init__(self, directory: Path, clock: Clock) -> None:
        super().__init__(directory, clock)
        self.issuer = KeyringIssuer(clock)
        self.issuer.poll = 30

    def publish(self, *entries: Any, sequence: int) -> None:
        self.issuer.ring = ring(*entries)
        self.issuer.sequence = sequence

    def source(self) -> KeyringSource:
        return self.issuer.source(cache=self.directory / "cache")

    def fail(self) -> None:
        self.issuer.instead = OSError()


ROWS = ("sqlite", "postgresql", "redis")
#: Those that see what is published later, and can be out of reach.
LIVE = ("file", *ROWS, "http")
#: Those that remember how far the versions have come.
REMEMBERING = ("environment", *LIVE)
KINDS = ("memory", *REMEMBERING)

live = pytest.mark.parametrize("place", LIVE, indirect=True)
remembering = pytest.mark.parametrize("place", REMEMBERING, indirect=True)
in_rows = pytest.mark.parametrize("place", ROWS, indirect=True)


@pytest.fixture(params=KINDS)
def place(request: Any, tmp_path: Path, clock: Clock) -> Iterator[Place]:
    found: Place
    match request.param:
        case "memory":
            found = Memory(tmp_path, clock)
        case "environment":
            found = Environment(tmp_path, clock)
        case "file":
            found = File(tmp_path, clock)
        case "sqlite":
            found = SQL(tmp_path, clock, f"sqlite:///{tmp_path}/as.sqlite3")
        case "postgresql":
            url = request.getfixturevalue("postgres_database")
            found = SQL(tmp_path, clock, url)
        case "redis":
            url = request.getfixturevalue("redis").url
            found = InRedis(tmp_path, clock, url)
        case _:
            found = HTTP(tmp_path, clock)
    found.publish(secret(VERSION), sequence=1)
    yield found
    if isinstance(found, InRedis):
        found.client.close()
    elif isinstance(found, SQL):
        found.rows.close()
        found.engine.dispose()


@pytest.mark.parametrize("place", ["sqlite", "postgresql"], indirect=True)
def test_a_table_that_is_not_there_has_a_name_in_the_log(
    place: SQL, caplog: pytest.LogCaptureFixture
) -> None:
    place.fail()
    place.source().load()
    assert "not available. (MissingTableError)" in caplog.text


def test_the_secrets_are_those_that_were_published(place: Place, clock: Clock) -> None:
    place.publish(
        secret(VERSION - 1, "verify_only"),
        secret(VERSION),
        secret(NEW, "pending"),
        sequence=2,
    )
    source = place.source()
    found = source.load()
    assert (found.issuer, found.audience) == (ISSUER, AUDIENCE)
    for version in VERSION - 1, VERSION, NEW:
        entry = found.find(version, now=clock.now)
        assert entry.secret == secret(version).secret
    assert found.find(NEW, now=clock.now).state == "pending"


def test_versions_that_are_not_there_are_told_apart(place: Place, clock: Clock) -> None:
    place.publish(secret(VERSION - 1, "revoked"), secret(VERSION), sequence=2)
    found = place.source().load()
    for version in VERSION - 1, VERSION - 2:
        with pytest.raises(StaleKeyError):
            found.find(version, now=clock.now)
    for version in NEW, NEW + 1:
        with pytest.raises(UnknownKeyError):
            found.find(version, now=clock.now)
    with pytest.raises(AccessTokenError):
        found.find(NEW + 2, now=clock.now)


@live
@pytest.mark.requirement("R1510")
def test_a_change_is_seen_after_a_poll(place: Place, clock: Clock) -> None:
    source = place.source()
    assert source.load().find(VERSION, now=clock.now).secret
    place.publish(secret(VERSION, "revoked"), secret(NEW), sequence=2)
    clock.advance(POLL)
    found = source.load()
    assert found.find(NEW, now=clock.now).state == "active"
    with pytest.raises(StaleKeyError):
        found.find(VERSION, now=clock.now)


@live
def test_a_change_is_seen_at_once_when_it_is_asked_for(
    place: Place, clock: Clock
) -> None:
    source = place.source()
    source.load()
    place.publish(secret(VERSION, "verify_only"), secret(NEW), sequence=2)
    clock.advance(5)
    assert isinstance(source, SyncingKeyringSource)
    source.sync()
    assert source.load().find(NEW, now=clock.now).state == "active"


@live
@pytest.mark.requirement("R1701", "T19")
def test_what_was_published_before_is_refused(place: Place, clock: Clock) -> None:
    source = place.source()
    place.publish(secret(VERSION, "revoked"), secret(NEW), sequence=2)
    source.load()
    place.publish(secret(VERSION), sequence=1)
    clock.advance(POLL)
    with pytest.raises(StaleKeyError):
        source.load().find(VERSION, now=clock.now)


@remembering
@pytest.mark.requirement("R1701", "R2044", "R2047", "R2048", "T19")
def test_it_is_refused_after_a_restart_too(place: Place, clock: Clock) -> None:
    place.publish(secret(VERSION, "revoked"), secret(NEW), sequence=2)
    place.source().load()
    place.publish(secret(VERSION), sequence=1)
    with pytest.raises((StaleKeyError, UnknownKeyError)):
        place.source().load().find(VERSION, now=clock.now)
    place.publish(secret(VERSION, "revoked"), secret(NEW), sequence=2)
    clock.advance(POLL)
    assert place.source().load().find(NEW, now=clock.now).secret


@live
@pytest.mark.requirement("R2023")
def test_out_of_reach_the_secrets_are_good_for_three_polls(
    place: Place, clock: Clock
) -> None:
    source = place.source()
    source.load()
    place.fail()
    clock.advance(89)
    assert source.load().find(VERSION, now=clock.now).secret
    clock.advance(2)
    with pytest.raises(UnknownKeyError):
        source.load().find(VERSION, now=clock.now)


@live
def test_where_nothing_was_found_no_version_is_good(place: Place, clock: Clock) -> None:
    place.fail()
    with pytest.raises(UnknownKeyError):
        place.source().load().find(VERSION, now=clock.now)


@in_rows
@pytest.mark.requirement("R2051", "R2052")
@pytest.mark.parametrize(
    "change",
    [
        {"state": "active"},
        {"expires_at": 1_900_000_000},
        {"not_before": 1},
        {"version": 9},
        {"sequence": 99},
    ],
)
def test_a_row_that_was_edited_is_refused(
    place: SQL,
    clock: Clock,
    change: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    (row,) = sealed(secret(VERSION, "verify_only"), sequence=50)
    edited = SealedRow(**{n: getattr(row, n) for n in row.__slots__} | change)
    place.put([edited])
    with pytest.raises(UnknownKeyError):
        place.source().load().find(VERSION, now=clock.now)
    assert "no keyring: A derivation secret cannot be decrypted: it was" in caplog.text


@in_rows
@pytest.mark.requirement("T3")
def test_the_rows_of_another_audience_are_not_read_and_do_not_open(
    place: SQL, clock: Clock
) -> None:
    assert {row.audience for row in place.rows.read()} == {AUDIENCE}
    (theirs,) = sealed(secret(VERSION), sequence=50, audience=OTHER)
    place.put(
        [
            SealedRow(
                **{n: getattr(theirs, n) for n in theirs.__slots__}
                | {"audience": AUDIENCE}
            )
        ]
    )
    with pytest.raises(UnknownKeyError):
        place.source().load().find(VERSION, now=clock.now)


@in_rows
@pytest.mark.requirement("T19")
def test_one_old_row_among_new_ones_brings_nothing_back(
    place: SQL, clock: Clock
) -> None:
    (old,) = sealed(secret(VERSION, "verify_only"), sequence=10)
    source = place.source()
    place.publish(secret(VERSION, "revoked"), secret(NEW), sequence=2)
    source.load()
    (new,) = sealed(secret(NEW), sequence=99)
    place.put([old, new])
    clock.advance(POLL)
    for reader in source, place.source():
        with pytest.raises(StaleKeyError):
            reader.load().find(VERSION, now=clock.now)


def test_a_key_for_rows_has_32_bytes() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        RowKeyring(
            object(),  # type: ignore[arg-type]
            SecretBytes(b"k" * 31),
            issuer=ISSUER,
            audience=AUDIENCE,
        )
