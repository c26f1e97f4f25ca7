"""Completion in the shell: the scripts, and what they are answered."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.cli.conftest import run
from tests.cli.test_group import without


def complete(line: str, **environment: str) -> list[str]:
    """Return kind and text of what fits where *line* ends."""
    environment["_DPOP_EXT_COMPLETE"] = "bash_complete"
    shown = run(**environment, COMP_WORDS=line, COMP_CWORD=str(line.count(" ")))
    assert shown.exit_code == 0, shown.output
    assert shown.stderr == ""
    return shown.stdout.splitlines()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_the_script_that_the_help_names(shell: str) -> None:
    (variable, value) = re.findall(
        rf"^ +{shell} .*?(\w+)=({shell}_\w+) dpop-ext",
        run("--help").stdout,
        re.MULTILINE,
    )[0]
    script = run(**{variable: value})
    assert script.exit_code == 0
    assert f"_DPOP_EXT_COMPLETE={shell}_complete" in script.stdout
    assert "dpop-ext" in script.stdout
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=script.stdout, text=True, check=True)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("dpop-ext lo", ["plain,login", "plain,logout"]),
        ("dpop-ext --ver", ["plain,--version"]),
        ("dpop-ext secrets re", ["plain,retire", "plain,revoke"]),
        ("dpop-ext nonces rotate --del", ["plain,--delay"]),
        ("dpop-ext login --profile f", ["plain,fapi2"]),
        ("dpop-ext curl --access-t", ["plain,--access-token"]),
        ("dpop-ext thumbprint cl", ["file,cl"]),
        ("dpop-ext curl --key cl", ["file,cl"]),
        ("dpop-ext curl --session cl", ["file,cl"]),
    ],
)
def test_what_fits_is_offered(line: str, found: list[str]) -> None:
    assert complete(line) == found


def test_a_missing_extra_is_no_error_of_completion(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("_DPOP_EXT_COMPLETE", "bash_complete")
    for line, found in (("dpop-ext ", 12), ("dpop-ext secrets l", 0)):
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(line.count(" ")))
        shown = without("sqlalchemy,requests,redis,keyring")
        assert (shown.returncode, shown.stderr) == (0, "")
        assert shown.stdout.count("plain,") == found
