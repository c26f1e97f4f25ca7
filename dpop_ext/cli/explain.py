"""``dpop-ext explain``: every check of a proof, expected and actual."""

from __future__ import annotations

import dataclasses
import json
import sys
import time

import click

from dpop_ext.cli.closing import closing
from dpop_ext.cli.explanation import Explanation
from dpop_ext.cli.explanation import explain as explain_proof
from dpop_ext.cli.explanation_checks import Circumstances
from dpop_ext.cli.group import Refusal
from dpop_ext.cli.output import (
    MAX_SECONDS,
    json_option,
    print_json,
    printable,
    utc,
)
from dpop_ext.cli.request_options import (
    method_option,
    nonce_option,
    read_token,
    read_value,
    token_option,
)
from dpop_ext.core.base64url import b64url_decode
from dpop_ext.core.key import ALGORITHMS
from dpop_ext.core.ml_dsa import ML_DSA
from dpop_ext.core.policy import RFC9449, ProofPolicy
from dpop_ext.core.strict_json import parse_json_object
from dpop_ext.core.target import normalize_target

_MARKS = {True: ("ok", "green"), False: ("FAIL", "red"), None: ("-", "bright_black")}


@click.command(
    epilog=closing(
        'dpop-ext explain "$PROOF" --against https://api.example/accounts',
        "dpop-ext explain - --against https://api.example/pay -X POST < proof",
        codes="0 every check passed, 1 one failed or refused, 2 wrong command line",
    )
)
@click.argument("proof")
@click.option("--against", "url", required=True, metavar="URL", help="Of the request.")
@method_option
@token_option
@nonce_option
@click.option(
    "--jkt",
    metavar="JKT",
    help="What the token is bound to. Default: what a JWT says itself.",
)
@click.option(
    "--at",
    type=click.IntRange(0, MAX_SECONDS),
    metavar="SECONDS",
    help="When the server got it, in seconds since the epoch. Default: now.",
)
@click.option(
    "--alg",
    "algorithms",
    multiple=True,
    type=click.Choice([*ALGORITHMS, *ML_DSA]),
    help="What the server accepts; repeat it. Default: "
    f"{' '.join(RFC9449.algorithms)}.",
)
@json_option
def explain(
    proof: str,
    *,
    url: str,
    method: str,
    access_token: str | None,
    nonce: str | None,
    jkt: str | None,
    at: int | None,
    algorithms: tuple[str, ...],
    as_json: bool,
) -> None:
    """Make every check of PROOF, the value of a DPoP header field; - reads it.

    Shown are all faults at once, not only the first one, each with what was expected
    and what to change. Nothing is sent.
    """
    if proof == access_token == "-":
        raise click.UsageError("only one of PROOF and --access-token can be -")
    token = read_token(access_token)
    now = int(time.time()) if at is None else at
    try:
        normalize_target(url)
    except ValueError as error:
        raise Refusal(f"--against: {error}") from error
    try:
        policy = ProofPolicy(algorithms=algorithms) if algorithms else RFC9449
    except ValueError as error:
        raise Refusal(f"--alg: {error}") from error
    explained = explain_proof(
        read_value(proof),
        Circumstances(
            method=method,
            url=url,
            now=now,
            policy=policy,
            access_token=token,
            jkt=jkt if jkt is not None else _bound_to(token),
            nonce=nonce,
        ),
    )
    if as_json:
        print_json(dataclasses.asdict(explained) | {"passed": explained.passed})
    else:
        _print(explained, now)
    if not explained.passed:
        sys.exit(1)


def _bound_to(token: str | None) -> str | None:
    """Return what a token says that it is bound to, if it is a JWT."""
    if token is None or token.count(".") != 2:
        return None
    try:
        claims = parse_json_object(b64url_decode(token.split(".")[1]))
        jkt = claims["cnf"]["jkt"]
    except (ValueError, KeyError, TypeError):
        return None
    return jkt if isinstance(jkt, str) else None


def _print(explained: Explanation, now: int) -> None:
    click.echo(f"{explained.kind} proof, looked at as of {utc(now)}")
    if explained.jkt is not None:
        click.echo(f"jkt {explained.jkt}")
    for title, members in (("header", explained.header), ("claims", explained.claims)):
        if members is not None:
            # ASCII, so that nothing in it speaks to the terminal.
            click.echo(f"{title} {json.dumps(members)}")
    click.echo()
    for line in explained.lines:
        text, colour = _MARKS[line.passed]
        mark = click.style(f"{text:4}", fg=colour)
        click.echo(f"{mark}  {line.check:9}  {line.actual}")
        if line.passed is not True:
            # What a token is bound to, it says itself.
            expected = printable(line.expected)
            click.echo(f"{'':4}  {'':9}  expected: {expected}")
        if line.passed is False and line.advice:
            click.echo(click.wrap_text(line.advice, 88, " " * 17, " " * 17))
