"""What several processes of a resource server keep of their keyring."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from dpop_ext.resource_server.keyring_cache import KeyringCache
from dpop_ext.symmetric.keyring_floor import KeyringError, KeyringFloor
from tests.patience import PATIENCE


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keyring.jwe"


def floor(sequence: int, *, epoch: int = 1) -> KeyringFloor:
    return KeyringFloor(epoch=epoch, sequence=sequence, content="0" * 64)


def test_a_slow_process_does_not_put_an_older_keyring_in_the_place_of_a_newer(
    path: Path,
) -> None:
    slow, fast = KeyringCache(path), KeyringCache(path)
    fast.save("newer", floor(5))
    slow.save("older", floor(4))
    assert slow.load() == "newer"
    assert slow.load_floor() == floor(5)
    slow.save("of a new epoch", floor(1, epoch=2))
    assert fast.load() == "of a new epoch"


def test_of_many_that_save_at_once_the_newest_stays(path: Path) -> None:
    barrier = threading.Barrier(8, timeout=PATIENCE)

    def save(sequence: int) -> None:
        barrier.wait()
        KeyringCache(path).save(f"keyring {sequence}", floor(sequence))

    threads = [threading.Thread(target=save, args=(n,)) for n in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert KeyringCache(path).load() == "keyring 8"
    assert KeyringCache(path).load_floor() == floor(8)


def test_a_floor_that_is_something_else_is_not_written_over(path: Path) -> None:
    other = path.with_name(path.name + ".floor")
    other.write_text("something else")
    other.chmod(0o600)
    with pytest.raises(KeyringError):
        KeyringCache(path).save("keyring", floor(1))
    assert other.read_text() == "something else"
