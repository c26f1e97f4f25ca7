"""What the commands do."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from demo_server import logs, supervisor
from demo_server.cli import options
from demo_server.cli.serve import serve
from demo_server.database import Database
from demo_server.derivation_secrets import DerivationSecrets
from demo_server.first_start import StartError
from demo_server.models import Token
from demo_server.private_file import PrivateFileError
from demo_server.resource_server.keyring import POLL_INTERVAL
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
    print(f"the resource server asks for them every {POLL_INTERVAL} seconds")


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
