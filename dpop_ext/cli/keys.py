"""``dpop-ext keygen`` and ``thumbprint``: the key of a client (:rfc:`7638`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dpop_ext.cli.closing import closing
from dpop_ext.cli.group import Refusal
from dpop_ext.cli.output import json_option, print_json
from dpop_ext.cli.parameters import FILE
from dpop_ext.client.key_generation import generate_key
from dpop_ext.client.keyfile import load_key, save_key
from dpop_ext.core.akp import AnyKey, any_thumbprint
from dpop_ext.core.key import ALGORITHMS
from dpop_ext.core.ml_dsa import ML_DSA

key_option = click.option(
    "--key",
    "key_path",
    type=FILE,
    required=True,
    envvar="DPOP_EXT_KEY",
    metavar="FILE",
    help="Private JWK, mode 0600: dpop-ext keygen FILE [env: DPOP_EXT_KEY].",
)


def read_key(path: Path) -> AnyKey:
    """Return the private key in a file.

    :raises Refusal: it cannot be read, others may read it, or it is no key.
    """
    try:
        return load_key(path)
    except FileNotFoundError as error:
        advice = f"dpop-ext keygen {path}"
        raise Refusal(f"{path}: there is no such file: {advice}") from error
    except (OSError, ValueError) as error:
        raise Refusal(f"{path}: {_reason(error)}") from error


@click.command(epilog=closing("dpop-ext keygen client.jwk"))
@click.argument("path", type=FILE, metavar="FILE")
@click.option(
    "--algorithm",
    type=click.Choice([*ALGORITHMS, *ML_DSA]),
    default="ES256",
    show_default=True,
    help="What it signs with.",
)
@click.option("--force", is_flag=True, help="Replace a key that is there.")
@json_option
def keygen(path: Path, *, algorithm: str, force: bool, as_json: bool) -> None:
    """Make a private key in FILE, which only its owner can read.

    Tokens that are bound to a key are lost with it: it is not replaced unless --force
    says so.
    """
    if path.exists() and not force:
        raise Refusal(f"{path}: there is a file already; --force replaces it")
    try:
        key = generate_key(algorithm)
        save_key(path, key)
    except (OSError, ValueError) as error:
        raise Refusal(f"{path}: {_reason(error)}") from error
    _print(key, as_json=as_json)


@click.command(epilog=closing("dpop-ext thumbprint client.jwk"))
@click.argument("path", type=FILE, metavar="FILE")
@json_option
def thumbprint(path: Path, *, as_json: bool) -> None:
    """Print the thumbprint (jkt) of the private key in FILE.

    It is the dpop_jkt of authorization requests, and the cnf.jkt of tokens.
    """
    _print(read_key(path), as_json=as_json)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _print(key: AnyKey, *, as_json: bool) -> None:
    jkt = any_thumbprint(key)
    if as_json:
        public: dict[str, Any] = dict(key.as_dict(private=False))
        print_json({"jkt": jkt, "jwk": public})
    else:
        click.echo(jkt)
