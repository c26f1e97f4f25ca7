"""What ``dpop-ext curl`` makes of an answer, and of none."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import click
import requests
from authlib.common.errors import AuthlibBaseError
from requests import Response

from dpop_ext.cli.group import NoAnswer, Refusal
from dpop_ext.cli.output import printable
from dpop_ext.cli.shown_exchange import error_code
from dpop_ext.core.target import origin

#: Bytes that are read and written at a time.
_PIECE = 64 * 1024


class BadStatus(Refusal):
    """The server refused, and ``--fail`` was given; exit code 22, as of curl."""

    exit_code = 22


@contextmanager
def answered() -> Iterator[None]:
    """Say in one line why there is no answer.

    :raises NoAnswer: the server cannot be reached, or broke off.
    :raises Refusal: there is no token to send, or it is none.
    """
    try:
        yield
    except requests.RequestException as error:
        raise NoAnswer(_cause(error)) from error
    except AuthlibBaseError as error:
        raise Refusal(
            f"the token cannot be refreshed ({printable(str(error.error))}): "
            "dpop-ext login"
        ) from error
    except ValueError as error:
        raise Refusal(printable(str(error))) from error


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
    file.flush()


def _cause(error: requests.RequestException) -> str:
    where = "the server"
    if error.request is not None and error.request.url:
        where = origin(error.request.url)
    match error:
        case requests.Timeout():
            return f"{where}: no answer in time; --max-time gives it longer"
        case requests.exceptions.SSLError():
            return f"{where}: not a certificate to be trusted; --cacert names who is"
        case requests.exceptions.ProxyError():
            return f"{where}: the proxy does not let us through"
        case requests.TooManyRedirects():
            return f"{where}: too many redirects"
        case requests.exceptions.ChunkedEncodingError():
            return f"{where}: the answer broke off"
        case requests.HTTPError() if error.response is not None:
            return f"{where}: status {error.response.status_code}"
        case requests.ConnectionError():
            return f"{where}: no connection; is the URL right, and the server up?"
        case _:
            return f"{where}: no answer ({type(error).__name__})"
