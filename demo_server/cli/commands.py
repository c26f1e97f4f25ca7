"""What the commands do."""

from __future__ import annotations

import dataclasses
import os
import socket
import sys
import time
from collections.abc import Sequence

from sqlalchemy import func, select

from demo_server import authorization_server, logs, resource_server, supervisor
from demo_server.cli import options
from demo_server.database import Database
from demo_server.derivation_secrets import DerivationSecrets
from demo_server.first_start import StartError, prepare
from demo_server.http_server import HTTPServer
from demo_server.models import Token
from demo_server.private_file import PrivateFileError
from demo_server.row_encryption import load_row_encryption
from demo_server.settings import Settings, SettingsError
from demo_server.signing_keys import SIGNING_KEYS_FILE, SigningKeys
from dpop_ext.errors import DPoPError

#: How long after its last token an old signing key stays public, in seconds: a token
#: may be in the making while the keys are rotated.
MARGIN = 60


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code.

    :param arguments: without the name of the program; None takes those of the process.
    """
    try:
        command, settings = options.parse(
            sys.argv[1:] if arguments is None else arguments
        )
        logs.configure(settings.log_level)
        name = " ".join(
            filter(None, [command.command, getattr(command, "action", None)])
        )
        if name == "":
            supervisor.run(settings)
        elif name in ("as", "rs"):
            serve(command.command, settings)
        elif name == "keys rotate":
            rotate_keys(settings)
        elif name == "secrets list":
            list_secrets(settings)
        else:
            rotate_secrets(settings, retire_old=command.retire_old)
    except (
        SettingsError,
        StartError,
        PrivateFileError,
        supervisor.ServerError,
        DPoPError,
    ) as error:
        print(f"demo_server: {error}", file=sys.stderr)
        return 1
    return 0


def serve(role: supervisor.Role, settings: Settings) -> None:
    """Run one server in this process, until a signal says stop.

    :raises SettingsError: an option cannot be used; the message names it.
    :raises SystemExit: the server has ended.
    """
    listener_fd = os.environ.get(supervisor.LISTENER_VARIABLE)
    if listener_fd is not None:
        listener = socket.socket(fileno=int(listener_fd))
        parent = int(os.environ[supervisor.PARENT_VARIABLE])
    else:
        listener = supervisor.bind(role, settings)
        parent = None
        port = {f"{role}_port": listener.getsockname()[1]}
        settings = dataclasses.replace(settings, **port)
        if role == "as":
            prepare(settings)

    def ready() -> None:
        if parent is None and role == "as":
            print(f"authorization server  {settings.issuer_url}", flush=True)
        elif parent is None:
            print(f"resource server       {settings.resource_url}", flush=True)

    module = authorization_server if role == "as" else resource_server
    HTTPServer(
        lambda: module.create_app(settings).wsgi_app,
        listener=listener,
        ready=ready,
        parent=parent,
    ).run()


def rotate_keys(settings: Settings) -> None:
    """Sign with a new key; keep the old one until its tokens have expired."""
    database = Database(settings.database)
    database.create_schema()
    now = int(time.time())
    latest = database.session.scalar(select(func.max(Token.access_token_expires_at)))
    database.close()
    keep_until = max(latest or 0, now + settings.access_token_lifetime) + MARGIN
    keys = SigningKeys(settings.keys_directory / SIGNING_KEYS_FILE)
    kid = keys.rotate(keep_until=keep_until)
    print(f"new signing key {kid}")
    print(f"the old one stays public for {keep_until - now} seconds")


def list_secrets(settings: Settings) -> None:
    """Show every version of every audience."""
    secrets = _derivation_secrets(settings)
    print("version  state        usable until          audience")
    for audience in secrets.audiences():
        for entry in secrets.read(audience):
            until = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(entry.expires_at))
            print(f"{entry.version:<8} {entry.state:<12} {until:<21} {audience}")


def rotate_secrets(settings: Settings, *, retire_old: bool) -> None:
    """Make a new version active for every audience of the issuer."""
    secrets = _derivation_secrets(settings)
    for audience in secrets.audiences():
        version = secrets.rotate(audience, retire_old=retire_old)
        old = "erased" if retire_old else "verified until its time is up"
        print(f"{audience}: version {version} is active, the older one is {old}")


def _derivation_secrets(settings: Settings) -> DerivationSecrets:
    database = Database(settings.database)
    database.create_schema()
    secrets = DerivationSecrets(
        database.engine,
        load_row_encryption(settings.keys_directory),
        issuer=settings.issuer_url,
    )
    if not secrets.audiences():
        raise StartError(
            f"no derivation secrets of {settings.issuer_url} in the database; "
            "check --database and --issuer"
        )
    return secrets
