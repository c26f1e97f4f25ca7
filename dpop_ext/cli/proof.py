"""``dpop-ext proof``: one proof, for a request that is sent by hand."""

from __future__ import annotations

import time
from pathlib import Path

import click

from dpop_ext.cli.group import Refusal
from dpop_ext.cli.keys import key_option, read_key
from dpop_ext.cli.request_options import (
    method_option,
    nonce_option,
    read_token,
    token_option,
)
from dpop_ext.client.nonces import read_nonce
from dpop_ext.client.proof_maker import ProofMaker
from dpop_ext.core.target import normalize_target

_EXAMPLE = """\
\b
Example:
  curl -H "Authorization: DPoP $TOKEN" \\
       -H "DPoP: $(dpop-ext proof --key FILE --access-token $TOKEN URL)" URL
\b
Exit code: 0 done, 1 refused, 2 wrong command line.
"""


@click.command(epilog=_EXAMPLE)
@click.argument("url")
@key_option
@click.option("--algorithm", help="Default: the usual one for the key.")
@method_option
@token_option
@nonce_option
def proof(
    url: str,
    *,
    key_path: Path,
    algorithm: str | None,
    method: str,
    access_token: str | None,
    nonce: str | None,
) -> None:
    """Print the value of a DPoP header field for one request to URL.

    It is good once, and for about a minute.
    """
    if nonce is not None and read_nonce([nonce]) is None:
        raise Refusal("--nonce: not a nonce; it is the value of DPoP-Nonce")
    try:
        normalize_target(url)
    except ValueError as error:
        raise Refusal(f"URL: {error}") from error
    private_key = read_key(key_path)
    try:
        maker = ProofMaker(private_key, algorithm=algorithm, clock=time.time)
    except ValueError as error:
        if algorithm is not None:
            advice = "without it, the usual one is taken"
            raise Refusal(f"--algorithm: not one for this key; {advice}") from error
        raise Refusal(str(error)) from error
    made = maker.asymmetric(
        method=method, url=url, access_token=read_token(access_token), nonce=nonce
    )
    click.echo(made)
