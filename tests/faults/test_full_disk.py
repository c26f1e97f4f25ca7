"""A disk that is really full, for the keyring cache of a resource server."""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dpop_ext.resource_server import keyring_cache
from dpop_ext.resource_server.keyring_source import JITTER
from dpop_ext.stores.private_file import locked
from tests.resource_server.keyring_issuer import KeyringIssuer
from tests.resource_server.world import VERSION

#: Longer than a poll with its jitter.
LATER = 300 * (1 + JITTER) + 1


@pytest.fixture
def issuer(clock: Any) -> KeyringIssuer:
    return KeyringIssuer(clock)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Return a small file system, or a directory where files must stay small."""
    directory = tmp_path / "disk"
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", str(directory)]
    mounted = False
    with contextlib.suppress(OSError):
        mounted = not subprocess.run(mount, check=False, capture_output=True).returncode
    yield directory
    if mounted:
        subprocess.run(["umount", directory], check=True)


@contextlib.contextmanager
def filled(disk: Path) -> Iterator[str]:
    """Fill it; return the name of what a write raises then."""
    if os.path.ismount(disk):
        filler = disk / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        yield "No space left"
        filler.unlink()
    else:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (16, limits[1]))
        try:
            yield "File too large"
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def contents(directory: Path) -> dict[str, bytes]:
    """Return every file but the one that fills the disk."""
    names = (path for path in directory.iterdir() if path.name != "filler")
    return {path.name: path.read_bytes() for path in names}


def test_a_full_disk_costs_the_memory_of_a_keyring_and_nothing_else(
    issuer: KeyringIssuer, clock: Any, disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = disk / "keyring.jwe"
    source = issuer.source(cache=cache)
    source.load()
    kept = contents(disk)
    assert set(kept) == {"keyring.jwe", "keyring.jwe.floor"}

    with filled(disk):
        issuer.sequence += 1
        clock.advance(LATER)
        assert source.load().find(VERSION, now=clock.now).version == VERSION
        (record,) = (r for r in caplog.records if vars(r).get("event"))
        assert vars(record)["event"] == "keyring_not_kept"
        assert vars(record)["fields"] == {"cause": "OSError"}
        # What was there is whole, and no half a file takes room.
        assert contents(disk) == kept

    clock.advance(LATER)
    issuer.sequence += 1
    source.load()
    after = contents(disk)
    assert set(after) == set(kept)
    assert after["keyring.jwe.floor"] != kept["keyring.jwe.floor"]
    kept_now = issuer.source(cache=cache).load().find(VERSION, now=clock.now)
    assert kept_now.version == VERSION


def test_a_lock_that_is_never_let_go_does_not_stop_the_polls(
    issuer: KeyringIssuer,
    clock: Any,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Such as that of a process that is stopped, or one that a file server has lost."""
    monkeypatch.setattr(keyring_cache, "locked", partial(locked, timeout=0.1))
    source = issuer.source(cache=tmp_path / "keyring.jwe")
    held = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    try:
        assert source.load().find(VERSION, now=clock.now).version == VERSION
        with pytest.raises(TimeoutError), locked(tmp_path / "x", timeout=0):
            pytest.fail("it was held by another")
    finally:
        os.close(held)
    assert "keyring not kept: TimeoutError" in caplog.text
    with locked(tmp_path / "x", timeout=0):
        pass
