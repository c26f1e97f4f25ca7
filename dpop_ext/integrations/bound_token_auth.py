"""The token of a session, bound or not sent at all: :rfc:`9449`, sections 5 and 7.1."""

from __future__ import annotations

import math
from typing import Any

from authlib.integrations.base_client import UnsupportedTokenTypeError
from authlib.oauth2.rfc6749 import OAuth2Token

from dpop_ext.client.token_response import is_bound, require_bound
from dpop_ext.errors import ServerAnswerError


class BoundTokenAuth:
    """Mixed into what signs for a session of Authlib, before it."""

    def set_token(self: Any, token: dict[str, Any] | None) -> None:
        """Use *token* from now on.

        :raises UnboundTokenError: it is not of the type ``DPoP``; the one before
            stays.
        :raises ServerAnswerError: nobody knows when it expires; likewise.
        """
        if token is not None:
            require_bound(token)
            token = _with_end(token)
        before = self.token
        super().set_token(token)  # type: ignore[misc]
        if before and before.get("access_token") != (token or {}).get("access_token"):
            self.client.dpop.forget(before.get("access_token", ""))

    def bound_token(self: Any) -> dict[str, Any]:
        """Return the token response whose access token is sent.

        :raises UnsupportedTokenTypeError: there is none of the type ``DPoP``.
        """
        token: dict[str, Any] | None = self.token
        if not token or not is_bound(token):
            # Never as Bearer: whoever sees it there can use it.
            raise UnsupportedTokenTypeError(description="The token is not bound.")
        return token


def _with_end(token: dict[str, Any]) -> OAuth2Token:
    """Return *token* with ``expires_at``, if it has a time in it.

    Authlib takes what the server says as it comes.
    """
    try:
        made = OAuth2Token.from_dict(token)
        end = made.get("expires_at")
        # NaN gets by as it is, and Authlib would never find the token expired.
        good = end is None or (isinstance(end, int | float) and math.isfinite(end))
    except (TypeError, ValueError, OverflowError):
        good = False
    if not good:
        raise ServerAnswerError("The times of the token response are no times.")
    return made
