"""``dpop-ext doctor``: checks a deployment from outside, and says what to change."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import click
import requests
from urllib3.exceptions import LocationParseError

from dpop_ext.cli.checkup.finding import Check, Finding, bad, skipped
from dpop_ext.cli.checkup.issuer import check_issuer, read_metadata
from dpop_ext.cli.checkup.keyring import check_keyring
from dpop_ext.cli.checkup.nodes import check_nonces, check_replay
from dpop_ext.cli.checkup.place import check_place
from dpop_ext.cli.checkup.probe import Probe
from dpop_ext.cli.checkup.resource import (
    check_challenge,
    check_clock,
    check_cors,
    check_host,
    check_public_url,
)
from dpop_ext.cli.checkup.store import check_store
from dpop_ext.cli.closing import closing
from dpop_ext.cli.group import SECRET_VARIABLE, Refusal
from dpop_ext.cli.output import json_option, print_json, printable
from dpop_ext.cli.parameters import FILE, secure_url
from dpop_ext.client.resource_flow import require_token68
from dpop_ext.client.signer import ProofSigner
from dpop_ext.errors import ServerAnswerError
from dpop_ext.integrations.requests_client import OAuth2Session
from dpop_ext.symmetric.keyring_claims import MAX_POLL, MIN_POLL

_STYLES = {"good": "green", "look": "yellow", "bad": "red", "skipped": "bright_black"}


def _secure_nodes(
    context: click.Context, option: click.Parameter, urls: tuple[str, ...]
) -> tuple[str, ...]:
    if not context.params.get("plain_nodes"):
        for url in urls:
            secure_url(context, option, url)
    return urls


@click.command(
    epilog=closing(
        "dpop-ext doctor --resource https://api.example/accounts",
        "dpop-ext doctor --issuer https://as.example --replay-store rediss://redis/0",
        codes="0 nothing is bad, 1 something is, or refused, 2 wrong command line",
    )
)
@click.option(
    "--resource",
    metavar="URL",
    callback=secure_url,
    help="A URL of the API that needs an access token, as clients call it.",
)
@click.option(
    "--node",
    "nodes",
    metavar="URL",
    multiple=True,
    callback=_secure_nodes,
    help="Base URL of one server behind the proxy; repeat it for each. Needs a client.",
)
@click.option(
    "--plain-nodes",
    is_flag=True,
    is_eager=True,
    help="Allow http to nodes on other machines. Who reads along there gets an access "
    "token, which is good for nothing without its key, and proofs that were used.",
)
@click.option("--issuer", metavar="URL", callback=secure_url, help="Issuer identifier.")
@click.option(
    "--client-id",
    metavar="ID",
    help="A client of the issuer with the grant client_credentials; its secret is in "
    f"{SECRET_VARIABLE}.",
)
@click.option("--client-secret", envvar=SECRET_VARIABLE, hidden=True)
@click.option("--scope", metavar="SCOPE", help="What its token may do.")
@click.option(
    "--origin", metavar="URL", help="Web origin of scripts that call the API."
)
@click.option(
    "--replay-store",
    metavar="URL",
    envvar="DPOP_EXT_REPLAY_STORE",
    help="redis://, rediss:// or a SQLAlchemy URL [env: DPOP_EXT_REPLAY_STORE].",
)
@click.option(
    "--store-prefix",
    metavar="TEXT",
    default="",
    help="What its keys begin with, if it is a Redis whose user may touch no others.",
)
@click.option(
    "--keyring-cache",
    type=FILE,
    metavar="FILE",
    help="Where the resource server keeps its keyring.",
)
@click.option(
    "--poll",
    type=click.IntRange(MIN_POLL, MAX_POLL),
    default=300,
    show_default=True,
    metavar="SECONDS",
    help="Time between two polls for it that the issuer asks for.",
)
@json_option
def doctor(
    *,
    resource: str | None,
    nodes: tuple[str, ...],
    plain_nodes: bool,  # noqa: ARG001 - it is looked at with the nodes
    issuer: str | None,
    client_id: str | None,
    client_secret: str | None,
    scope: str | None,
    origin: str | None,
    replay_store: str | None,
    store_prefix: str,
    keyring_cache: Path | None,
    poll: int,
    as_json: bool,
) -> None:
    """Check a deployment: clocks, URLs, CORS, stores, and servers that share state.

    Name what is there; what is not named is not checked. Nothing is changed: requests
    are reads, and keys that are added to a store expire in half a minute.
    """
    checks = _resource_checks(resource, origin) if resource is not None else {}
    if issuer is not None:
        checks["issuer metadata"] = partial(check_issuer, issuer)
    if nodes:
        if resource is None or issuer is None or client_id is None:
            raise click.UsageError(
                "--node needs --resource, and --issuer and --client-id for a token"
            )
        client = (client_id, client_secret)
        checks["nodes"] = partial(_check_nodes, resource, nodes, issuer, client, scope)
    if replay_store is not None:
        checks["replay store"] = partial(
            check_store, replay_store, prefix=store_prefix, clock=time.time
        )
    if keyring_cache is not None:
        checks["keyring file"] = partial(check_place, "keyring file", keyring_cache)
        checks["keyring age"] = partial(
            check_keyring, keyring_cache, poll=poll, clock=time.time
        )
    if not checks:
        raise click.UsageError("name what to check: --resource URL, for example")
    findings = []
    for name, check in checks.items():
        for finding in _run(name, check):
            findings.append(finding)
            if not as_json:
                _print(finding)
    if as_json:
        print_json([finding.as_dict() for finding in findings])
    if any(finding.status == "bad" for finding in findings):
        sys.exit(1)


def _resource_checks(resource: str, origin: str | None) -> dict[str, Check]:
    probe = Probe(resource)
    checks: dict[str, Check] = {
        "clock": partial(check_clock, probe),
        "challenge": partial(check_challenge, probe),
        "public URL": partial(check_public_url, probe),
        "Host field": partial(check_host, probe),
    }
    if origin is not None:
        checks["CORS"] = partial(check_cors, probe, origin)
    return checks


def _run(name: str, check: Check) -> Iterator[Finding]:
    try:
        yield from check()
    except (requests.RequestException, LocationParseError) as error:
        advice = "Is the URL right, and the server up?"
        if isinstance(error, requests.exceptions.SSLError):
            advice = "Its certificate is not one that this machine trusts for this URL."
        yield bad(name, f"no answer ({type(error).__name__})", advice)
    except ServerAnswerError as error:
        yield bad(
            name,
            f"no answer that can be read ({error.description})",
            "Is it the server that is meant? No more of it is read.",
        )


def _check_nodes(
    resource: str,
    nodes: tuple[str, ...],
    issuer: str,
    client: tuple[str, str | None],
    scope: str | None,
) -> Iterator[Finding]:
    """Get a token for a key of our own, and see what the nodes know of each other."""
    from joserfc.jwk import ECKey  # noqa: PLC0415

    key = ECKey.generate_key("P-256")
    metadata = read_metadata(issuer)
    if metadata.get("issuer") != issuer:
        # The client's secret is for this issuer alone (RFC 8414 section 3.3).
        raise Refusal("the issuer's metadata is that of another issuer")
    with OAuth2Session(
        *client,
        dpop=ProofSigner(key, symmetric="never"),
        token_endpoint=metadata.get("token_endpoint"),
        scope=scope,
    ) as session:
        try:
            token = session.fetch_token(grant_type="client_credentials")
            access_token = token["access_token"]
            require_token68(access_token)
        except requests.RequestException:
            raise
        except Exception as error:
            raise Refusal(
                f"the issuer gives the client no token: {type(error).__name__}"
            ) from error
    probe = Probe(resource, key=key)
    yield from check_replay(probe, access_token, nodes)
    yield from check_nonces(probe, access_token, nodes)
    if len(nodes) == 1:
        yield skipped("nodes", "one node shares with nobody: name the others, too")


def _print(finding: Finding) -> None:
    status = click.style(f"{finding.status:7}", fg=_STYLES[finding.status])
    click.echo(f"{status}  {finding.check:23}  {printable(finding.seen)}")
    if finding.advice:
        click.echo(click.wrap_text(finding.advice, 88, " " * 9, " " * 9))
