"""The command line itself: what is loaded, what is missing, how it ends."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import requests

from dpop_ext.cli import group, main
from dpop_ext.errors import StoreError
from dpop_ext.integrations.bundle_stores import FileBundle
from tests.cli.conftest import run

ROOT = Path(__file__).parents[2]
#: Runs a command in a process where some packages are not installed.
WITHOUT = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

blocked = sys.argv[1].split(",")
sys.meta_path.insert(0, Blocker())
from dpop_ext.cli import main
main(sys.argv[2:])
"""


def without(packages: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, packages, *arguments],
        check=False,
        capture_output=True,
        text=True,
    )


def test_the_help_names_every_command_and_loads_none() -> None:
    shown = without("sqlalchemy,requests,redis", "--help")
    assert shown.returncode == 0, shown.stderr
    for name, (_, text) in group.COMMANDS.items():
        assert f"  {name}" in shown.stdout
        assert text in shown.stdout


@pytest.mark.parametrize("name", group.COMMANDS)
def test_every_command_is_there_and_has_help(name: str) -> None:
    module = importlib.import_module(group.COMMANDS[name][0])
    assert isinstance(getattr(module, name.replace("-", "_")), click.Command)
    shown = run(name, "--help")
    assert shown.exit_code == 0
    assert shown.output.startswith(f"Usage: dpop-ext {name}")


def commands(
    group: click.Group, context: click.Context
) -> Iterator[tuple[str, click.Command]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield name, command
        if isinstance(command, click.Group):
            for inner, one in commands(command, context):
                yield f"{name} {inner}", one


def test_every_help_ends_with_an_example_and_the_exit_codes() -> None:
    found = dict(commands(group.dpop_ext, click.Context(group.dpop_ext)))
    assert {"secrets list", "nonces create", "login"} <= found.keys()
    for name, command in found.items():
        epilog = command.epilog or ""
        assert re.search(r"Examples?:\n", epilog), name
        assert "Exit code: 0 " in epilog, name
        for line in epilog.splitlines():
            assert len(line) <= 86, name
        called = f"dpop-ext {name.partition(' ')[0]}"
        assert called in epilog, name


def test_an_extra_that_is_missing_is_named() -> None:
    shown = without("sqlalchemy", "secrets", "list", "--database", "sqlite:///x")
    assert shown.returncode == 1
    assert shown.stderr == (
        "dpop-ext: the package sqlalchemy is missing: pip install 'dpop-ext[sql]'\n"
    )


def test_help_of_a_session_needs_no_extra() -> None:
    for command in ("login", "logout", "curl"):
        shown = without("keyring", command, "--help")
        assert shown.returncode == 0, shown.stderr
        assert f" {command} [OPTIONS]" in shown.stdout


def test_help_that_cannot_be_written_ends_in_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        shown = subprocess.run(
            [sys.executable, "-m", "dpop_ext", "--help"],
            check=False,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert shown.returncode == 1
    assert shown.stderr == "dpop-ext: it did not work: No space left on device\n"


@pytest.mark.parametrize("encoding", ["utf-8:strict", "latin-1"])
def test_what_a_terminal_cannot_show_is_escaped(tmp_path: Path, encoding: str) -> None:
    odd = os.fsdecode(b"\xff-\xe6\x97\xa5.json")
    bundle = FileBundle(tmp_path / odd)
    bundle.save({"access_token": "t", "token_type": "DPoP"})
    shown = subprocess.run(
        [sys.executable, "-m", "dpop_ext", "logout", "--force", "--session", odd],
        check=False,
        capture_output=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONIOENCODING": encoding, "PYTHONPATH": str(ROOT)},
    )
    assert shown.returncode == 0, shown.stderr
    assert b"Traceback" not in shown.stderr
    assert shown.stdout.startswith(b"the session is deleted: \\udcff-")


def test_an_error_that_is_not_of_the_system_is_not_hidden(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Libraries have such classes, and a line with None in it tells nothing."""

    def fail(*_: Any, **__: Any) -> None:
        raise requests.ConnectionError("no such host")

    monkeypatch.setattr(group.dpop_ext, "main", fail)
    with pytest.raises(requests.ConnectionError, match="no such host"):
        main([])


def test_without_click_the_extra_is_named() -> None:
    shown = without("click", "--help")
    assert shown.returncode == 1
    assert shown.stderr == (
        "dpop-ext: the package click is missing: pip install 'dpop-ext[cli]'\n"
    )


def test_a_wrong_command_line_ends_with_2() -> None:
    for arguments in (["nothing"], ["--nothing"], ["secrets", "nothing"]):
        shown = run(*arguments)
        assert shown.exit_code == 2, shown.output


def test_the_module_is_the_command() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "dpop_ext", "--help"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("Usage: dpop-ext [OPTIONS] COMMAND")


def test_an_error_of_the_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def secrets() -> None:
        raise StoreError

    monkeypatch.setattr("dpop_ext.cli.secrets.secrets", secrets)
    shown = run("secrets")
    assert shown.exit_code == 1
    assert shown.stderr == "dpop-ext: A storage backend is not available.\n"


def test_another_module_that_is_missing_is_no_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    commands = {"broken": ("dpop_ext.cli.no_such_module", "Broken.")}
    monkeypatch.setattr(group, "COMMANDS", commands)
    assert isinstance(run("broken").exception, ModuleNotFoundError)
