"""Errors of the application's own validators, as refusals (RFC 9449 section 7.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

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


@contextmanager
def translating(
    *,
    scheme: Scheme = "dpop",
    scopes: Iterable[str] | None = None,
    nonce: str | None = None,
) -> Iterator[None]:
    """Turn what a validator of the application raises into a refusal of ours.

    Authlib's errors challenge for Bearer, or not at all. Anything that is no error of
    Authlib or of this package counts as a bad token.

    :param scopes: named in the answer to ``insufficient_scope``.
    :param nonce: for the next proof.
    """
    with refusing(AccessTokenError, scheme=scheme, nonce=nonce):
        try:
            yield
        except RefusedRequestError as error:
            raise AccessRefusedError(error.refusal) from error
        except InsufficientScopeError as error:
            needed = next(iter(scopes or ()), None)
            raise AccessRefusedError(
                insufficient_scope(needed, scheme=scheme, nonce=nonce)
            ) from error
        except InvalidTokenError as error:
            raise AccessTokenError from error
        except OAuth2Error as error:
            raise AccessRefusedError(_of_application(error, scheme)) from error


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
