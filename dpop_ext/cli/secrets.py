"""``dpop-ext secrets``: what an operator does with derivation secrets."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from dpop_ext.cli.group import Refusal
from dpop_ext.cli.output import duration, json_option, print_json, print_table, utc
from dpop_ext.cli.secrets_database import KEY_VARIABLE, open_secrets
from dpop_ext.integrations.sqla_secrets import SQLAudienceSecrets
from dpop_ext.symmetric.rotation import NextChange, RotationError, changes_ahead
from dpop_ext.symmetric.secret_ring import AudienceSecret

T = TypeVar("T")

_GLOSSARY = """\
\b
Glossary
  derivation secret  32 random bytes that an authorization server shares with one
                     resource server; both derive the keys of symmetric proofs from
                     it. The first sketch of the profile called it the "salt".
  version            the number of a secret; tokens name it, as "v" in cnf.dsk.
  pending            published to the resource server, not issued with yet.
  active             keys are issued with it.
  verify_only        its keys are good until the last token with one has ended.
  retired, revoked   erased, in time or at once.
"""

_COLOURS = {
    "pending": "yellow",
    "active": "green",
    "verify_only": "cyan",
    "retired": "bright_black",
    "revoked": "red",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The secrets that a command is about."""

    secrets: SQLAudienceSecrets
    #: At least one.
    audiences: Sequence[str]

    def one(self) -> str:
        """Return the only audience.

        :raises UsageError: there are more.
        """
        if len(self.audiences) > 1:
            raise click.UsageError("There are several audiences: name one, --audience.")
        return self.audiences[0]

    def refusing(
        self, audience: str, change: Callable[[SQLAudienceSecrets, str], T]
    ) -> T:
        """Return the result of *change*.

        :raises Refusal: it would break the schedule.
        """
        try:
            return change(self.secrets, audience)
        except RotationError as error:
            raise Refusal(f"{audience}: {error}") from error


