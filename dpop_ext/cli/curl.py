"""``dpop-ext curl``: one request with a bound token, proofs and nonces and all."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import click
from click.core import ParameterSource

from dpop_ext.cli.answered import answered
from dpop_ext.cli.curl_answer import check_status, check_target, print_answer
from dpop_ext.cli.curl_content import open_content, read_fields
from dpop_ext.cli.group import Refusal
from dpop_ext.cli.keys import read_key
from dpop_ext.cli.parameters import FILE
from dpop_ext.cli.request_options import (
    cacert_option,
    read_method,
    read_token,
    session_option,
    token_option,
)
from dpop_ext.cli.shown_exchange import show_exchange
from dpop_ext.client.destination import Destination
from dpop_ext.client.signer import ProofSigner
from dpop_ext.core.akp import AnyKey
from dpop_ext.integrations.requests_client import DPoPAuth, OAuth2Session
from dpop_ext.integrations.requests_client.direct import DirectSession

_EXAMPLE = """\
\b
Example:
  dpop-ext login https://as.example --client-id app
  dpop-ext curl https://api.example/accounts
  dpop-ext curl --key client.jwk --access-token @token -d @order.json \\
       -H "Content-Type: application/json" https://api.example/orders
\b
Exit code: 0 an answer, 1 refused before anything was sent, 2 wrong command line,
           3 no answer, 22 with --fail: the status is 400 or more.
"""


class _TokenSession(DirectSession):
    """Sends requests with one token, which is not refreshed."""

    def __init__(self, signer: ProofSigner, access_token: str) -> None:
        super().__init__()
        self.dpop = signer
        self.auth = DPoPAuth(signer, access_token)


@click.command(epilog=_EXAMPLE)
@click.argument("url")
@click.option(
    "-X",
    "--method",
    callback=read_method,
    help="Default: GET, and POST with --data.",
)
@click.option(
    "-H", "--header", "fields", multiple=True, metavar="NAME: VALUE", help="Repeat it."
)
@click.option(
    "-d",
    "--data",
    metavar="TEXT",
    help="What to send; @FILE sends a file, and @- standard input, byte by byte.",
)
@click.option(
    "--key",
    "key_path",
    type=FILE,
    envvar="DPOP_EXT_KEY",
    metavar="FILE",
    help="Private JWK of the token: dpop-ext keygen FILE [env: DPOP_EXT_KEY].",
)
@token_option
@session_option
@click.option(
    "--refresh",
    is_flag=True,
    help="Get a new token first; with it may come a symmetric key.",
)
@click.option(
    "--elsewhere",
    is_flag=True,
    help="Send the token of a session to another server than --resource of its login.",
)
@click.option("-i", "--include", is_flag=True, help="Print status and header fields.")
@click.option(
    "-v",
    "--verbose",
    is_flag=True,
    help="Show the exchange with its proofs, decoded, on standard error.",
)
@click.option(
    "-o",
    "--output",
    "target",
    type=FILE,
    metavar="FILE",
    help="Write the answer there.",
)
@click.option("-f", "--fail", is_flag=True, help="Exit code 22 from status 400 on.")
@click.option("-L", "--location", is_flag=True, help="Follow redirects.")
@click.option(
    "--max-time",
    type=click.FloatRange(min=0, max=3600, min_open=True),
    default=30,
    show_default=True,
    metavar="SECONDS",
    help="To wait for a part of the answer.",
)
@cacert_option
@click.pass_context
def curl(
    context: click.Context,
    url: str,
    *,
    method: str | None,
    fields: tuple[str, ...],
    data: str | None,
    key_path: Path | None,
    access_token: str | None,
    place: str | None,
    refresh: bool,
    elsewhere: bool,
    include: bool,
    verbose: bool,
    target: Path | None,
    fail: bool,
    location: bool,
    max_time: float,
    cacert: str | None,
) -> None:
    """Send a request to URL with a bound access token, and print the answer.

    Each attempt has a proof of its own: the one with the nonce that the server wants,
    the one for a redirect, the one after a symmetric key that is no longer good. The
    token is that of a session, which is refreshed when it has expired, or one that is
    given together with its key.
    """
    headers = read_fields(fields, has_content=data is not None)
    if data == "@-" and access_token == "-":
        raise click.UsageError("only one of --data and --access-token can be read")
    try:
        Destination.of(url)
    except ValueError as error:
        raise Refusal(f"URL: {error}") from error
    if target is not None:
        check_target(target)
    key = None if key_path is None else read_key(key_path)
    session: _TokenSession | OAuth2Session
    failed = "the token cannot be refreshed, dpop-ext login gets another"
    with answered(failed), ExitStack() as stack:
        if _token_is_meant(context):
            if refresh:
                raise click.UsageError("--refresh needs a session")
            session = stack.enter_context(_with_token(access_token, key))
        else:
            # Its extra is not needed for a token that is given.
            from dpop_ext.cli.curl_session import take_up  # noqa: PLC0415
            from dpop_ext.cli.session_options import SessionPlace  # noqa: PLC0415

            session = stack.enter_context(
                take_up(
                    SessionPlace(place),
                    key=key,
                    url=url,
                    elsewhere=elsewhere,
                    refresh=refresh,
                    verbose=verbose,
                    cacert=cacert,
                )
            )
        response = stack.enter_context(
            session.request(
                method or ("GET" if data is None else "POST"),
                url,
                headers=headers,
                data=stack.enter_context(open_content(data)),
                allow_redirects=location,
                timeout=max_time,
                verify=cacert,
                stream=True,
            )
        )
        if verbose:
            show_exchange(response, jkt=session.dpop.jkt)
        check_status(response, fail=fail)
        print_answer(response, target, include=include)


def _token_is_meant(context: click.Context) -> bool:
    """Tell whether it is the token that counts: what was typed does, then a token."""
    token, place = map(context.get_parameter_source, ("access_token", "place"))
    if token == place == ParameterSource.COMMANDLINE:
        raise click.UsageError("name a session or a token, not both")
    if place is ParameterSource.COMMANDLINE:
        return False
    return token in {ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT}


def _with_token(value: str | None, key: AnyKey | None) -> _TokenSession:
    if key is None:
        raise click.UsageError("--access-token needs --key: it is bound to one")
    try:
        return _TokenSession(ProofSigner(key), read_token(value) or "")
    except ValueError as error:
        raise Refusal(f"--key: {error}") from error
