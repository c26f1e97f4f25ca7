"""Nonce secrets that several processes read from one file, while they change."""

from __future__ import annotations

import json
import logging
import os
import shutil
import threading
from pathlib import Path

import pytest

from dpop_ext.core.base64url import b64url_encode
from dpop_ext.errors import NonceRequiredError, StoreError
from dpop_ext.stores.nonce_file import (
    DELAY,
    GRACE,
    FileNonces,
    create_nonce_file,
    rotate_nonce_file,
)
from tests.patience import PATIENCE

NOW = 1_790_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "nonces.json"
    create_nonce_file(path)
    return path


def issue(nonces: FileNonces, now: int) -> str:
    return nonces.issue(purpose="rs", now=now)


def age(nonces: FileNonces, nonce: str, now: int) -> int:
    return nonces.verify(nonce, purpose="rs", now=now)


def test_processes_with_one_file_accept_each_others_nonces(path: Path) -> None:
    first, second = FileNonces(path), FileNonces(path)
    assert age(second, issue(first, NOW), NOW) == 0
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_there_stays(path: Path) -> None:
    before = path.read_bytes()
    create_nonce_file(path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_of_many_that_create_the_file_one_does(tmp_path: Path) -> None:
    path = tmp_path / "nonces.json"
    barrier = threading.Barrier(8, timeout=PATIENCE)
    issued: list[str] = []

    def start() -> None:
        barrier.wait()
        create_nonce_file(path)
        issued.append(issue(FileNonces(path), NOW))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(issued) == 8
    assert len(set(issued)) == 1


@pytest.mark.requirement("Q-7")
def test_a_rotation_refuses_no_nonce_whichever_machine_has_the_file(
    path: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere.json"
    shutil.copy(path, elsewhere)
    early, late = FileNonces(path), FileNonces(elsewhere)
    begins_at = rotate_nonce_file(path, now=NOW)
    assert begins_at == NOW + DELAY
    last_of_old = issue(early, begins_at - 1)
    assert age(late, last_of_old, begins_at - 1) == 0

    shutil.copy(path, elsewhere)
    first_of_new = issue(early, begins_at)
    assert first_of_new != last_of_old
    for nonces in (early, late, FileNonces(path)):
        assert age(nonces, first_of_new, begins_at) == 0
        # Still good, but the client is told the new one.
        assert age(nonces, last_of_old, begins_at) == 1


def test_a_secret_that_waits_for_its_time_is_recognised(path: Path) -> None:
    ahead, behind = FileNonces(path), FileNonces(path)
    begins_at = rotate_nonce_file(path, now=NOW)
    # The clock of the one is ahead of that of the other.
    assert age(behind, issue(ahead, begins_at + 2), begins_at - 5) == 1


def test_a_secret_is_dropped_once_its_nonces_are_no_longer_good(path: Path) -> None:
    def secrets() -> int:
        return len(json.loads(path.read_bytes()))

    begins_at = rotate_nonce_file(path, now=NOW)
    assert secrets() == 2
    rotate_nonce_file(path, now=begins_at + GRACE - 1)
    assert secrets() == 3
    rotate_nonce_file(path, now=begins_at + GRACE)
    assert secrets() == 3
    nonces = FileNonces(path)
    assert repr(nonces) == "<FileNonces with 3 secret(s)>"


def test_rotations_that_come_together_lose_no_secret(path: Path) -> None:
    barrier = threading.Barrier(8, timeout=PATIENCE)

    def rotate() -> None:
        barrier.wait()
        rotate_nonce_file(path, now=NOW)

    threads = [threading.Thread(target=rotate) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(json.loads(path.read_bytes())) == 9


@pytest.mark.parametrize(("number", "has_room"), [(699, True), (720, False)])
def test_a_file_is_never_longer_than_what_is_read_of_it(
    path: Path, number: int, *, has_room: bool
) -> None:
    secrets = [b64url_encode(os.urandom(32)) for _ in range(number)]
    entries = [{"secret": secret, "begins_at": NOW} for secret in secrets]
    if has_room:
        path.write_text(json.dumps(entries, indent=1))
        rotate_nonce_file(path, now=NOW)
        assert repr(FileNonces(path)) == "<FileNonces with 700 secret(s)>"
    else:
        # Of another hand, and shorter than what is written here.
        before = json.dumps(entries, separators=(",", ":"))
        path.write_text(before)
        with pytest.raises(OSError, match="too large"):
            rotate_nonce_file(path, now=NOW)
        assert path.read_text() == before
        rotate_nonce_file(path, now=NOW + GRACE)
        assert repr(FileNonces(path)) == "<FileNonces with 2 secret(s)>"


def test_a_rotation_at_once_can_be_had(path: Path) -> None:
    nonces = FileNonces(path)
    before = issue(nonces, NOW)
    assert rotate_nonce_file(path, now=NOW, delay=0) == NOW
    assert issue(FileNonces(path), NOW) != before
    with pytest.raises(ValueError, match="delay"):
        rotate_nonce_file(path, now=NOW, delay=-1)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"[1]",
        b'[{"secret": 1, "begins_at": 1}]',
        b'[{"secret": "AAAA", "begins_at": 1}]',
        b"[" * 60_000,
        b'[{"secret": "%s", "begins_at": 1e999}]' % (b"A" * 43),
        json.dumps(
            [
                {"secret": b64url_encode(bytes(range(n, n + 32))), "begins_at": -n}
                for n in range(2)
            ]
        ).encode(),
    ],
)
def test_what_is_no_such_file_is_refused_at_the_start_and_logged_later(
    path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    nonces = FileNonces(path)
    before = issue(nonces, NOW)
    path.write_bytes(content)
    with pytest.raises(StoreError):
        FileNonces(path)
    with pytest.raises(StoreError):
        rotate_nonce_file(path, now=NOW)
    with caplog.at_level(logging.ERROR):
        assert age(nonces, before, NOW + 1) == 0
    assert f"the nonce secrets in '{path}' could not be read" in caplog.text


def test_a_file_that_is_gone_leaves_the_secrets_in_use(path: Path) -> None:
    nonces = FileNonces(path)
    before = issue(nonces, NOW)
    path.unlink()
    assert age(nonces, before, NOW + 1) == 0
    with pytest.raises(StoreError, match="dpop-ext nonces create makes one"):
        FileNonces(path)


def test_a_file_that_others_may_read_is_refused(path: Path) -> None:
    path.chmod(0o640)
    with pytest.raises(StoreError, match="mode 0600"):
        FileNonces(path)


def test_a_file_is_looked_at_once_a_second(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nonces = FileNonces(path)
    looks: list[Path] = []

    def stat(self: Path) -> os.stat_result:
        looks.append(self)
        return os.lstat(self)

    monkeypatch.setattr(Path, "stat", stat)
    for now in (NOW, NOW, NOW, NOW + 1, NOW + 1):
        issue(nonces, now)
    assert len(looks) == 2


def test_a_nonce_that_is_not_ours_is_refused(path: Path) -> None:
    with pytest.raises(NonceRequiredError) as info:
        FileNonces(path).verify("x", purpose="rs", now=NOW)
    assert info.value.nonce == issue(FileNonces(path), NOW)
