"""``dpop-ext conformance``: tries a running pair of servers, and says what holds."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import click
import requests
from urllib3.exceptions import LocationParseError

from dpop_ext.cli.closing import closing
from dpop_ext.cli.conformance_checks import (
    answers,
    issuance,
    metadata,
    proofs,
    refusals,
    tickets,
)
from dpop_ext.cli.conformance_checks.issuance import Issued
from dpop_ext.cli.conformance_checks.pair import Pair
from dpop_ext.cli.conformance_checks.prover import Prover
from dpop_ext.cli.conformance_checks.trial import TARGETS, Trial
from dpop_ext.cli.group import SECRET_VARIABLE, Refusal
from dpop_ext.cli.output import json_option, print_json
from dpop_ext.cli.parameters import secure_url
from dpop_ext.errors import ServerAnswerError
from dpop_ext.symmetric.conformance import AUTHORIZATION_SERVER, RESOURCE_SERVER, claims

_STYLES = {"passed": "green", "failed": "red", "skipped": "bright_black"}


@click.command(
    epilog=closing(
        "dpop-ext conformance --as https://as.example --rs https://api.example \\",
        "    --client-id conformance --scope accounts",
        codes="0 nothing failed, 1 something did, or refused, 2 wrong command line",
    )
)
@click.option(
    "--as",
    "issuer",
    metavar="URL",
    required=True,
    callback=secure_url,
    help="Issuer identifier of the authorization server.",
)
@click.option(
    "--rs",
    "resource",
    metavar="URL",
    required=True,
    callback=secure_url,
    help="Identifier of the resource server: the audience of its tokens.",
)
@click.option(
    "--url",
    metavar="URL",
    callback=secure_url,
    help="What a GET with a token is served at; by default the identifier.",
)
@click.option(
    "--client-id",
    metavar="ID",
    required=True,
    help="A client of the issuer with the grant client_credentials; its secret is in "
    f"{SECRET_VARIABLE}.",
)
@click.option("--client-secret", envvar=SECRET_VARIABLE, hidden=True)
@click.option("--scope", metavar="SCOPE", help="What the token may do.")
@json_option
def conformance(
    *,
    issuer: str,
    resource: str,
    url: str | None,
    client_id: str,
    client_secret: str | None,
    scope: str | None,
    as_json: bool,
) -> None:
    """Check a pair of servers against the DPoP Symmetric Profile 1.0, from outside.

    It gets tokens and makes proofs, good and bad, and prints for each requirement that
    it tried what the servers made of it. It ends with the claim of conformance that
    this allows, or with what breaks it.
    """
    pair = Pair(
        issuer=issuer,
        resource=resource,
        url=url or resource,
        client_id=client_id,
        client_secret=client_secret,
        scope=scope,
    )
    trials = []
    try:
        for trial in try_pair(pair):
            trials.append(trial)
            if not as_json:
                _print(trial)
    except (requests.RequestException, LocationParseError) as error:
        raise Refusal(
            f"a server does not answer: {type(error).__name__}; are the URLs right, "
            "and the servers up?"
        ) from error
    except ServerAnswerError as error:
        raise Refusal(f"a server cannot be examined: {error.description}") from error
    failed = [trial for trial in trials if trial.status == "failed"]
    allowed = claims(conforming_targets(trials))
    if as_json:
        print_json(
            {
                "conforms": not failed,
                "claims": allowed,
                "trials": [trial.as_dict() for trial in trials],
            }
        )
    else:
        _conclude(trials, failed, allowed)
    if failed:
        sys.exit(1)


def try_pair(pair: Pair) -> Iterator[Trial]:
    """Yield what is tried, one after the other, for as long as it makes sense.

    :raises requests.RequestException: a server does not answer.
    :raises ServerAnswerError: an answer has more than 1 MiB, or does not come in time.
    """
    yield from metadata.check_issuer(pair)
    yield from metadata.check_resource(pair)
    if not pair.token_endpoint:
        return
    found: list[Issued] = []
    yield from issuance.check_issuance(pair, found)
    yield from refusals.check_refusals(pair)
    for issued in found:
        prover = Prover(pair=pair, issued=issued)
        proof = prover.proof(None, url=pair.token_endpoint, method="POST")
        yield refusals.check_symmetric_proof(pair, proof)
        if not (yield from proofs.check_proofs(pair, issued)):
            continue
        yield from answers.check_digests(prover)
        yield from answers.check_answers(prover)
        yield answers.check_step_up(prover)
        yield from tickets.check_tickets(prover)


def conforming_targets(trials: Sequence[Trial]) -> list[str]:
    """Return the targets of the servers that nothing speaks against.

    A server conforms if all that is its doing does; so does what it makes. But where no
    key was delivered, or no proof was accepted, nothing was seen that could conform.
    """
    targets = []
    for party, own, seen in (
        ("as", AUTHORIZATION_SERVER, "KEY_JWE"),
        ("rs", RESOURCE_SERVER, "RS"),
    ):
        tried = [trial for trial in trials if trial.party == party]
        shown = {
            TARGETS[name]
            for trial in tried
            if trial.status == "passed"
            for name in trial.requirements
        }
        failed = any(trial.status == "failed" for trial in tried)
        if seen in shown and not failed:
            targets += [target for target in own if target in shown | {own[0]}]
    return targets


def _print(trial: Trial) -> None:
    status = click.style(f"{trial.status:7}", fg=_STYLES[trial.status])
    requirements = " ".join(trial.requirements)
    click.echo(f"{status}  {requirements:24}  {trial.name}: {trial.seen}")


def _conclude(
    trials: Sequence[Trial], failed: Sequence[Trial], allowed: Sequence[str]
) -> None:
    counts = [
        f"{sum(trial.status == status for trial in trials)} {status}"
        for status in ("passed", "failed", "skipped")
    ]
    click.echo(f"\n{', '.join(counts)}")
    if allowed:
        click.echo("\nThis allows the claim (dpop_sym_conformance):")
        for claim in allowed:
            click.echo(f"  {claim}")
    if failed:
        click.echo("\nWhat breaks it, and what to change:")
        for trial in failed:
            text = f"{' '.join(trial.requirements)}, {trial.name}: {trial.advice}"
            click.echo(click.wrap_text(text, 88, "  ", "    "))
