"""An authorization server as its clients see it (:rfc:`8414`, RFC 9449 section 5.1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import requests

from dpop_ext.cli.checkup.finding import Finding, bad, good, look
from dpop_ext.cli.limited_answer import MAX_STRUCTURAL, ask
from dpop_ext.core.key import ALGORITHMS
from dpop_ext.core.ml_dsa import ML_DSA
from dpop_ext.core.strict_json import parse_json_object
from dpop_ext.errors import MalformedJOSEError
from dpop_ext.integrations.requests_client.direct import DirectSession

_METADATA = "issuer metadata"
_PATH = "/.well-known/oauth-authorization-server"


def _metadata_url(issuer: str) -> str:
    parts = urlsplit(issuer)
    return urlunsplit(parts._replace(path=_PATH + parts.path.rstrip("/")))


def read_metadata(issuer: str) -> dict[str, Any]:
    """Return the metadata document of *issuer*.

    :raises requests.RequestException: no answer, or another than 200 and JSON.
    :raises ServerAnswerError: it has more than 128 KiB, or does not come in time.
    """
    with DirectSession() as session:
        response, content = ask(session, "GET", _metadata_url(issuer))
    response.raise_for_status()
    try:
        return parse_json_object(content, max_structural=MAX_STRUCTURAL)
    except MalformedJOSEError as error:
        raise requests.exceptions.InvalidJSONError("not a JSON object") from error


def check_issuer(issuer: str) -> Iterator[Finding]:
    """Read the metadata as a client would."""
    try:
        document = read_metadata(issuer)
    except (requests.HTTPError, requests.exceptions.InvalidJSONError) as error:
        found = "no JSON object"
        if isinstance(error, requests.HTTPError):
            found = f"status {error.response.status_code}"
        yield bad(
            _METADATA,
            f"{found} at {urlsplit(_metadata_url(issuer)).path}",
            "Publish the metadata there (RFC 8414), with get_metadata() of DPoP in it.",
        )
        return
    if document.get("issuer") != issuer:
        yield bad(
            _METADATA,
            "it names another issuer",
            "issuer must be what clients and resource servers are configured with, "
            "character by character.",
        )
        return
    algorithms = document.get("dpop_signing_alg_values_supported")
    if not isinstance(algorithms, list) or not algorithms:
        yield bad(
            _METADATA,
            "it has no dpop_signing_alg_values_supported",
            "Clients that look there will not use DPoP: add the extension's metadata.",
        )
    elif not any(name in algorithms for name in (*ALGORITHMS, *ML_DSA)):
        yield look(_METADATA, f"algorithms {algorithms}", "Our clients sign with none.")
    else:
        yield good(_METADATA, f"algorithms {', '.join(map(str, algorithms))}")
