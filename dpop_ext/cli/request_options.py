"""Options that several commands have: which request a proof is for."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click

from dpop_ext.cli.group import Refusal
from dpop_ext.cli.parameters import complete_file
from dpop_ext.core.token68 import is_token68

_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
TOKEN_VARIABLE = "DPOP_EXT_ACCESS_TOKEN"
#: Characters that are read of a file, or of standard input. No server takes more.
MAX_INPUT = 64 * 1024


def read_method(
    _context: click.Context, _option: click.Parameter, value: str | None
) -> str | None:
    """Return the method: the callback of an option.

    :raises BadParameter: it is none.
    """
    if value is not None and not _METHOD.fullmatch(value):
        raise click.BadParameter("a word is needed, such as PATCH")
    return value


method_option = click.option(
    "-X",
    "--method",
    default="GET",
    show_default=True,
    callback=read_method,
    help="Of the request.",
)
token_option = click.option(
    "--access-token",
    envvar=TOKEN_VARIABLE,
    metavar="TOKEN",
    help="The access token; - reads it from standard input, @FILE from a file "
    f"[env: {TOKEN_VARIABLE}].",
)
nonce_option = click.option(
    "--nonce", metavar="NONCE", help="What the server supplied in DPoP-Nonce."
)
session_option = click.option(
    "--session",
    "place",
    metavar="FILE",
    envvar="DPOP_EXT_SESSION",
    shell_complete=complete_file,
    help="Where the session is: a file, or keyring:NAME. Default: the usual file [env: "
    "DPOP_EXT_SESSION].",
)
cacert_option = click.option(
    "--cacert",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="PEM of the authorities to trust, in place of the usual ones.",
)


def _limited(text: str) -> str:
    if len(text) > MAX_INPUT:
        raise Refusal(f"more than {MAX_INPUT // 1024} KiB: not a token, nor a proof")
    return text.strip()


def read_value(value: str) -> str:
    """Return *value*, or the first line of standard input for ``-``.

    :raises Refusal: that is no token and no proof, by its length.
    """
    if value != "-":
        return value
    return _limited(sys.stdin.readline(MAX_INPUT + 1))


def read_token(value: str | None) -> str | None:
    """Return an access token: *value*, or what it says to read.

    :raises Refusal: the file cannot be read, or it is no token (:rfc:`6750`).
    """
    if value is None:
        return None
    try:
        # A token has no @.
        if value.startswith("@"):
            with Path(value[1:]).open(encoding="ascii") as file:
                token = _limited(file.read(MAX_INPUT + 1))
        else:
            token = read_value(value)
    except OSError as error:
        raise Refusal(f"--access-token: {value[1:]}: {error.strerror}") from error
    except ValueError:
        token = ""
    if not is_token68(token):
        raise Refusal("--access-token: not an access token, which is one word in ASCII")
    return token
