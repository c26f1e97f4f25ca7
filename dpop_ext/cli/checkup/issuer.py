"""An authorization server as its clients see it (:rfc:`8414`, RFC 9449 section 5.1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import requests

from dpop_ext.cli.checkup.finding import Finding, bad, good, look
from dpop_ext.cli.checkup.probe import TIMEOUT
from dpop_ext.core.key import ALGORITHMS
from dpop_ext.core.ml_dsa import ML_DSA

_METADATA = "issuer metadata"
_PATH = "/.well-known/oauth-authorization-server"


def read_metadata(issuer: str) -> dict[str, Any]:
    """Return the metadata document of *issuer*.

    :raises requests.RequestException: no answer, or another than 200 and JSON.
    """
    parts = urlsplit(issuer)
    url = urlunsplit(parts._replace(path=_PATH + parts.path.rstrip("/")))
    response = requests.get(url, timeout=TIMEOUT, allow_redirects=False)
    response.raise_for_status()
    document = response.json()
    if not isinstance(document, dict):
        raise requests.exceptions.InvalidJSONError("not a JSON object")
    return document


def check_issuer(issuer: str) -> Iterator[Finding]:
    """Read the metadata as a client would."""
    document = read_metadata(issuer)
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
    elif not {*ALGORITHMS, *ML_DSA} & set(algorithms):
        yield look(_METADATA, f"algorithms {algorithms}", "Our clients sign with none.")
    else:
        yield good(_METADATA, f"algorithms {', '.join(map(str, algorithms))}")
