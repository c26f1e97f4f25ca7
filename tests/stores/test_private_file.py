"""Files that only their owner may read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from dpop_ext.stores.private_file import locked, read_private, write_private


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "secret"


def test_a_file_is_read_as_it_was_written(path: Path) -> None:
    write_private(path, b"one")
    write_private(path, b"two")
    assert read_private(path, max_size=3) == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["secret"]


def test_a_file_that_is_too_long_is_not_read(path: Path) -> None:
    write_private(path, b"four")
    with pytest.raises(OSError, match=f"too long: '{path}'"):
        read_private(path, max_size=3)


def test_there_may_be_none(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_private(path, max_size=3)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o601])
def test_a_file_that_others_have_access_to_is_not_read(path: Path, mode: int) -> None:
    write_private(path, b"one")
    path.chmod(mode)
    with pytest.raises(PermissionError, match=f"mode 0600 or less: '{path}'"):
        read_private(path, max_size=3)


def test_a_link_is_not_followed(path: Path) -> None:
    target = path.with_name("target")
    write_private(target, b"one")
    path.symlink_to(target)
    with pytest.raises(PermissionError, match="link"):
        read_private(path, max_size=3)
    write_private(path, b"two")
    assert (target.read_bytes(), path.read_bytes()) == (b"one", b"two")


def test_only_a_regular_file_is_read(path: Path) -> None:
    os.mkfifo(path, 0o600)
    with pytest.raises(PermissionError, match="regular"):
        read_private(path, max_size=3)


def test_the_file_of_another_user_is_not_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_private(path, b"one")
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(PermissionError, match="belong"):
        read_private(path, max_size=3)


def test_only_a_regular_file_is_replaced(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(PermissionError, match="must be a regular file"):
        write_private(path, b"one")
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert [file.name for file in path.parent.iterdir()] == ["secret"]


def test_a_file_that_cannot_be_put_in_place_leaves_nothing(path: Path) -> None:
    path.mkdir()
    with pytest.raises(OSError):  # noqa: PT011 - of any kind
        write_private(path, b"one")
    assert [file.name for file in path.parent.iterdir()] == ["secret"]


def test_a_process_that_was_forked_under_the_lock_does_not_keep_it(path: Path) -> None:
    """It may be a worker that lives for days, forked while another thread had it."""
    read_end, write_end = os.pipe()
    with locked(path):
        child = os.fork()
        if child == 0:
            os.close(write_end)
            os.read(read_end, 1)
            os._exit(0)
    os.close(read_end)
    try:
        with locked(path, timeout=0):
            pass
    finally:
        os.close(write_end)
        os.waitpid(child, 0)
