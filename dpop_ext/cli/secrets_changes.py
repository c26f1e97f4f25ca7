"""``dpop-ext secrets rotate | revoke | retire``, within the schedule."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from typing import Any

import click

from dpop_ext.cli.closing import closing
from dpop_ext.cli.group import Refusal
from dpop_ext.cli.output import duration, json_option, print_json, utc
from dpop_ext.cli.secrets_target import Target, target_options
from dpop_ext.integrations.sqla_secrets import SQLAudienceSecrets
from dpop_ext.symmetric.secret_ring import AudienceSecret


@click.command(
    short_help="Publish a new version.",
    epilog=closing("dpop-ext secrets rotate --audience https://api.example"),
)
@target_options
@json_option
def rotate(target: Target, *, as_json: bool) -> None:
    """Publish a new version, which takes over when every resource server has it.

    For all audiences, unless one is named. Versions are also rotated by themselves.
    """
    refusals, done = [], []
    for audience in target.audiences:
        try:
            made = target.refusing(audience, SQLAudienceSecrets.rotate)
        except Refusal as refusal:
            refusals.append(refusal.message)
            continue
        done.append(_made(audience, made))
        if as_json:
            continue
        wait = duration(made.not_before - int(time.time()))
        click.echo(
            f"{audience}: version {made.version} is pending; it takes over in {wait}, "
            f"at {utc(made.not_before)}"
        )
    if as_json:
        print_json(done)
    if refusals:
        raise Refusal("\n".join(refusals))


@click.command(
    short_help="Erase versions at once: one may have leaked.",
    epilog=closing("dpop-ext secrets revoke 7 --audience https://api.example"),
)
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
        if not versions:
            raise Refusal(f"{audience}: no version is live")
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


@click.command(
    short_help="Erase versions that no token needs.",
    epilog=closing("dpop-ext secrets retire 7 --audience https://api.example"),
)
@target_options
@click.argument("versions", nargs=-1, required=True, type=click.IntRange(min=1))
def retire(target: Target, versions: Sequence[int]) -> None:
    """Erase versions that no token needs any more, before their time is up."""
    audience = target.one()
    for version in versions:
        retire_one = functools.partial(SQLAudienceSecrets.retire, version=version)
        target.refusing(audience, retire_one)
        click.echo(f"{audience}: version {version} is retired")


def _made(audience: str, entry: AudienceSecret) -> dict[str, Any]:
    return {
        "audience": audience,
        "version": entry.version,
        "state": entry.state,
        "not_before": entry.not_before,
    }
