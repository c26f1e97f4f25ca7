"""The options and the commands of the demo servers, and what help says of them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NoReturn, get_args, get_type_hints

from demo_server import logs
from demo_server.settings import DEFAULT_DATABASE, ENVIRONMENT_PREFIX, Settings

_DESCRIPTION = """\
An OAuth authorization server and a resource server that use DPoP (RFC 9449).

Without a command both start, each in a process of its own, and beside them a page that
is a client in the browser. They listen on 127.0.0.1; to publish them, put a proxy in
front and set --issuer and --resource.
"""

_EPILOG = f"""\
Each option is also an environment variable: --as-port is {ENVIRONMENT_PREFIX}AS_PORT,
--bearer is {ENVIRONMENT_PREFIX}BEARER=on. An option on the command line wins.
{ENVIRONMENT_PREFIX}DATABASE_KEY, 32 bytes in base64url, replaces the file database.key.

The servers share no file: rs-jwks prints the public keys of the resource server, and
register-resource-server tells them to the authorization server. Started together, they
are registered. The derivation secrets are looked after with: dpop-ext secrets --help
"""


class OptionParser(argparse.ArgumentParser):
    """Raises instead of leaving, so that the message can name a variable."""

    def error(self, message: str) -> NoReturn:
        """Raise :exc:`argparse.ArgumentError`."""
        raise argparse.ArgumentError(None, message)


def option_parser() -> OptionParser:
    """Return the options that every command has."""
    # Absent options stay absent: a default here would hide what was given before the
    # name of the command.
    parser = OptionParser(
        add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS
    )
    network = parser.add_argument_group("where the servers are")
    network.add_argument(
        "--as-port", type=int, metavar="PORT", help="default 9000; 0 picks a free one"
    )
    network.add_argument(
        "--rs-port", type=int, metavar="PORT", help="default 9001; 0 picks a free one"
    )
    network.add_argument(
        "--client-port",
        type=int,
        metavar="PORT",
        help="of the page that is a client in the browser (default: the one after the "
        "other two; without this option there is no page with --profile fapi2, "
        "--issuer or --resource)",
    )
    network.add_argument(
        "--issuer",
        metavar="URL",
        help="public base URL of the authorization server, https unless loopback",
    )
    network.add_argument(
        "--resource",
        metavar="URL",
        help="public base URL of the resource server, the audience of its tokens",
    )
    network.add_argument(
        "--tls-cert",
        type=Path,
        metavar="FILE",
        help="certificate chain in PEM: both servers speak TLS 1.2 and 1.3",
    )
    network.add_argument(
        "--tls-key", type=Path, metavar="FILE", help="private key of --tls-cert"
    )
    network.add_argument(
        "--cors-origins",
        metavar="URL,...",
        help="origins whose scripts may use the servers (default: none)",
    )
    tokens = parser.add_argument_group("what they demand")
    tokens.add_argument(
        "--profile",
        choices=get_args(get_type_hints(Settings)["profile"]),
        help="fapi2 demands what the FAPI 2.0 Security Profile does: pushed requests, "
        "private_key_jwt, proofs; its built-in client is demo-fapi, whose key is "
        "fapi-client.json beside the other keys (default: rfc9449)",
    )
    tokens.add_argument(
        "--nonce",
        choices=get_args(get_type_hints(Settings)["nonce"]),
        help="whether proofs must carry a server's nonce (default: required)",
    )
    tokens.add_argument(
        "--access-token-lifetime", type=int, metavar="SECONDS", help="default 300"
    )
    tokens.add_argument(
        "--bearer",
        action=argparse.BooleanOptionalAction,
        help="the resource server also takes Bearer tokens that are bound to no key",
    )
    tokens.add_argument(
        "--symmetric",
        choices=get_args(get_type_hints(Settings)["symmetric"]),
        help="issue and accept keys for symmetric proofs (default: on)",
    )
    tokens.add_argument(
        "--symmetric-model",
        choices=get_args(get_type_hints(Settings)["symmetric_model"]),
        help="how the resource server gets such a key: it derives it from a secret "
        "that it shares with the issuer, or decrypts what the issuer encrypted for it "
        "and put into the token (default: derived)",
    )
    tokens.add_argument(
        "--tickets",
        choices=get_args(get_type_hints(Settings)["tickets"]),
        help="the resource server gives clients that ask for one a symmetric key of "
        "its own, unless --symmetric is off (default: on)",
    )
    tokens.add_argument(
        "--post-quantum",
        choices=get_args(get_type_hints(Settings)["post_quantum"]),
        help="accept proofs with ML-DSA, and deliver symmetric keys to keys of "
        "ML-KEM-768 with X25519 (default: off)",
    )
    tokens.add_argument(
        "--introspection-endpoint",
        metavar="URL",
        help="the resource server asks there about tokens (RFC 7662), instead of "
        "verifying them as JWTs (RFC 9068) (with --profile fapi2, the default is that "
        "of the issuer)",
    )
    storage = parser.add_argument_group("what they keep")
    storage.add_argument(
        "--database",
        metavar="URL",
        help=f"SQLAlchemy URL, of the issuer alone (default: {DEFAULT_DATABASE})",
    )
    storage.add_argument(
        "--redis",
        metavar="URL",
        help="where used proofs and pushed requests are kept, for servers on several "
        "machines (default: the database, and SQLite files beside it)",
    )
    storage.add_argument(
        "--keys",
        type=Path,
        metavar="DIR",
        help="directory of the issuer's private keys (default: beside the database)",
    )
    storage.add_argument(
        "--rs-keys",
        type=Path,
        metavar="DIR",
        help="directory of what the resource server keeps (default: the same place, "
        "another name)",
    )
    storage.add_argument(
        "--clients",
        type=Path,
        metavar="FILE",
        help="JSON list of client metadata (RFC 7591) with client_id and "
        "client_secret or jwks, in addition to the built-in clients",
    )
    running = parser.add_argument_group("how they run")
    running.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes of each server (default: 2)",
    )
    running.add_argument("--log-level", choices=logs.LEVELS, help="default: info")
    return parser


def command_parser() -> OptionParser:
    """Return the parser of the command line."""
    shared = option_parser()
    parser = OptionParser(
        prog="python -m demo_server",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[shared],
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", title="commands", parser_class=OptionParser
    )
    for name, text in (
        ("as", "start the authorization server alone"),
        ("rs", "start the resource server alone"),
    ):
        commands.add_parser(
            name, help=text, description=text, parents=[shared], allow_abbrev=False
        )
    keys = commands.add_parser("keys", help="the keys that sign access tokens")
    keys_commands = keys.add_subparsers(dest="action", metavar="ACTION", required=True)
    text = "sign with a new key; the old one stays public until its tokens expire"
    keys_commands.add_parser(
        "rotate", help=text, description=text, parents=[shared], allow_abbrev=False
    )
    text = "print the public keys of the resource server, to be registered"
    commands.add_parser(
        "rs-jwks", help=text, description=text, parents=[shared], allow_abbrev=False
    )
    text = "tell the authorization server the public keys of its resource server"
    register = commands.add_parser(
        "register-resource-server",
        help=text,
        description=text,
        parents=[shared],
        allow_abbrev=False,
    )
    register.add_argument(
        "--jwks",
        required=True,
        metavar="FILE",
        help="what rs-jwks printed; - reads it from the standard input",
    )
    return parser
