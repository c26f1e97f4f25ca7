"""``dpop-ext secrets list``: the versions, and what happens to them next."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import click

from dpop_ext.cli.closing import closing
from dpop_ext.cli.group import Refusal
from dpop_ext.cli.output import duration, json_option, print_json, print_table, utc
from dpop_ext.cli.secrets_target import Target, target_options
from dpop_ext.integrations.sqla_secrets import SQLAudienceSecrets
from dpop_ext.symmetric.rotation import NextChange, changes_ahead
from dpop_ext.symmetric.secret_ring import AudienceSecret

_COLOURS = {
    "pending": "yellow",
    "active": "green",
    "verify_only": "cyan",
    "retired": "bright_black",
    "revoked": "red",
}


@click.command(
    "list",
    short_help="Versions, states, times and what is next.",
    epilog=closing("dpop-ext secrets list --audience https://api.example --json"),
)
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
