"""``dpop-ext login``: the code flow in the browser (:rfc:`8252`, :rfc:`9449`)."""

from __future__ import annotations

import time
import webbrowser
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from dpop_ext.cli.answered import answered
from dpop_ext.cli.group import SECRET_VARIABLE, Refusal
from dpop_ext.cli.keys import read_key
from dpop_ext.cli.loopback import LoopbackRedirect
from dpop_ext.cli.output import json_option, print_json, utc
from dpop_ext.cli.parameters import FILE
from dpop_ext.cli.request_options import cacert_option, session_option
from dpop_ext.cli.saved_session import discovery, session_at
from dpop_ext.cli.session_options import (
    SessionPlace,
    client_secret,
    refusing,
)
from dpop_ext.client.bundle_lock import LOCK_INTERVAL, lock_deadline
from dpop_ext.client.bundle_store import BundleStore
from dpop_ext.client.session_bundle import SessionBundle
from dpop_ext.client.signer import ProofSigner
from dpop_ext.errors import AuthorizationRefusedError, BundleError

_EXAMPLE = """\
\b
Example:
  dpop-ext login https://as.example --client-id app --resource https://api.example
  dpop-ext curl https://api.example/accounts
\b
Over SSH, with a browser on your own machine:
  ssh -L 8400:127.0.0.1:8400 host
  dpop-ext login ... --no-browser --redirect-uri http://127.0.0.1:8400/callback
\b
Exit code: 0 logged in, 1 refused, 2 wrong command line, 3 no answer.
"""


class _Unsaved:
    """A session that is not kept yet: the one before stays until this one is good."""

    def __init__(self) -> None:
        self.text: str | None = None

    def read(self) -> str | None:
        return self.text

    def write(self, text: str) -> None:
        self.text = text

    def try_lock(self) -> Callable[[], object] | None:
        return lambda: None


@click.command(epilog=_EXAMPLE)
@click.argument("issuer", required=False)
@click.option("--client-id", metavar="ID", required=True, help="Who the client is.")
@click.option(
    "--resource",
    metavar="URL",
    help="What the token is for; it is sent nowhere else. Without ISSUER, its metadata "
    "says which one it is (RFC 9728).",
)
@click.option("--scope", metavar="SCOPE", help="What the token may do.")
@click.option(
    "--redirect-uri",
    metavar="URI",
    default="http://127.0.0.1/callback",
    show_default=True,
    help="As it is registered. Without a port: one that is free.",
)
@click.option(
    "--client-key",
    type=FILE,
    metavar="FILE",
    help="Private JWK of a client that authenticates with private_key_jwt. The secret "
    f"of one that has a secret is in {SECRET_VARIABLE}.",
)
@click.option(
    "--profile",
    type=click.Choice(["oauth2", "fapi2"]),
    default="oauth2",
    show_default=True,
    help="fapi2 refuses servers that do not offer what FAPI 2.0 demands.",
)
@click.option(
    "--key",
    "key_path",
    type=FILE,
    metavar="FILE",
    help="Private JWK to bind the token to. Default: a new one, saved in the session.",
)
@session_option
@click.option(
    "--no-browser", is_flag=True, help="Print the address, and open no browser."
)
@click.option(
    "--timeout",
    type=click.IntRange(1, 3600),
    default=300,
    show_default=True,
    metavar="SECONDS",
    help="How long you have to log in.",
)
@cacert_option
@json_option
def login(
    issuer: str | None,
    *,
    client_id: str,
    resource: str | None,
    scope: str | None,
    redirect_uri: str,
    client_key: Path | None,
    profile: str,
    key_path: Path | None,
    place: str | None,
    no_browser: bool,
    timeout: int,
    cacert: str | None,
    as_json: bool,
) -> None:
    """Log in with the browser at ISSUER, and save a session for dpop-ext curl.

    The server has to know the client, with a loopback redirect URI. The session has
    the token and the key that it is bound to: a file that only its owner can read, or
    an entry in the keyring. One that was there is replaced once the new one is good.
    """
    if issuer is None and resource is None:
        raise click.UsageError("name ISSUER, or --resource URL, which names it")
    if issuer is None and client_key is None and client_secret() is not None:
        # Whom the resource server names would be sent what only one server knows.
        raise click.UsageError(
            f"name ISSUER: it is sent the secret in {SECRET_VARIABLE}"
        )
    session_place = SessionPlace(place)
    session_place.prepare()
    about = {"client_id": client_id, "profile": profile}
    if resource is not None:
        about["resource"] = resource
    if client_key is not None:
        about["client_key"] = str(client_key.absolute())
    key = None if key_path is None else read_key(key_path)
    unsaved = _Unsaved()
    failed = "the authorization server gives no token"
    with answered(failed), LoopbackRedirect(redirect_uri) as redirect:
        servers = discovery(cacert).servers(
            issuer=issuer, resource=resource if issuer is None else None
        )
        bundle = SessionBundle(
            unsaved,
            key=key,
            algorithm=servers.make_signer().algorithm,
            # A symmetric key would be lost with this process.
            make_signer=partial(ProofSigner, symmetric="never"),
        )
        with session_at(
            servers,
            about,
            bundle=bundle,
            cacert=cacert,
            scope=scope,
            redirect_uri=redirect.uri,
        ) as session:
            try:
                request = session.start_authorization()
                redirect.expect(request)
                _show(request.url, no_browser=no_browser)
                response = redirect.wait(seconds=timeout)
            except AuthorizationRefusedError as error:
                reason = error.error or "no reason is given"
                raise Refusal(f"the login was refused ({reason})") from error
            token = session.finish_authorization(request, response)
        bundle.describe({**bundle.about, **about})
    _replace(session_place.store, unsaved.text or "")
    _print(session_place, bundle, token, as_json=as_json)


def _show(url: str, *, no_browser: bool) -> None:
    if no_browser or not webbrowser.open(url):
        click.echo(f"Open this address in a browser:\n{url}", err=True)
    else:
        click.echo(f"A browser is opened; if not, go to\n{url}", err=True)


def _replace(store: BundleStore, text: str) -> None:
    """Save the session in place of the one before, which nobody is refreshing."""
    deadline = lock_deadline()
    with refusing():
        while (release := store.try_lock()) is None:
            if time.monotonic() > deadline:
                raise BundleError("Another process is using the session.")
            time.sleep(LOCK_INTERVAL)
        try:
            store.write(text)
        finally:
            release()


def _print(
    place: SessionPlace, bundle: SessionBundle, token: dict[str, Any], *, as_json: bool
) -> None:
    about = bundle.about
    ends_at = token.get("expires_at")
    known = {
        "session": str(place),
        "issuer": about["issuer"],
        "client_id": about["client_id"],
        "resource": about.get("resource"),
        "scope": token.get("scope"),
        "jkt": bundle.signer.jkt,
        "expires_at": ends_at,
        "can_refresh": "refresh_token" in token,
    }
    if as_json:
        print_json(known)
        return
    click.secho(f"You are logged in at {about['issuer']}.", fg="green")
    click.echo(f"session  {place}")
    click.echo(f"jkt      {bundle.signer.jkt}")
    if ends_at is not None:
        then = "it is refreshed then" if known["can_refresh"] else "log in again then"
        click.echo(f"token    until {utc(ends_at)}; {then}")
