"""What the commands do."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from demo_server import demo_data, logs, supervisor
from demo_server.cli.command_line import parse
from demo_server.cli.serve import serve
from demo_server.cli.serve_all import serve_all
from demo_server.database import Database
from demo_server.first_start import StartError
from demo_server.models import Token
from demo_server.option_values import SettingsError
from demo_server.private_file import PrivateFileError
from demo_server.registration import (
    RegistrationError,
    check_jwks,
    parse_jwks,
    register_resource_server,
)
from demo_server.resource_server_keys import public_jwks
from demo_server.settings import Settings
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
        command, settings = parse(sys.argv[1:] if arguments is None else arguments)
        logs.configure(settings.log_level)
        name = " ".join(
            filter(None, [command.command, getattr(command, "action", None)])
        )
        if name == "":
            serve_all(settings)
        elif name in ("as", "rs"):
            serve(command.command, settings)
        elif name == "keys rotate":
            rotate_keys(settings)
        elif name == "rs-jwks":
            print_jwks(settings)
        else:
            register(settings, command.jwks)
    except (
        SettingsError,
        StartError,
        PrivateFileError,
        RegistrationError,
        supervisor.ServerError,
        DPoPError,
    ) as error:
        print(f"demo_server: {error}", file=sys.stderr)
        return 1
    except SQLAlchemyError as error:
        reason = getattr(error, "orig", None) or type(error).__name__
        print(f"demo_server: --database: {reason}", file=sys.stderr)
        return 1
    return 0


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


def print_jwks(settings: Settings) -> None:
    """Print the public keys of the resource server, made first if there are none."""
    print(json.dumps(public_jwks(settings.rs_keys_directory), indent=1))


def register(settings: Settings, path: str) -> None:
    """Register the resource server with its public keys, at the authorization server.

    :param path: of the file with the keys; ``-`` reads them from the standard input.
    """
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RegistrationError(f"--jwks: {path} cannot be read") from error
    try:
        jwks = parse_jwks(text)
        check_jwks(jwks)
    except RegistrationError as error:
        raise RegistrationError(f"--jwks: {error}") from error
    database = Database(settings.database)
    database.create_schema()
    register_resource_server(
        database.engine,
        jwks,
        resource=settings.resource_url,
        encapsulates=settings.encapsulates_keys,
    )
    database.close()
    print(f"registered {demo_data.RESOURCE_SERVER_ID} for {settings.resource_url}")
