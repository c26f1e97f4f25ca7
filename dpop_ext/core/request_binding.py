"""What binds a proof to its request: URL and token (:rfc:`9449#section-4.3`)."""

from __future__ import annotations

import hmac

from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.target import normalize_target
from dpop_ext.core.token_text import token_digest
from dpop_ext.errors import TargetMismatchError, TokenMismatchError


def access_token_hash(token: str) -> str:
    """Return the ``ath`` of an access token: its SHA-256, base64url."""
    return b64url_encode(token_digest(token))


def check_access_token_hash(ath: object, access_token: str) -> None:
    """Compare ``ath`` with the access token of the request.

    :raises TokenMismatchError: it is missing, mistyped, or of another token.
    """
    check_hash(ath, access_token_hash(access_token))


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


def check_target(htu: str, url: str) -> None:
    """Compare ``htu`` with the URL of the request, both normalised.

    :raises TargetMismatchError: they differ, or one is not an absolute http(s) URI.
    """
    try:
        target = normalize_target(url)
        # What is normalised stays as it is.
        same = htu == target or normalize_target(htu) == target
    except ValueError as error:
        raise TargetMismatchError(expected=url.partition("?")[0], found=htu) from error
    if not same:
        raise TargetMismatchError(expected=target, found=htu)
