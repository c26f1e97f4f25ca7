"""Options that several commands have: which request a proof is for."""

from __future__ import annotations

import sys

import click

TOKEN_VARIABLE = "DPOP_EXT_ACCESS_TOKEN"

method_option = click.option(
    "-X", "--method", default="GET", show_default=True, help="Of the request."
)
token_option = click.option(
    "--access-token",
    envvar=TOKEN_VARIABLE,
    metavar="TOKEN",
    help=f"The access token; - reads it from standard input [env: {TOKEN_VARIABLE}].",
)
nonce_option = click.option(
    "--nonce", metavar="NONCE", help="What the server supplied in DPoP-Nonce."
)


def read_value(value: str | None) -> str | None:
    """Return *value*, or the first line of standard input for ``-``."""
    if value != "-":
        return value
    return sys.stdin.readline().strip()
