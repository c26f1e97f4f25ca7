"""``dpop-ext nonces``: the file of nonce secrets of a server (RFC 9449 section 8)."""

from __future__ import annotations

import time
from pathlib import Path

import click

from dpop_ext.cli.closing import closing
from dpop_ext.cli.group import Refusal
from dpop_ext.cli.output import json_option, print_json, utc
from dpop_ext.cli.parameters import FILE
from dpop_ext.errors import StoreError
from dpop_ext.stores.nonce_file import DELAY, create_nonce_file, rotate_nonce_file

_FILE = click.argument("file", type=FILE)


@click.group(epilog=closing("dpop-ext nonces create nonces.json"))
def nonces() -> None:
    """Look after the nonce secrets that the processes of a server share."""


@nonces.command(epilog=closing("dpop-ext nonces create nonces.json"))
@_FILE
@json_option
def create(file: Path, *, as_json: bool) -> None:
    """Make FILE with one secret, mode 0600, unless there is one."""
    if file.exists():
        raise Refusal("the file exists; dpop-ext nonces rotate adds a secret")
    try:
        create_nonce_file(file)
    except OSError as error:
        raise Refusal(f"the file cannot be written: {error.strerror}") from error
    if as_json:
        print_json({"file": str(file)})
    else:
        click.echo("a nonce secret was made")


@nonces.command(epilog=closing("dpop-ext nonces rotate nonces.json --delay 120"))
@_FILE
@click.option(
    "--delay",
    type=click.IntRange(0, 86_400),
    default=DELAY,
    show_default=True,
    metavar="SECONDS",
    help="How long every process has to read the file, until the new secret is used.",
)
@json_option
def rotate(file: Path, *, delay: int, as_json: bool) -> None:
    """Add a secret to FILE. Nonces of the earlier ones stay good for their time."""
    try:
        begins_at = rotate_nonce_file(file, now=int(time.time()), delay=delay)
    except (OSError, StoreError) as error:
        cause = error.__cause__ or error
        if isinstance(cause, FileNotFoundError):
            advice = "dpop-ext nonces create makes one"
            raise Refusal(f"{file}: there is no such file; {advice}") from error
        if isinstance(error, OSError):
            # A lock that somebody holds is no error of the system.
            reason = error.strerror or str(error)
            raise Refusal(f"the file cannot be written: {reason}") from error
        if isinstance(cause, OSError):
            raise Refusal(f"{file}: {cause.strerror or cause}") from error
        advice = "dpop-ext nonces create makes one under another name"
        raise Refusal(f"{file}: no file of nonce secrets; {advice}") from error
    if as_json:
        print_json({"file": str(file), "begins_at": begins_at})
    else:
        click.echo(f"a new secret makes nonces from {utc(begins_at)}")
