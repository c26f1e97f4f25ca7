"""What binds a proof to its request: URL and token (:rfc:`9449#section-4.3`)."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any

from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.target import normalize_target
from dpop_ext.core.token_text import token_digest
from dpop_ext.errors import TargetMismatchError, TokenMismatchError


def access_token_hash(token: str) -> str:
    """Return the ``ath`` of an access token: its SHA-256, base64url."""
    return b64url_encode(token_digest(token))


def check_request(
    claims: Mapping[str, Any],
    *,
    method: str,
    url: str,
    ath: str | None,
    target: str | None = None,
) -> None:
    """Check that a proof was made for this request.

    :param claims: of the proof; ``htm`` and ``htu`` are text.
    :param method: of the request, as received.
    :param url: absolute URL of the request; query and fragment are ignored.
    :param ath: hash of the access token of the request; None ignores the claim.
    :param target: *url* as it is normalised; None if that is still to be done.
    :raises TargetMismatchError: ``htm`` or ``htu`` names another request.
    :raises TokenMismatchError: ``ath`` is missing, mistyped, or of another token.
    """
    # Methods are case-sensitive, and HEAD is not GET.
    if claims["htm"] != method:
        raise TargetMismatchError(expected=method, found=claims["htm"])
    check_target(claims["htu"], url, target)
    if ath is not None:
        check_hash(claims.get("ath"), ath)


def check_hash(ath: object, expected: str) -> None:
    """Compare ``ath`` with the hash of the access token of the request.

    :raises TokenMismatchError: it is missing, mistyped, or of another token.
    """
    # Text is compared in constant time too, if it is ASCII.
    if (
        not isinstance(ath, str)
        or not ath.isascii()
        or not hmac.compare_digest(ath, expected)
    ):
        raise TokenMismatchError


def check_target(htu: str, url: str, target: str | None = None) -> None:
    """Compare ``htu`` with the URL of the request, both normalised.

    :param target: *url* as it is normalised; None if that is still to be done.
    :raises TargetMismatchError: they differ, or one is not an absolute http(s) URI.
    """
    try:
        target = normalize_target(url) if target is None else target
        # What is normalised stays as it is.
        same = htu == target or normalize_target(htu) == target
    except ValueError as error:
        raise TargetMismatchError(expected=url.partition("?")[0], found=htu) from error
    if not same:
        raise TargetMismatchError(expected=target, found=htu)
