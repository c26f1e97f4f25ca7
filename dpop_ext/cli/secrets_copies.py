"""``dpop-ext secrets export-key | publish``: sealed rows for resource servers."""

from __future__ import annotations

from pathlib import Path

import click

from dpop_ext.cli.closing import closing
from dpop_ext.cli.group import Refusal
from dpop_ext.cli.parameters import FILE
from dpop_ext.cli.secrets_target import Target, target_options
from dpop_ext.core.base64url import b64url_encode
from dpop_ext.errors import StoreError
from dpop_ext.stores.private_file import write_private
from dpop_ext.stores.secret_rows import SQLSecretRows
from dpop_ext.stores.secret_rows_redis import RedisSecretRows
from dpop_ext.symmetric.sealed_row import audience_row_key


@click.command(
    "export-key",
    short_help="The key of one audience's rows.",
    epilog=closing(
        "dpop-ext secrets export-key rows.key --audience https://rs.example"
    ),
)
@target_options
@click.argument("file", type=FILE)
def export_key(target: Target, file: Path) -> None:
    """Write the key with which one resource server opens its rows into FILE.

    For a resource server that reads them from this database or from Redis. The key
    opens the rows of its audience and no others. Carry it there by safe means.
    """
    audience = target.one()
    key = audience_row_key(target.key, issuer=target.secrets.issuer, audience=audience)
    try:
        write_private(file, b64url_encode(key.reveal()).encode() + b"\n")
    except OSError as error:
        raise Refusal(f"{file}: {error.strerror or error}") from error
    click.echo(f"{audience}: the key of its rows is in {file}")


@click.command(
    short_help="Copy the sealed rows to Redis.",
    epilog=closing("dpop-ext secrets publish --redis rediss://redis.example/0"),
)
@target_options
@click.option(
    "--redis",
    required=True,
    envvar="DPOP_EXT_REDIS",
    metavar="URL",
    help="Where the rows go: redis://, rediss:// or unix:// [env: DPOP_EXT_REDIS].",
)
def publish(target: Target, redis: str) -> None:
    """Copy the sealed rows to Redis, where resource servers read them.

    To be called after each change, and every minute: versions are also rotated by
    themselves, and a copy is gone after half an hour, so that nobody goes on with an
    old one. An older copy replaces no newer one.
    """
    for audience in target.audiences:
        # What is due is done before it is copied.
        target.secrets.load(audience)
        issuer = target.secrets.issuer
        rows = SQLSecretRows(target.engine, issuer=issuer, audience=audience)
        try:
            copy = RedisSecretRows.from_url(redis, issuer=issuer, audience=audience)
        except ValueError as error:
            # Its text can hold a part of the password.
            raise Refusal(
                "--redis: redis://, rediss:// or unix:// is needed, and what is "
                "special is %-encoded"
            ) from error
        try:
            written = copy.write(rows.read())
        except StoreError as error:
            raise Refusal(
                "--redis: no answer; is the URL right, and the server up?"
            ) from error
        finally:
            copy.close()
        click.echo(f"{audience}: {'copied' if written else 'a newer copy is there'}")
