"""Which derivation secrets a command is about, as its options say."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from sqlalchemy import Engine

from dpop_ext.cli.group import Refusal
from dpop_ext.cli.parameters import FILE
from dpop_ext.cli.secrets_database import (
    KEY_VARIABLE,
    find_issuer,
    open_database,
    read_key,
)
from dpop_ext.integrations.sqla_secrets import SQLAudienceSecrets
from dpop_ext.symmetric.rotation import RotationError
from dpop_ext.symmetric.secret_bytes import SecretBytes

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The secrets that a command is about."""

    secrets: SQLAudienceSecrets
    engine: Engine
    #: Of the rows of all audiences.
    key: SecretBytes
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
        engine = open_database(database)
        try:
            key = read_key(key_file)
            table = SQLAudienceSecrets(engine, key, issuer=find_issuer(engine, issuer))
            audiences = table.audiences()
            if audience is not None:
                if audience not in audiences:
                    raise Refusal("--audience: it has no derivation secrets")
                audiences = [audience]
            target = Target(secrets=table, engine=engine, key=key, audiences=audiences)
            command(target, **options)
        finally:
            engine.dispose()

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
            type=FILE,
            envvar="DPOP_EXT_KEY_FILE",
            metavar="FILE",
            help="Key of the rows: 32 bytes in base64url, mode 0600 [env: "
            f"DPOP_EXT_KEY_FILE, or {KEY_VARIABLE} with the key itself].",
        ),
        click.option(
            "--issuer", metavar="URL", help="Default: the only one in the database."
        ),
        click.option(
            "--audience",
            metavar="URL",
            help="Default: all, to list, rotate or publish; else the only one.",
        ),
    )
    for decorator in reversed(decorators):
        with_target = decorator(with_target)
    return with_target
