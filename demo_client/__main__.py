"""Run the demo: ``python -m demo_client --help``."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from demo_client import (
    attacks,
    journey,
    key_models,
    post_quantum,
    protection,
    rotation,
    swapped_key,
    tickets,
)
from demo_client.browser import DemoError, fill_forms, open_browser
from demo_client.report import Report
from demo_client.servers import discover
from demo_server.cli.command_line import parse
from demo_server.option_values import SettingsError
from demo_server.process_environment import operator_environment
from demo_server.supervisor import DemoServer, ServerError

_DESCRIPTION = """\
Show DPoP at work: log in, get a token that is bound to a key, call an API with both
kinds of proof, then try what a thief would try, and rotate the secrets. Each step is
shown with what goes over the wire. The exit code is 0 if all went as expected.
"""


def main() -> int:
    """Run the command line; return the exit code."""
    options = _parse()
    try:
        with _servers(options) as (as_url, rs_url, environment):
            report = _run(as_url, rs_url, environment, options)
    except (DemoError, ServerError, SettingsError) as error:
        print(f"demo_client: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo_client: interrupted", file=sys.stderr)
        return 130
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    print(f"\n{report.table(width=width)}\n\n{report.summary}")
    return 0 if report.is_good else 1


def _run(
    as_url: str,
    rs_url: str,
    environment: Mapping[str, str],
    options: argparse.Namespace,
) -> Report:
    report = Report()
    servers = discover(as_url, rs_url, environment)
    agree = open_browser if options.browser else fill_forms
    if options.post_quantum:
        post_quantum.run(servers, report, agree=agree)
        return report
    client = journey.get_token(servers, report, agree=agree)
    captured = journey.call_api(client, servers, report)
    attacks.run(client, servers, report, captured=captured)
    if servers.has_symmetric_keys:
        protection.run(client, servers, report)
        key_models.run(servers, report)
        last = rotation if servers.derives_keys else swapped_key
        last.run(client, servers, report)
    if servers.has_tickets:
        tickets.run(client, servers, report)
    return report


@contextmanager
def _servers(
    options: argparse.Namespace,
) -> Iterator[tuple[str, str, Mapping[str, str]]]:
    if not options.start_server:
        _, settings = parse([])
        yield options.as_url, options.rs_url, operator_environment(settings)
        return
    print("starting the servers ...", flush=True)
    with DemoServer(
        post_quantum="on" if options.post_quantum else "off",
        symmetric_model=options.symmetric_model,
    ) as server:
        print(f"authorization server  {server.as_url}")
        print(f"resource server       {server.rs_url}", flush=True)
        yield server.as_url, server.rs_url, server.environment
    print("\nthe servers have stopped")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m demo_client", description=_DESCRIPTION
    )
    parser.add_argument(
        "--as-url",
        default="http://127.0.0.1:9000",
        help="the authorization server (default: %(default)s)",
    )
    parser.add_argument(
        "--rs-url",
        default="http://127.0.0.1:9001",
        help="the resource server (default: %(default)s)",
    )
    parser.add_argument(
        "--start-server",
        action="store_true",
        help="start both servers with a temporary database, and stop them at the end",
    )
    parser.add_argument(
        "--symmetric-model",
        choices=("derived", "encapsulated"),
        default="derived",
        help="with --start-server: whether the resource server derives symmetric keys "
        "from a secret that it shares with the issuer, or decrypts what the issuer "
        "encrypted for it (default: %(default)s)",
    )
    parser.add_argument(
        "--post-quantum",
        action="store_true",
        help="show a client with a post-quantum key instead, and the bytes on the wire",
    )
    parser.add_argument(
        "--browser",
        action="store_true",
        help="log in with a browser instead of letting the demo fill in the forms",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
