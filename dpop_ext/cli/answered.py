"""Why there is no answer, in one line (:rfc:`6749#section-5.2`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import requests
from authlib.common.errors import AuthlibBaseError

from dpop_ext.cli.group import NoAnswer, Refusal
from dpop_ext.cli.output import printable
from dpop_ext.core.target import origin


@contextmanager
def answered(failed: str) -> Iterator[None]:
    """Turn what HTTP libraries raise into a line.

    :param failed: what an error of the authorization server means.
    :raises NoAnswer: a server cannot be reached, or broke off.
    :raises Refusal: the authorization server refused, or what is to be sent is none.
    """
    try:
        yield
    except requests.RequestException as error:
        raise NoAnswer(_cause(error)) from error
    except AuthlibBaseError as error:
        raise Refusal(f"{failed} ({printable(str(error.error))})") from error
    except ValueError as error:
        raise Refusal(printable(str(error))) from error


def _cause(error: requests.RequestException) -> str:
    where = "the server"
    if error.request is not None and error.request.url:
        # Of a URL with a user and a password, it is none to be named.
        with suppress(ValueError):
            where = origin(error.request.url)
    match error:
        case requests.Timeout():
            return f"{where}: no answer in time"
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
