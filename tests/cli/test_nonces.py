"""The file of nonce secrets, made and rotated by hand."""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path

import pytest

from dpop_ext.stores import nonce_file
from dpop_ext.stores.nonce_file import FileNonces
from dpop_ext.stores.private_file import locked
from tests.cli.conftest import run


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "nonces.json"
    made = run("nonces", "create", str(path))
    assert (made.exit_code, made.output) == (0, "a nonce secret was made\n")
    return path


def test_a_file_that_was_made_can_be_used(path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600
    assert repr(FileNonces(path)) == "<FileNonces with 1 secret(s)>"


def test_a_file_that_is_there_is_left_alone(path: Path) -> None:
    before = path.read_bytes()
    shown = run("nonces", "create", str(path))
    assert shown.exit_code == 1
    assert "the file exists" in shown.output
    assert path.read_bytes() == before


@pytest.mark.parametrize(("options", "delay"), [([], 60), (["--delay", "5"], 5)])
def test_a_rotation_says_when_the_secret_is_used(
    path: Path, options: list[str], delay: int
) -> None:
    before = int(time.time())
    shown = run("nonces", "rotate", str(path), *options)
    assert shown.exit_code == 0
    old, new = json.loads(path.read_bytes())
    assert before + delay <= new["begins_at"] <= time.time() + delay
    assert shown.output.startswith("a new secret makes nonces from 2")
    for entry in old, new:
        assert entry["secret"] not in shown.output


def test_programs_read_when_the_secret_is_used(tmp_path: Path) -> None:
    path = tmp_path / "nonces.json"
    made = run("nonces", "create", str(path), "--json")
    assert json.loads(made.stdout) == {"file": str(path)}
    rotated = json.loads(run("nonces", "rotate", str(path), "--json").stdout)
    _, new = json.loads(path.read_bytes())
    assert rotated == {"file": str(path), "begins_at": new["begins_at"]}


def test_a_file_that_somebody_else_changes_is_left_alone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()
    monkeypatch.setattr(nonce_file, "locked", partial(locked, timeout=0))
    with locked(path):
        shown = run("nonces", "rotate", str(path))
    expected = "dpop-ext: the file cannot be written: the directory stays locked\n"
    assert (shown.exit_code, shown.output) == (1, expected)
    assert path.read_bytes() == before


def test_what_cannot_be_done_is_one_line(tmp_path: Path) -> None:
    missing = tmp_path / "missing" / "nonces.json"
    for command, reason in (
        ("create", "the file cannot be written: No such file or directory"),
        (
            "rotate",
            f"{missing}: there is no such file; dpop-ext nonces create makes one",
        ),
    ):
        shown = run("nonces", command, str(missing))
        assert (shown.exit_code, shown.stdout) == (1, "")
        assert shown.stderr == f"dpop-ext: {reason}\n"
    absent = tmp_path / "absent.json"
    shown = run("nonces", "rotate", str(absent))
    assert shown.exit_code == 1
    assert f"{absent}: there is no such file; dpop-ext nonces create" in shown.output
    faulty = tmp_path / "faulty"
    faulty.write_text("[]")
    faulty.chmod(0o600)
    shown = run("nonces", "rotate", str(faulty))
    assert shown.exit_code == 1
    assert "no file of nonce secrets" in shown.output
    good = tmp_path / "nonces.json"
    run("nonces", "create", str(good))
    good.chmod(0o640)
    shown = run("nonces", "rotate", str(good))
    assert shown.exit_code == 1
    assert "must have mode 0600" in shown.output
