"""``dpop-ext logout``: revoke the token of a session, and delete it (:rfc:`7009`)."""

from __future__ import annotations

from pathlib import Path

import click

from dpop_ext.cli.answered import answered
from dpop_ext.cli.group import Refusal
from dpop_ext.cli.keys import read_key
from dpop_ext.cli.parameters import FILE
from dpop_ext.cli.request_options import cacert_option, session_option
from dpop_ext.cli.saved_session import open_bundle, resume_with_servers
from dpop_ext.cli.session_options import SessionPlace
from dpop_ext.client.session_bundle import SessionBundle

_EXAMPLE = """\
\b
Example:
  dpop-ext logout
\b
Exit code: 0 logged out, 1 refused, 2 wrong command line, 3 no answer. Without an
           answer nothing is deleted, unless --force says so.
"""


@click.command(epilog=_EXAMPLE)
@session_option
@click.option(
    "--key",
    "key_path",
    type=FILE,
    metavar="FILE",
    help="Of a session that has no key of its own.",
)
@click.option("--force", is_flag=True, help="Delete it, revoked or not.")
@cacert_option
def logout(
    *, place: str | None, key_path: Path | None, force: bool, cacert: str | None
) -> None:
    """Revoke the tokens of a session at the authorization server, and delete it."""
    session_place = SessionPlace(place)
    bundle = open_bundle(
        session_place, key=None if key_path is None else read_key(key_path)
    )
    try:
        with answered("the token is not revoked"):
            _revoke(bundle, cacert)
    except Refusal as refusal:
        if not force:
            raise
        click.echo(f"dpop-ext: {refusal.message}", err=True)
    session_place.delete()
    click.echo(f"the session is deleted: {session_place}")


def _revoke(bundle: SessionBundle, cacert: str | None) -> None:
    token = bundle.token or {}
    with resume_with_servers(bundle, cacert=cacert) as session:
        endpoint = session.servers.authorization.revocation_endpoint
        if endpoint is None:
            raise Refusal(
                "the authorization server cannot revoke tokens, its metadata name no "
                "revocation_endpoint: --force deletes the session all the same"
            )
        # The access tokens that came of a refresh token go with it.
        kind = "refresh_token" if "refresh_token" in token else "access_token"
        response = session.revoke_token(
            endpoint, token=token[kind], token_type_hint=kind
        )
        if response.status_code != 200:
            raise Refusal(
                f"the token is not revoked (status {response.status_code}); --force "
                "deletes the session all the same"
            )
