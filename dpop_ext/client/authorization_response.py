"""What an authorization server answers through the browser: :rfc:`6749#section-4.1.2`.

With the check of who answered (:rfc:`9207`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from dpop_ext.errors import AuthorizationResponseError, WrongIssuerError

#: Characters of an authorization response.
MAX_RESPONSE: Final = 16 * 1024
#: Parameters of an authorization response.
_MAX_PARAMETERS = 32

_ERROR = re.compile(r"[a-z_]{1,64}")


def read_response(response: str | Mapping[str, str]) -> dict[str, str]:
    """Return the parameters of an authorization response.

    :param response: the URL that the browser was sent to, or its query parameters.
    :raises AuthorizationResponseError: it is malformed, or a parameter is repeated.
    """
    if isinstance(response, str):
        pairs = _parse_query(response)
    else:
        # Those of web frameworks show one value of each, and have a way to all.
        values = getattr(response, "getlist", lambda name: [response[name]])
        pairs = [(name, value) for name in response for value in values(name)]
    # Raised here: the context of an exception could carry the code.
    if pairs is None or not all(isinstance(value, str) for _, value in pairs):
        raise AuthorizationResponseError
    parameters = dict(pairs)
    if len(parameters) != len(pairs):
        raise AuthorizationResponseError
    return parameters


def check_issuer(
    parameters: Mapping[str, str], *, issuer: str, promises_issuer: bool
) -> None:
    """Check who answered (:rfc:`9207#section-2.4`).

    :param parameters: of the response.
    :param issuer: identifier of the server that was asked.
    :param promises_issuer: it has promised to say who it is.
    :raises WrongIssuerError: ``iss`` names another server, or is missing though the
        server promised it.
    """
    named = parameters.get("iss")
    if named != issuer and (named is not None or promises_issuer):
        raise WrongIssuerError


def read_error(value: object) -> str:
    """Return the error code that a server named; empty if it is no usual one."""
    return value if isinstance(value, str) and _ERROR.fullmatch(value) else ""


def _parse_query(url: str) -> list[tuple[str, str]] | None:
    if len(url) > MAX_RESPONSE:
        return None
    try:
        return parse_qsl(
            urlsplit(url).query,
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MAX_PARAMETERS,
        )
    except ValueError:
        return None
