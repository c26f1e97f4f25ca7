"""Claims of a proof by their JSON type (RFC 7519 section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dpop_ext.errors import MalformedProofError


def text_claim(claims: Mapping[str, Any], name: str, *, limit: int = 8192) -> str:
    """Return a claim that must be a string of 1 to *limit* characters.

    :raises MalformedProofError: it is missing, or something else.
    """
    value = claims.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= limit:
        raise MalformedProofError("A claim of the DPoP proof is missing or malformed.")
    return value


def time_claim(claims: Mapping[str, Any], name: str) -> float:
    """Return a claim that must be a number of seconds since the epoch.

    :raises MalformedProofError: it is missing, or something else.
    """
    value = claims.get(name)
    # A bool is an int in Python; true is no time.
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise MalformedProofError("A time of the DPoP proof is missing or malformed.")
    return value
