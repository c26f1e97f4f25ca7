"""The examples of docs/cli.md: what they print, and that their options are there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from dpop_ext.cli import group
from dpop_ext.integrations.sqla_secrets import SQLAudienceSecrets
from tests.cli import conftest
from tests.cli.login_world import LoginServer, Person
from tests.conftest import Clock
from tests.documents.regions import DOCS
from tests.integrations.scripted_server import Answer, running_server

TEXT = (DOCS / "cli.md").read_text("utf-8")
#: What differs from run to run.
VARYING = (
    r"(?<=\"jti\": \")[^\"]+",
    r"(?<=jti        ')[^']+",
    r"\b\d+ s ago",
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ",
    r"eyJ[\w.-]+",
    r"[\w-]{43}",
    r"\b\d+[dhms]( \d+[dhms])?\b",
    r"\b\d{10}\b",
)
#: These get to the servers; the others only talk of them.
SENDING = ("curl", "doctor", "login", "logout")

# Fixtures of theirs.
database, key_file, secrets = conftest.database, conftest.key_file, conftest.secrets
server, person = conftest.server, conftest.person


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


def masked(text: str) -> str:
    for pattern in VARYING:
        text = re.sub(pattern, "~", text)
    return text


class Shell:
    """Runs lines of the page at servers of this machine."""

    def __init__(self, places: dict[str, str]) -> None:
        self._places = places
        self._variables: dict[str, str] = {}

    def run(self, line: str) -> str:
        """Return what is printed."""
        if set_to := re.fullmatch(r"export (\w+)=(.*)", line):
            name, value = set_to.groups()
            if inner := re.fullmatch(r"\$\((.*)\)", value):
                value = self.run(inner[1]).strip()
            self._variables[name] = value
            return ""
        for name, value in self._variables.items():
            line = line.replace(f'"${name}"', value)
        program, *arguments = shlex.split(line)
        assert program == "dpop-ext"
        places = self._places if arguments[0] in SENDING else {}
        for name, place in places.items():
            arguments = [argument.replace(name, place) for argument in arguments]
        shown = conftest.run(*arguments, **self._variables)
        assert not shown.exit_code or arguments[0] == "explain", shown.output
        output = shown.stdout
        for name, place in places.items():
            output = output.replace(place, name)
        return output


@pytest.fixture
def shell(
    server: LoginServer,
    person: Person,
    secrets: SQLAudienceSecrets,
    key_file: Path,
    tmp_path: Path,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Shell]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "token").write_text("the.access.token\n")
    (tmp_path / "order.json").write_text('{"item": 1}')
    assert server.metadata is not None
    server.metadata["revocation_endpoint"] = f"{server.issuer}/revoke"
    server.answers["/revoke"] = Answer()
    with running_server() as api:
        server.resource = api.url
        accounts = Answer(body=b'{"accounts": [42]}\n')
        json_field = ("Content-Type", "application/json")
        ordered = Answer(201, [("Date", "today"), json_field], b'{"order": 7}\n')
        api.script = lambda request: (
            ordered if request.target == "/orders" else accounts
        )
        yield Shell(
            {"https://as.example": server.issuer, "https://api.example": api.url}
        )


def test_every_example_prints_what_the_page_says(shell: Shell) -> None:
    for block in blocks("console"):
        steps = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
        for step in steps:
            line, _, expected = step.partition("\n")
            assert masked(shell.run(line)) == masked(expected), line


def test_every_option_of_the_page_is_one_of_its_command() -> None:
    page = "".join(blocks("(?:sh|console)")).replace("\\\n", "")
    lines = re.findall(r"\bdpop-ext ([a-z][^\n`]*)", page)
    assert len(lines) > 20
    for line in lines:
        words = line.split()
        context = click.Context(group.dpop_ext)
        command: click.Command | None = group.dpop_ext
        while isinstance(command, click.Group):
            command = command.get_command(context, words.pop(0))
        assert command is not None, line
        known = {name for parameter in command.params for name in parameter.opts}
        given = {word for word in words if re.match(r"--\w", word)}
        assert given <= known, line


def test_every_command_is_on_the_page() -> None:
    for name in group.COMMANDS:
        assert re.search(rf"dpop-ext {name}\b", TEXT), name


def test_every_variable_that_a_command_reads_is_on_the_page() -> None:
    folder = Path(group.__file__).parent
    sources = "".join(path.read_text("utf-8") for path in folder.rglob("*.py"))
    for name in set(re.findall(r"\bDPOP_EXT_[A-Z_]+[A-Z]\b", sources)):
        assert f"`{name}`" in TEXT, name
