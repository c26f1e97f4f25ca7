"""Errors of the application's own validators, as refusals (RFC 9449 section 7.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6750 import InsufficientScopeError, InvalidTokenError

from dpop_ext.errors import AccessTokenError
from dpop_ext.resource_server.error_refusal import refused
from dpop_ext.resource_server.oauth2_error import RefusedRequestError
from dpop_ext.resource_server.refusal import (
    AccessRefusedError,
    Refusal,
    Scheme,
    insufficient_scope,
)

_ERROR_CODE = re.compile(r"[!#-\[\]-~]+")


def translated(
    error: Exception,
    *,
    scheme: Scheme = "dpop",
    scopes: Iterable[str] | None = None,
    nonce: str | None = None,
) -> AccessRefusedError:
    """Return what to raise for *error*, which a validator of the application raised.

    Authlib's errors challenge for Bearer, or not at all. Anything that is no error of
    Authlib or of this package counts as a bad token.

    :param scopes: named in the answer to ``insufficient_scope``.
    :param nonce: for the next proof.
    """
    if isinstance(error, AccessRefusedError | RefusedRequestError):
        return AccessRefusedError(error.refusal)
    if isinstance(error, InsufficientScopeError):
        needed = next(iter(scopes or ()), None)
        refusal = insufficient_scope(needed, scheme=scheme, nonce=nonce)
        return AccessRefusedError(refusal)
    if isinstance(error, OAuth2Error):
        chosen = _of_application(error, scheme)
        if chosen is not None:
            return AccessRefusedError(chosen)
        invalid = AccessTokenError()
        invalid.__cause__ = error
        error = invalid
    return refused(error, AccessTokenError, scheme=scheme, nonce=nonce)


def _of_application(error: OAuth2Error, scheme: Scheme) -> Refusal | None:
    """Return the refusal for an error that the application chose, such as step-up.

    :returns: None for a bad token, and for an error without a code that can be sent.
    """
    code = error.error
    if isinstance(error, InvalidTokenError) or not isinstance(code, str):
        return None
    if not _ERROR_CODE.fullmatch(code):
        return None
    return Refusal(
        status=error.status_code if 400 <= error.status_code < 600 else 401,
        reason="application",
        error=code,
        schemes=(scheme,),
        cause=type(error).__name__,
    )