def target_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say which secrets, and pass a :class:`Target`."""

    @functools.wraps(command)
    def with_target(
        *,
        database: str,
        key_file: Path | None,
        issuer: str | None,
        audience: str | None,
        **options: Any,
    ) -> None:
        table = open_secrets(database, key_file=key_file, issuer=issuer)
        audiences = table.audiences()
        if audience is not None:
            if audience not in audiences:
                raise Refusal("--audience: it has no derivation secrets")
            audiences = [audience]
        command(Target(secrets=table, audiences=audiences), **options)

    decorators = (
        click.option(
            "--database",
            required=True,
            envvar="DPOP_EXT_DATABASE",
            metavar="URL",
            help="SQLAlchemy URL of the authorization server's database "
            "[env: DPOP_EXT_DATABASE].",
        ),
        click.option(
            "--key-file",
            type=click.Path(path_type=Path),
            envvar="DPOP_EXT_KEY_FILE",
            metavar="FILE",
            help="Key of the rows: 32 bytes in base64url, mode 0600 [env: "
            f"DPOP_EXT_KEY_FILE, or {KEY_VARIABLE} with the key itself].",
        ),
        click.option(
            "--issuer", metavar="URL", help="Default: the only one in the database."
        ),
        click.option(
            "--audience", metavar="URL", help="Default: all, or the only one."
        ),
    )
    for decorator in reversed(decorators):
        with_target = decorator(with_target)
    return with_target


@click.group(epilog=_GLOSSARY)
def secrets() -> None:
    """Look after the derivation secrets of symmetric proofs (their "salt")."""


@secrets.command("list")
@target_options
@json_option
def list_versions(target: Target, *, as_json: bool) -> None:
    """Show the versions, their states and times, and what happens next."""
    now = int(time.time())
    found = [
        _describe(target.secrets, audience, now=now) for audience in target.audiences
    ]
    if as_json:
        print_json(found)
        return
    for number, one in enumerate(found):
        if number:
            click.echo()
        _print(one, now=now)


def _describe(
    secrets: SQLAudienceSecrets, audience: str, *, now: int
) -> dict[str, Any]:
    """Return what is known about the secrets of an audience, without the secrets."""
    plan, entries = secrets.plan(audience), secrets.peek(audience)
    if plan is None:
        raise Refusal("the audience has no derivation secrets in this database")
    ahead = changes_ahead(entries, plan, now=now)
    return {
        "issuer": secrets.issuer,
        "audience": audience,
        "plan": dataclasses.asdict(plan),
        "versions": [_version(entry, ahead) for entry in entries],
        "next_version_at": next(
            change.at for change in ahead if change.version is None
        ),
    }


def _version(entry: AudienceSecret, ahead: Sequence[NextChange]) -> dict[str, Any]:
    following = [change for change in ahead if change.version == entry.version]
    return {
        "version": entry.version,
        "state": entry.state,
        "not_before": entry.not_before,
        "expires_at": entry.expires_at,
        "next_state": following[0].state if following else None,
        "next_at": following[0].at if following else None,
    }


def _print(one: dict[str, Any], *, now: int) -> None:
    click.echo(click.style(one["audience"], bold=True) + f"  of {one['issuer']}")
    rows = []
    for version in one["versions"]:
        following = ""
        if version["next_state"] is not None:
            wait = duration(max(version["next_at"] - now, 0))
            following = f"{version['next_state']} in {wait}"
        state = version["state"]
        ended = version["next_state"] is None
        rows.append(
            [
                str(version["version"]),
                click.style(state, fg=_COLOURS[state]),
                "-" if ended else utc(version["not_before"]),
                "-" if ended else utc(version["expires_at"]),
                following,
            ]
        )
    print_table(["VERSION", "STATE", "ISSUED FROM", "GOOD UNTIL", "NEXT"], rows)
    wait = duration(one["next_version_at"] - now)
    click.echo(f"The next version is made in {wait}, unless you rotate before.")


@secrets.command()
@target_options
def rotate(target: Target) -> None:
    """Publish a new version, which takes over when every resource server has it.

    For all audiences, unless one is named. Versions are also rotated by themselves.
    """
    refusals = []
    for audience in target.audiences:
        try:
            made = target.refusing(audience, SQLAudienceSecrets.rotate)
        except Refusal as refusal:
            refusals.append(refusal.message)
            continue
        wait = duration(made.not_before - int(time.time()))
        click.echo(
            f"{audience}: version {made.version} is pending; it takes over in {wait}, "
            f"at {utc(made.not_before)}"
        )
    if refusals:
        raise Refusal("\n".join(refusals))


@secrets.command()
@target_options
@click.argument("versions", nargs=-1, type=click.IntRange(min=1))
@click.option("--all", "everything", is_flag=True, help="Every version that is live.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def revoke(
    target: Target, versions: Sequence[int], *, everything: bool, yes: bool
) -> None:
    """Erase versions at once, because somebody may have got hold of them.

    Their keys are refused from the next poll of the resource server on. No token is
    lost: clients go on with asymmetric proofs, and get keys with a new version once
    that has been pending.
    """
    audience = target.one()
    if bool(versions) == everything:
        raise click.UsageError("Name the versions, or --all.")
    if everything:
        found = target.secrets.peek(audience)
        versions = [entry.version for entry in found if entry.secret is not None]
    named = ", ".join(map(str, versions))
    if not yes:
        click.confirm(f"Revoke version {named} of {audience}?", abort=True, err=True)
    for version in versions:
        revoke_one = functools.partial(SQLAudienceSecrets.revoke, version=version)
        made = target.refusing(audience, revoke_one)
        click.echo(f"{audience}: version {version} is revoked")
        if made is not None:
            click.echo(
                f"{audience}: version {made.version} is pending; keys are issued again "
                f"from {utc(made.not_before)} on"
            )
    plan = target.secrets.plan(audience)
    if plan is not None:
        poll = duration(plan.poll + plan.poll // 10)
        click.echo(f"The resource server knows in {poll} at the latest.")


@secrets.command()
@target_options
@click.argument("versions", nargs=-1, required=True, type=click.IntRange(min=1))
def retire(target: Target, versions: Sequence[int]) -> None:
    """Erase versions that no token needs any more, before their time is up."""
    audience = target.one()
    for version in versions:
        retire_one = functools.partial(SQLAudienceSecrets.retire, version=version)
        target.refusing(audience, retire_one)
        click.echo(f"{audience}: version {version} is retired")
