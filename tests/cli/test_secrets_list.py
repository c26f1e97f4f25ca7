"""``dpop-ext secrets list``: the versions, their states, and what happens next."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import sqlalchemy
from click import unstyle
from click.testing import CliRunner
from sqlalchemy.exc import OperationalError

from dpop_ext.cli.group import dpop_ext
from dpop_ext.cli.secrets_database import open_database
from dpop_ext.integrations.sqla_secrets import SQLAudienceSecrets
from dpop_ext.symmetric.rotation_plan import RotationPlan
from tests.cli.conftest import AUDIENCE, ISSUER, KEY, OTHER, run

PLAN = RotationPlan()


def test_the_table_says_what_there_is_and_what_happens(
    secrets: SQLAudienceSecrets, database: str, key_file: Path
) -> None:
    secrets.rotate(AUDIENCE)
    shown = run("secrets", "list", "--database", database, "--key-file", str(key_file))
    assert shown.exit_code == 0, shown.output
    lines = shown.output.splitlines()
    assert lines[0] == f"{AUDIENCE}  of {ISSUER}"
    columns = ["VERSION", "STATE", "ISSUED FROM", "GOOD UNTIL", "NEXT"]
    assert re.split("  +", lines[1]) == columns
    date = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ"
    assert re.fullmatch(
        rf"1 +active +{date}  {date}  verify_only in 12m( \d+s)?", lines[2]
    )
    assert re.fullmatch(rf"2 +pending +{date}  {date}  active in 12m( \d+s)?", lines[3])
    assert re.search("The next version is made in (1d|23h)", lines[4])
    assert lines[6] == f"{OTHER}  of {ISSUER}"
    assert "\x1b" not in shown.output


def test_states_have_colours_on_a_terminal_unless_they_are_not_wanted(
    secrets: SQLAudienceSecrets, database: str, key_file: Path
) -> None:
    arguments = ["secrets", "list", "--database", database, "--key-file", str(key_file)]

    def shown(**environment: str) -> str:
        runner = CliRunner(env=environment)
        return runner.invoke(dpop_ext, arguments, color=True).output

    plain, coloured = shown(NO_COLOR="1"), shown()
    assert "\x1b[32mactive" in coloured
    assert "\x1b" not in plain
    # The columns are where they are without colours.
    lines = [text.splitlines()[2].split("Z")[0] for text in (unstyle(coloured), plain)]
    assert lines[0] == lines[1]


def test_json_has_every_number(
    secrets: SQLAudienceSecrets, database: str, key_file: Path
) -> None:
    shown = run(
        *("secrets", "list", "--database", database, "--audience", AUDIENCE, "--json"),
        DPOP_EXT_KEY_FILE=str(key_file),
    )
    (found,) = json.loads(shown.output)
    entry = next(iter(secrets.peek(AUDIENCE)))
    assert found == {
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "plan": {
            "poll": 300,
            "fetch_timeout": 10,
            "token_lifetime": 600,
            "active_period": 86_400,
            "pending_period": 730,
            "verify_period": 720,
        },
        "versions": [
            {
                "version": 1,
                "state": "active",
                "not_before": entry.not_before,
                "expires_at": entry.not_before + 86_400 + 720,
                "next_state": "verify_only",
                "next_at": entry.not_before + 86_400,
            }
        ],
        "next_version_at": entry.not_before + 86_400 - 730,
    }


def test_no_secret_is_shown(
    secrets: SQLAudienceSecrets, database: str, key_file: Path
) -> None:
    (entry,) = secrets.peek(AUDIENCE)
    assert entry.secret is not None
    for options in [], ["--json"]:
        arguments = ["--database", database, "--key-file", str(key_file), *options]
        shown = run("secrets", "list", *arguments)
        assert entry.secret.reveal().hex() not in shown.output
        assert "sha256" not in shown.output


def test_the_key_can_come_from_the_environment(
    secrets: SQLAudienceSecrets, database: str, key_file: Path
) -> None:
    shown = run(
        *("secrets", "list"),
        DPOP_EXT_DATABASE=database,
        DPOP_EXT_DATABASE_KEY=key_file.read_text(),
    )
    assert shown.exit_code == 0, shown.output


@pytest.mark.parametrize(
    ("content", "mode", "reason"),
    [
        ("A" * 43, 0o600, "cannot be decrypted: it was sealed with another key"),
        ("A" * 42, 0o600, "32 random bytes in base64url"),
        ("A" * 39, 0o600, "32 random bytes in base64url"),
        ("not base64url!", 0o600, "32 random bytes in base64url"),
        ("+" + "A" * 42, 0o600, "32 random bytes in base64url"),
        ("\xe9" * 43, 0o600, "32 random bytes in base64url"),
        ("A" * 42 + "B", 0o600, "32 random bytes in base64url"),
        ("A" * 43, 0o640, ": The file must have mode 0600 or less\n"),
    ],
)
def test_a_key_that_is_none_is_refused(
    secrets: SQLAudienceSecrets,
    database: str,
    key_file: Path,
    content: str,
    mode: int,
    reason: str,
) -> None:
    key_file.write_text(content)
    key_file.chmod(mode)
    shown = run("secrets", "list", "--database", database, "--key-file", str(key_file))
    assert shown.exit_code == 1
    assert reason in shown.stderr
    assert len(shown.stderr.splitlines()) == 1
    assert content not in shown.output


def test_a_version_that_has_ended_has_no_times(
    secrets: SQLAudienceSecrets, database: str, key_file: Path
) -> None:
    secrets.revoke(AUDIENCE, 1)
    shown = run("secrets", "list", "--database", database, "--key-file", str(key_file))
    assert shown.output.splitlines()[2].split() == ["1", "revoked", "-", "-"]


def test_a_refusal_says_where_the_key_was(
    secrets: SQLAudienceSecrets, database: str, key_file: Path
) -> None:
    key_file.write_text("none")
    shown = run("secrets", "list", "--database", database, "--key-file", str(key_file))
    assert shown.stderr.startswith(f"dpop-ext: {key_file}: ")
    given = {"DPOP_EXT_DATABASE": database, "DPOP_EXT_DATABASE_KEY": "none"}
    shown = run("secrets", "list", **given)
    assert shown.stderr.startswith("dpop-ext: DPOP_EXT_DATABASE_KEY: ")


def test_a_database_without_secrets_is_named(database: str, key_file: Path) -> None:
    engine = sqlalchemy.create_engine(database)
    SQLAudienceSecrets(engine, KEY, issuer=ISSUER).create_schema()
    engine.dispose()
    for issuer in (), ("--issuer", ISSUER):
        options = ("--database", database, "--key-file", str(key_file), *issuer)
        shown = run("secrets", "list", *options)
        expected = "dpop-ext: --database: there are no derivation secrets in it\n"
        assert (shown.exit_code, shown.stderr) == (1, expected)


def test_an_error_of_the_database_does_not_hold_what_a_statement_was_given(
    secrets: SQLAudienceSecrets, database: str
) -> None:
    engine = open_database(database)
    statement = sqlalchemy.text("SELECT none FROM dpop_audience WHERE x = :value")
    with engine.connect() as connection, pytest.raises(OperationalError) as caught:
        connection.execute(statement, {"value": "a-secret"})
    engine.dispose()
    assert "a-secret" not in str(caught.value)


def test_what_cannot_be_found_is_named(
    secrets: SQLAudienceSecrets, database: str, key_file: Path, tmp_path: Path
) -> None:
    empty = f"sqlite:///{tmp_path}/empty.sqlite3"
    (tmp_path / "empty.sqlite3").touch()
    key = ["--key-file", str(key_file)]
    for arguments, reason in (
        (["--database", "sqlite:///nowhere", *key], "there is no such file"),
        (["--database", "nonsense", *key], "not a URL of a database"),
        (["--database", empty, *key], "no such table: dpop_audience; is it that of"),
        (["--database", database], "the key is missing"),
        (
            ["--database", database, "--key-file", "nowhere"],
            "dpop-ext: nowhere: No such file or directory\n",
        ),
        (["--database", database, *key, "--issuer", "https://x.example"], "--issuer"),
        (["--database", database, *key, "--audience", "https://x"], "--audience"),
    ):
        shown = run("secrets", "list", *arguments)
        assert shown.exit_code == 1, arguments
        assert reason in shown.stderr
        assert len(shown.stderr.splitlines()) == 1
    assert not Path("nowhere").exists()


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        (Exception("\x1b]0;x\x07 went away\nmore"), "\\x1b]0;x\\x07 went away"),
        (Exception(""), "OperationalError"),
    ],
)
def test_what_the_server_of_the_database_says_is_one_line(
    database: str,
    secrets: SQLAudienceSecrets,
    monkeypatch: pytest.MonkeyPatch,
    key_file: Path,
    reason: Exception,
    shown: str,
) -> None:
    def fail(_: object) -> None:
        raise OperationalError("SELECT", None, reason)

    monkeypatch.setattr("dpop_ext.cli.secrets_database.find_issuers", fail)
    options = ("--database", database, "--key-file", str(key_file))
    result = run("secrets", "list", *options)
    assert (result.exit_code, result.stderr) == (1, f"dpop-ext: --database: {shown}\n")


def test_of_several_issuers_one_must_be_named(
    secrets: SQLAudienceSecrets, database: str, key_file: Path
) -> None:
    engine = sqlalchemy.create_engine(database)
    second = SQLAudienceSecrets(engine, KEY, issuer="https://two.example")
    second.register(AUDIENCE, PLAN)
    engine.dispose()
    arguments = ["--database", database, "--key-file", str(key_file)]
    shown = run("secrets", "list", *arguments)
    assert shown.exit_code == 1
    assert f"name one of {ISSUER}, https://two.example" in shown.stderr
    shown = run("secrets", "list", *arguments, "--issuer", "https://two.example")
    assert shown.output.startswith(f"{AUDIENCE}  of https://two.example")


def test_the_glossary_has_the_salt_of_the_first_sketch() -> None:
    shown = run("secrets", "--help")
    assert 'called it the "salt"' in " ".join(shown.output.split())
