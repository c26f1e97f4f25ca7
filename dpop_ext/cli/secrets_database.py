"""The database of an authorization server, as an operator names it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import sqlalchemy
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from dpop_ext.cli.group import Refusal
from dpop_ext.cli.output import printable
from dpop_ext.cli.parameters import lacks_file
from dpop_ext.core.base64url import b64url_decode
from dpop_ext.errors import MalformedJOSEError
from dpop_ext.integrations.sqla_secret_database import find_issuers
from dpop_ext.stores.private_file import read_private
from dpop_ext.stores.secret_tables import PREFIX
from dpop_ext.stores.sql_engine import check_dialect, limit_answers, time_limits
from dpop_ext.symmetric.sealed_row import ROW_KEY_LENGTH
from dpop_ext.symmetric.secret_bytes import SecretBytes

#: The key itself, in base64url, for those who keep keys out of files.
KEY_VARIABLE: Final = "DPOP_EXT_DATABASE_KEY"

#: Seconds that the database may take for a statement, where its driver lets us.
TIMEOUT: Final = 10

_MAX_KEY_FILE = 1024
_NO_KEY = f"no key, which is {ROW_KEY_LENGTH} random bytes in base64url"


def find_issuer(engine: sqlalchemy.Engine, named: str | None) -> str:
    """Return the issuer whose secrets are meant.

    :param named: None means the only one.
    :raises Refusal: there is none, there are several, or not this one.
    """
    try:
        issuers = find_issuers(engine)
    except SQLAlchemyError as error:
        lines = str(getattr(error, "orig", None) or "").splitlines()
        # What the server of the database says.
        reason = printable(lines[0]) if lines else type(error).__name__
        if PREFIX in reason:  # as in "no such table: dpop_audience"
            reason += "; is it that of an authorization server with symmetric keys?"
        raise Refusal(f"--database: {reason}") from error
    if not issuers:
        raise Refusal("--database: there are no derivation secrets in it")
    if named is None and len(issuers) > 1:
        raise Refusal(f"--issuer: name one of {', '.join(issuers)}")
    if named is not None and named not in issuers:
        raise Refusal(f"--issuer: only {', '.join(issuers)} is in the database")
    return named or issuers[0]


def open_database(url: str) -> sqlalchemy.Engine:
    """Return the connections to a database that is there.

    :param url: SQLAlchemy URL.
    :raises Refusal: it is none, there is no such file, or it is of another kind than
        the secrets can be in.
    """
    try:
        if lacks_file(url):
            # Or an empty one would be made.
            raise Refusal("--database: there is no such file")
        location = sqlalchemy.make_url(url)
        check_dialect(location)
        engine = sqlalchemy.create_engine(
            location,
            connect_args=time_limits(location, timeout=TIMEOUT),
            # Parameters of statements stay out of errors.
            hide_parameters=True,
        )
    except ArgumentError as error:
        # The URL may hold a password: it stays out of the message.
        raise Refusal("--database: not a URL of a database") from error
    except ValueError as error:
        raise Refusal(f"--database: {error}") from error
    limit_answers(engine, timeout=TIMEOUT)
    return engine


def read_key(path: Path | None) -> SecretBytes:
    """Return the key of the rows.

    :param path: None takes it from :data:`KEY_VARIABLE`.
    :raises Refusal: it is missing, cannot be trusted, or is none.
    """
    source = KEY_VARIABLE if path is None else str(path)
    try:
        if path is None:
            text = os.environ[KEY_VARIABLE]
        else:
            content = read_private(path, max_size=_MAX_KEY_FILE)
            text = content.decode("ascii", "replace")
        key = b64url_decode(text.strip())
    except KeyError as error:
        raise Refusal(f"the key is missing: --key-file, or {source}") from error
    except OSError as error:
        raise Refusal(f"{source}: {error.strerror or error}") from error
    except MalformedJOSEError as error:
        raise Refusal(f"{source}: {_NO_KEY}") from error
    if len(key) != ROW_KEY_LENGTH:
        raise Refusal(f"{source}: {_NO_KEY}")
    return SecretBytes(key)
