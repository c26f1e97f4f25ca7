"""``dpop-ext secrets rotate | revoke | retire``: what is done, and what is refused."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy
from click.testing import Result

from dpop_ext.core.base64url import b64url_decode
from dpop_ext.errors import UnknownKeyError
from dpop_ext.integrations.sqla_secrets import SQLAudienceSecrets
from dpop_ext.resource_server import RowKeyring
from dpop_ext.stores.secret_rows_redis import RedisSecretRows
from dpop_ext.symmetric.rotation_plan import RotationPlan
from dpop_ext.symmetric.secret_bytes import SecretBytes
from tests import engines
from tests.cli.conftest import AUDIENCE, ISSUER, KEY, OTHER, run
from tests.patience import PATIENT

PLAN = RotationPlan()
THIRD = "https://third.example"
ONE = ("--audience", AUDIENCE)

Run = Callable[..., Result]


@pytest.fixture
def redis_url(redis: engines.RedisServer) -> str:
    return redis.url


@pytest.fixture
def operator(secrets: SQLAudienceSecrets, database: str, key_file: Path) -> Run:
    def operate(command: str, *arguments: str, answer: str | None = None) -> Result:
        return run(
            *("secrets", command, *arguments),
            answer=answer,
            DPOP_EXT_DATABASE=database,
            DPOP_EXT_KEY_FILE=str(key_file),
        )

    return operate


def rotated(database: str, *, ago: int) -> SQLAudienceSecrets:
    """The secrets of a further audience, which were rotated some time ago."""
    engine = sqlalchemy.create_engine(database)
    secrets = SQLAudienceSecrets(
        engine, KEY, issuer=ISSUER, clock=lambda: time.time() - ago
    )
    secrets.register(THIRD, PLAN, at_once=True)
    secrets.rotate(THIRD)
    return SQLAudienceSecrets(engine, KEY, issuer=ISSUER)


def seen(secrets: SQLAudienceSecrets, audience: str = AUDIENCE) -> list[str]:
    return [entry.state for entry in secrets.peek(audience)]


def test_rotate_publishes_a_version_and_says_when_it_takes_over(
    operator: Run, secrets: SQLAudienceSecrets
) -> None:
    shown = operator("rotate", *ONE)
    assert shown.exit_code == 0, shown.output
    assert f"{AUDIENCE}: version 2 is pending; it takes over in 12m" in shown.output
    assert seen(secrets) == ["active", "pending"]
    assert seen(secrets, OTHER) == ["pending"]


def test_rotate_refuses_what_would_break_the_arithmetic(
    operator: Run, secrets: SQLAudienceSecrets
) -> None:
    operator("rotate", *ONE)
    shown = operator("rotate", *ONE)
    assert shown.exit_code == 1
    assert "version 2 is pending already; it takes over in" in shown.stderr
    assert seen(secrets) == ["active", "pending"]


def test_rotate_without_an_audience_is_for_all(
    operator: Run, secrets: SQLAudienceSecrets
) -> None:
    secrets.revoke(OTHER, 1)
    shown = operator("rotate", "--json")
    (made,) = json.loads(shown.stdout)
    assert made.pop("not_before") > time.time()
    assert made == {"audience": AUDIENCE, "version": 2, "state": "pending"}
    assert seen(secrets) == ["active", "pending"]
    assert shown.exit_code == 1
    assert f"{OTHER}: version 2 is pending already" in shown.stderr
    # Each refusal has a line of its own.
    shown = operator("rotate", "--json")
    assert (shown.exit_code, json.loads(shown.stdout)) == (1, [])
    first, second = shown.stderr.splitlines()
    assert first.startswith(f"dpop-ext: {AUDIENCE}: version 2 is pending already")
    assert second.startswith(f"{OTHER}: version 2 is pending already")


def test_revoke_asks_first(operator: Run, secrets: SQLAudienceSecrets) -> None:
    shown = operator("revoke", "1", *ONE, answer="n\n")
    assert shown.exit_code == 1
    # A program that reads what was done does not read a question.
    assert f"Revoke version 1 of {AUDIENCE}? [y/N]" in shown.stderr
    assert shown.stdout == ""
    assert seen(secrets) == ["active"]
    shown = operator("revoke", "1", *ONE, answer="y\n")
    assert shown.exit_code == 0, shown.output
    assert seen(secrets) == ["revoked", "pending"]


def test_revoke_says_what_it_costs(operator: Run) -> None:
    shown = operator("revoke", "1", *ONE, "--yes")
    assert shown.exit_code == 0, shown.output
    assert f"{AUDIENCE}: version 1 is revoked" in shown.output
    assert f"{AUDIENCE}: version 2 is pending; keys are issued again" in shown.output
    assert "The resource server knows in 5m 30s at the latest." in shown.output


def test_revoke_can_end_all_that_is_live(
    operator: Run, secrets: SQLAudienceSecrets
) -> None:
    secrets.rotate(AUDIENCE)
    shown = operator("revoke", "--all", *ONE, "--yes")
    assert shown.exit_code == 0, shown.output
    assert seen(secrets) == ["revoked", "revoked", "pending"]


def test_revoke_of_all_needs_one_that_is_live(
    operator: Run, database: str, secrets: SQLAudienceSecrets
) -> None:
    rotated(database, ago=10 * PLAN.active_period)
    shown = operator("revoke", "--all", "--audience", THIRD, "--yes")
    assert shown.exit_code == 1
    assert shown.stderr == f"dpop-ext: {THIRD}: no version is live\n"


@pytest.mark.parametrize(
    "arguments", [[*ONE], ["1", "--all", *ONE], ["1"], ["0", *ONE], ["x", *ONE]]
)
def test_revoke_needs_to_know_what(
    operator: Run, secrets: SQLAudienceSecrets, arguments: list[str]
) -> None:
    shown = operator("revoke", *arguments, "--yes")
    assert shown.exit_code == 2
    assert seen(secrets) == ["active"]


def test_what_has_ended_or_never_was_is_refused(operator: Run) -> None:
    operator("revoke", "1", *ONE, "--yes")
    for version, reason in ("1", "is revoked already"), ("9", "there is no version 9"):
        shown = operator("revoke", version, *ONE, "--yes")
        assert shown.exit_code == 1
        assert reason in shown.stderr


def test_retire_refuses_a_version_that_tokens_may_need(
    operator: Run, database: str
) -> None:
    shown = operator("retire", "1", *ONE)
    assert shown.exit_code == 1
    assert "version 1 is active: rotate first" in shown.stderr
    wait = PLAN.pending_period + PLAN.verify_period - 30
    secrets = rotated(database, ago=wait)
    shown = operator("retire", "1", "--audience", THIRD)
    assert shown.exit_code == 1
    assert "may be good for another" in shown.stderr
    assert seen(secrets, THIRD) == ["verify_only", "active"]


def test_retire_erases_a_version_that_no_token_needs(
    operator: Run, database: str
) -> None:
    secrets = rotated(database, ago=PLAN.pending_period + PLAN.verify_period)
    shown = operator("retire", "1", "--audience", THIRD)
    assert shown.exit_code == 0, shown.output
    assert shown.output == f"{THIRD}: version 1 is retired\n"
    assert seen(secrets, THIRD) == ["retired", "active"]


def test_a_resource_server_reads_what_was_published(
    operator: Run, secrets: SQLAudienceSecrets, redis_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "row.key"
    shown = operator("export-key", str(file), *ONE)
    assert shown.exit_code == 0, shown.output
    assert shown.output == f"{AUDIENCE}: the key of its rows is in {file}\n"
    assert file.stat().st_mode & 0o777 == 0o600
    key = SecretBytes(b64url_decode(file.read_text().strip()))
    assert key != KEY
    shown = operator("publish", "--redis", redis_url)
    assert shown.output == f"{AUDIENCE}: copied\n{OTHER}: copied\n"
    (entry,) = secrets.peek(AUDIENCE)
    rows = RedisSecretRows.from_url(
        redis_url, issuer=ISSUER, audience=AUDIENCE, **PATIENT
    )
    now = int(time.time())
    keyring = RowKeyring(rows, key, issuer=ISSUER, audience=AUDIENCE)
    assert keyring.load().find(1, now=now).secret == entry.secret
    other_rows = RedisSecretRows.from_url(
        redis_url, issuer=ISSUER, audience=OTHER, **PATIENT
    )
    other = RowKeyring(other_rows, key, issuer=ISSUER, audience=OTHER)
    with pytest.raises(UnknownKeyError):
        other.load().find(1, now=now)
    rows.close()
    other_rows.close()


def test_what_is_published_is_what_is_due(
    operator: Run, database: str, redis_url: str
) -> None:
    rotated(database, ago=PLAN.pending_period + PLAN.verify_period)
    operator("publish", "--redis", redis_url)
    rows = RedisSecretRows.from_url(redis_url, issuer=ISSUER, audience=THIRD, **PATIENT)
    assert [row.state for row in rows.read()] == ["active", "verify_only"]
    rows.close()


def test_a_key_or_a_copy_that_goes_nowhere_is_refused(
    operator: Run, tmp_path: Path
) -> None:
    file = tmp_path / "no" / "where"
    shown = operator("export-key", str(file), *ONE)
    assert shown.exit_code == 1
    assert shown.stderr == f"dpop-ext: {file}: No such file or directory\n"
    shown = operator("publish", "--redis", "unix:///nowhere/redis.sock")
    assert shown.exit_code == 1
    assert "--redis: no answer" in shown.stderr
