"""What ``dpop-ext curl`` makes of an answer, and of none."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import IO

import click
import requests
from requests import Response

from dpop_ext.cli.group import Refusal
from dpop_ext.cli.output import printable
from dpop_ext.cli.shown_exchange import error_code

#: Bytes that are read and written at a time.
_PIECE = 64 * 1024


class BadStatus(Refusal):
    """The server refused, and ``--fail`` was given; exit code 22, as of curl."""

    exit_code = 22


def check_target(path: Path) -> None:
    """Look whether the answer can be written, before a request has done its work.

    :raises Refusal: there is no such directory, or the file is not ours to write.
    """
    if not path.parent.is_dir():
        raise Refusal(f"{path}: there is no such directory")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise Refusal(f"{path}: Permission denied")


def check_status(response: Response, *, fail: bool) -> None:
    """Say on standard error why the server refused the token or the proof.

    :raises BadStatus: it refused for any reason, and *fail* is true.
    """
    code = error_code(response)
    text = f"the server answered {response.status_code} {code}".rstrip()
    if code == "invalid_token":
        text += "; --refresh gets a new token for a session"
    elif code:
        text += "; -v shows the exchange"
    if fail and response.status_code >= 400:
        raise BadStatus(text)
    if code:
        click.echo(f"dpop-ext: {text}", err=True)


def print_answer(response: Response, path: Path | None, *, include: bool) -> None:
    """Write the content as it came, after content decoding.

    :param path: None is standard output.
    :param include: status and header fields before it.
    :raises Refusal: the file cannot be written.
    """
    if path is None:
        _write(response, sys.stdout.buffer, include=include)
        return
    try:
        with path.open("wb") as file:
            _write(response, file, include=include)
    except requests.RequestException:
        raise
    except OSError as error:
        raise Refusal(f"{path}: {error.strerror}") from error


def _write(response: Response, file: IO[bytes], *, include: bool) -> None:
    if include:
        lines = [f"HTTP {response.status_code} {response.reason}"]
        lines += [f"{name}: {value}" for name, value in response.headers.items()]
        file.write("".join(f"{printable(line)}\n" for line in [*lines, ""]).encode())
    for piece in response.iter_content(_PIECE):
        file.write(piece)
