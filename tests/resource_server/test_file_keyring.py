"""Derivation secrets in a file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dpop_ext.errors import StaleKeyError, UnknownKeyError
from dpop_ext.resource_server.file_keyring import FileKeyring
from dpop_ext.resource_server.polled_keyring import SYNC_INTERVAL
from dpop_ext.stores.base import SyncingKeyringSource
from dpop_ext.stores.private_file import write_private
from dpop_ext.symmetric.keyring_claims import keyring_claims
from tests.resource_server.world import AUDIENCE, ISSUER, VERSION, ring, secret

NEW = VERSION + 1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keyring.json"


@pytest.fixture
def write(path: Path) -> Callable[..., None]:
    def write_keyring(*entries: Any, sequence: int = 1, **changes: Any) -> None:
        said = keyring_claims(
            ring(*(entries or [secret(VERSION)])), epoch=1, sequence=sequence, poll=1
        )
        write_private(path, json.dumps(said | changes).encode())

    return write_keyring


@pytest.fixture
def open_file(path: Path, clock: Any) -> Callable[..., FileKeyring]:
    def source(**options: Any) -> FileKeyring:
        values: dict[str, Any] = {"issuer": ISSUER, "audience": AUDIENCE}
        return FileKeyring(path, clock=clock, **(values | options))

    return source


def test_a_change_is_seen_within_a_poll(write: Any, open_file: Any, clock: Any) -> None:
    write()
    source = open_file()
    assert isinstance(source, SyncingKeyringSource)
    assert source.load().find(VERSION, now=clock.now).version == VERSION
    write(secret(VERSION, "revoked"), secret(NEW), sequence=2)
    clock.advance(29)
    assert [entry.version for entry in source.load()] == [VERSION]
    clock.advance(1)
    assert source.load().find(NEW, now=clock.now).version == NEW
    with pytest.raises(StaleKeyError):
        source.load().find(VERSION, now=clock.now)


def test_a_sync_reads_the_file_at_once(write: Any, open_file: Any, clock: Any) -> None:
    write()
    source = open_file()
    source.load()
    write(secret(NEW), sequence=2)
    source.sync()
    assert [entry.version for entry in source.load()] == [VERSION]
    clock.advance(SYNC_INTERVAL)
    source.sync()
    assert [entry.version for entry in source.load()] == [NEW]


def test_without_the_file_the_secrets_are_good_for_three_polls(
    write: Any, open_file: Any, path: Path, clock: Any
) -> None:
    source = open_file()
    with pytest.raises(UnknownKeyError):
        source.load().find(VERSION, now=0)
    write()
    clock.advance(30)
    source.load()
    path.unlink()
    clock.advance(89)
    assert source.load().find(VERSION, now=clock.now).version == VERSION
    clock.advance(1)
    with pytest.raises(UnknownKeyError):
        source.load().find(VERSION, now=clock.now)


def test_a_file_that_does_not_change_stays_good(
    write: Any, open_file: Any, clock: Any
) -> None:
    write()
    source = open_file()
    for _ in range(10):
        assert source.load().find(VERSION, now=clock.now).version == VERSION
        clock.advance(60)


@pytest.mark.requirement("R1702", "T19")
@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://other.example"},
        {"aud": "https://other.example"},
        {"keys": [{"v": 1}]},
        {"keys": 5},
        {"seq": 0},
    ],
)
def test_a_file_that_is_not_for_us_or_malformed_is_refused(
    write: Any, open_file: Any, changes: Any, caplog: pytest.LogCaptureFixture
) -> None:
    write(**changes)
    with pytest.raises(UnknownKeyError):
        open_file().load().find(VERSION, now=0)
    assert "no keyring" in caplog.text


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_file_that_others_may_read_is_refused(
    write: Any,
    open_file: Any,
    path: Path,
    mode: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write()
    path.chmod(mode)
    with pytest.raises(UnknownKeyError):
        open_file().load().find(VERSION, now=0)
    assert "the file cannot be read: The file must have mode 0600" in caplog.text


def test_a_file_that_is_not_there_is_said_to_be_so(
    open_file: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(UnknownKeyError):
        open_file().load().find(VERSION, now=0)
    assert "the file cannot be read: No such file" in caplog.text
    assert vars(caplog.records[0])["event"] == "keyring_unavailable"


def test_a_link_is_refused(write: Any, open_file: Any, path: Path) -> None:
    write()
    path.rename(path.with_name("target"))
    path.symlink_to("target")
    with pytest.raises(UnknownKeyError):
        open_file().load().find(VERSION, now=0)


@pytest.mark.requirement("R1701", "T19", "R2047", "R2048")
def test_an_older_file_is_refused_after_a_restart_too(
    write: Any, open_file: Any, path: Path, clock: Any
) -> None:
    floor = path.with_name("floor")
    write(secret(NEW), sequence=2)
    source = open_file(floor=floor)
    source.load()
    write(sequence=1)
    clock.advance(30)
    assert [entry.version for entry in source.load()] == [NEW]
    with pytest.raises(UnknownKeyError):
        open_file(floor=floor).load().find(VERSION, now=0)
    write(secret(NEW), sequence=2)
    assert [e.version for e in open_file(floor=floor).load()] == [NEW]


@pytest.mark.requirement("R1701", "T19", "R2047", "R2048")
def test_what_another_process_has_seen_is_not_taken_back(
    write: Any, open_file: Any, path: Path, clock: Any
) -> None:
    floor = path.with_name("floor")
    write(sequence=1)
    first, second = open_file(floor=floor), open_file(floor=floor)
    first.load()
    second.load()
    write(secret(VERSION, "revoked"), secret(NEW), sequence=3)
    clock.advance(30)
    first.load()
    seen = floor.read_bytes()
    write(sequence=2)
    second.load()
    assert floor.read_bytes() == seen
    with pytest.raises(UnknownKeyError):
        open_file(floor=floor).load().find(VERSION, now=clock.now)


@pytest.mark.parametrize("poll", [0, 601])
def test_the_interval_has_limits(open_file: Any, poll: int) -> None:
    with pytest.raises(ValueError, match="poll"):
        open_file(poll=poll)


def test_another_interval_is_no_other_keyring(
    write: Any, open_file: Any, path: Path, clock: Any
) -> None:
    floor = path.with_name("floor")
    write()
    open_file(floor=floor).load()
    restarted = open_file(floor=floor, poll=60)
    assert restarted.load().find(VERSION, now=clock.now).version == VERSION
