from __future__ import annotations

import json
import os
import stat
import tempfile
from pathlib import Path

import pytest
from joserfc.jwk import ECKey, Key, OctKey

from dpop_ext.client.keyfile import MAX_SIZE, load_key, save_key


def as_json(key: Key, *, private: bool = True) -> bytes:
    return json.dumps(key.as_dict(private=private)).encode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "client.jwk"


@pytest.mark.requirement("T-13")
@pytest.mark.parametrize("name", ["ec_key", "ed_key", "rsa_key"])
def test_a_key_that_was_saved_is_loaded(
    path: Path, name: str, request: pytest.FixtureRequest
) -> None:
    key: Key = request.getfixturevalue(name)
    save_key(path, key)
    assert load_key(path).as_dict(private=True) == key.as_dict(private=True)


@pytest.mark.requirement("X-20")
def test_a_key_file_has_mode_0600_whatever_the_umask(path: Path, ec_key: ECKey) -> None:
    before = os.umask(0)
    try:
        save_key(path, ec_key)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_saving_replaces_the_file_and_leaves_no_other(
    path: Path, ec_key: ECKey, other_ec_key: ECKey
) -> None:
    path.write_text("old")
    path.chmod(0o644)
    save_key(path, ec_key)
    save_key(path, other_ec_key)
    assert load_key(path).thumbprint() == other_ec_key.thumbprint()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_save_leaves_the_old_file_and_no_other(
    path: Path, ec_key: ECKey
) -> None:
    path.mkdir()
    with pytest.raises(OSError, match="regular file"):
        save_key(path, ec_key)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.requirement("X-20")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o666])
def test_a_file_that_others_may_use_is_refused(
    path: Path, ec_key: ECKey, mode: int
) -> None:
    save_key(path, ec_key)
    path.chmod(mode)
    with pytest.raises(PermissionError, match="0600"):
        load_key(path)


def test_a_file_of_mode_0400_is_good(path: Path, ec_key: ECKey) -> None:
    save_key(path, ec_key)
    path.chmod(0o400)
    assert load_key(path).is_private


@pytest.mark.requirement("X-20")
def test_symbolic_links_are_refused(path: Path, ec_key: ECKey) -> None:
    target = path.with_name("target")
    save_key(target, ec_key)
    path.symlink_to(target)
    with pytest.raises(PermissionError, match="symbolic link"):
        load_key(path)
    with pytest.raises(PermissionError, match="symbolic link"):
        save_key(path, ec_key)
    assert load_key(target).thumbprint() == ec_key.thumbprint()


def test_what_is_no_regular_file_is_refused_without_waiting(path: Path) -> None:
    os.mkfifo(path, 0o600)
    with pytest.raises(PermissionError, match="regular"):
        load_key(path)


def test_the_file_of_another_user_is_refused(
    path: Path, ec_key: ECKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_key(path, ec_key)
    owner = path.stat().st_uid
    # Giving the file away takes root; being somebody else does not.
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(PermissionError, match="belong"):
        load_key(path)


def test_a_missing_file_is_missing(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_key(path)


@pytest.mark.requirement("X-20")
def test_content_that_is_no_private_key_is_refused_and_not_repeated(
    path: Path, ec_key: ECKey
) -> None:
    secret = ec_key.as_dict(private=True)["d"]
    for content in [
        b"",
        b"[" * MAX_SIZE,
        b"[]",
        b"\xff",
        str(ec_key.as_dict(private=True)).encode(),
        as_json(ec_key, private=False),
        as_json(OctKey.generate_key(256)),
        b'{"kty":"EC","crv":"P-0","x":"","y":"","d":"' + str(secret).encode() + b'"}',
    ]:
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(ValueError, match="private JWK") as caught:
            load_key(path)
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None


def test_a_file_that_is_too_long_is_refused(path: Path, ec_key: ECKey) -> None:
    path.write_bytes(b" " * MAX_SIZE + as_json(ec_key))
    path.chmod(0o600)
    with pytest.raises(OSError, match="too long"):
        load_key(path)


def test_only_a_private_key_is_saved(path: Path, ec_key: ECKey) -> None:
    public = ECKey.import_key(ec_key.as_dict(private=False))
    for key in (public, OctKey.generate_key(256)):
        with pytest.raises(ValueError, match="private"):
            save_key(path, key)
    assert not path.exists()


def test_a_path_may_be_text(ec_key: ECKey) -> None:
    with tempfile.TemporaryDirectory() as directory:
        save_key(f"{directory}/key", ec_key)
        assert load_key(f"{directory}/key").is_private
