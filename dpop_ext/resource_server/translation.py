"""Errors of the application's own validators, as refusals (RFC 9449 section 7.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NoReturn

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6750 import InsufficientScopeError, InvalidTokenError

from dpop_ext.errors import AccessTokenError
from dpop_ext.resource_server.oauth2_error import RefusedRequestError
from dpop_ext.resource_server.refusal import (
    AccessRefusedError,
    Refusal,
    Scheme,
    insufficient_scope,
    refusing,
)

_ERROR_CODE = re.compile(r"[!#-\[\]-~]+")


class translating:  # noqa: N801 - reads like contextlib.suppress
    """Turn what a validator of the application raises into a refusal of ours.

    Authlib's errors challenge for Bearer, or not at all. Anything that is no error of
    Authlib or of this package counts as a bad token. A class, as :class:`refusing` is:
    four generators take longer for a request than its MAC.

    :param scopes: named in the answer to ``insufficient_scope``.
    :param nonce: for the next proof.
    """

    __slots__ = ("_nonce", "_scheme", "_scopes")

    def __init__(
        self,
        *,
        scheme: Scheme = "dpop",
        scopes: Iterable[str] | None = None,
        nonce: str | None = None,
    ) -> None:
        self._scheme: Scheme = scheme
        self._scopes = scopes
        self._nonce = nonce

    def __enter__(self) -> None:
        """Do nothing yet."""

    def __exit__(
        self, kind: object, error: BaseException | None, traceback: object
    ) -> None:
        if not isinstance(error, Exception) or isinstance(error, AccessRefusedError):
            return
        with refusing(AccessTokenError, scheme=self._scheme, nonce=self._nonce):
            self._translate(error)

    def _translate(self, error: Exception) -> NoReturn:
        if isinstance(error, RefusedRequestError):
            raise AccessRefusedError(error.refusal) from error
        if isinstance(error, InsufficientScopeError):
            needed = next(iter(self._scopes or ()), None)
            raise AccessRefusedError(
                insufficient_scope(needed, scheme=self._scheme, nonce=self._nonce)
            ) from error
        if isinstance(error, InvalidTokenError):
            raise AccessTokenError from error
        if isinstance(error, OAuth2Error):
            raise AccessRefusedError(_of_application(error, self._scheme)) from error
        raise error


def _of_application(error: OAuth2Error, scheme: Scheme) -> Refusal:
    """Return the refusal for an error that the application chose, such as step-up."""
    code = error.error
    if not isinstance(code, str) or not _ERROR_CODE.fullmatch(code):
        raise AccessTokenError from error
    return Refusal(
        status=error.status_code if 400 <= error.status_code < 600 else 401,
        reason="application",
        error=code,
        schemes=(scheme,),
        cause=type(error).__name__,
    )
