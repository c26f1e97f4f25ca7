"""Digests of a request's content and query in its proof (DPoP Symmetric Profile 1.0).

:rfc:`9449` covers method, URL and token. What else a request says can be changed by
whoever forwards it, unless its proof has the claims ``cd`` and ``hq``.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Any

from dpop_ext.core.base64url import b64url_encode
from dpop_ext.errors import DigestMismatchError, MissingDigestError


def content_digest(content: bytes) -> str:
    """Return the ``cd`` of a content: its SHA-256, base64url.

    :param content: as it is sent, with its content coding; empty if there is none.
    """
    return b64url_encode(hashlib.sha256(content).digest())


def query_digest(target: str) -> str:
    """Return the ``hq`` of a request: the SHA-256 of its query, base64url.

    :param target: the request target as it is sent, or a URL of that form. The query is
        what stands after the first question mark, and empty if there is none.
    :raises ValueError: a character that stands for no byte.
    """
    return content_digest(target.partition("?")[2].encode("latin-1"))


def check_digests(
    claims: Mapping[str, Any],
    *,
    target: str,
    read_content: Callable[[], bytes] | None,
    required: bool,
) -> None:
    """Compare ``cd`` and ``hq`` with the request, each one that there is.

    :param claims: of a proof whose signature or MAC and whose token were verified: only
        then is the content worth reading.
    :param target: the request target as received.
    :param read_content: returns the content as received; called if there is ``cd``.
        None leaves that claim to a server that has the content.
    :param required: whether both must be there.
    :raises MissingDigestError: one is required and not there.
    :raises DigestMismatchError: one is of another content or query, or no digest.
    """
    if required and not ("cd" in claims and "hq" in claims):
        raise MissingDigestError
    if "hq" in claims:
        try:
            expected = query_digest(target)
        except ValueError as error:
            raise DigestMismatchError from error
        _check(claims["hq"], expected)
    if "cd" in claims and read_content is not None:
        _check(claims["cd"], content_digest(read_content()))


def _check(claim: object, expected: str) -> None:
    if not isinstance(claim, str) or not hmac.compare_digest(
        claim.encode("utf-8", "surrogatepass"), expected.encode()
    ):
        raise DigestMismatchError
