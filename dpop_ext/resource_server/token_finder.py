"""What the validators of this package share: one call, and the three of Authlib."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from authlib.oauth2.rfc6749 import TokenValidator
from authlib.oauth2.rfc6750 import InsufficientScopeError

from dpop_ext.core.confirmation import AccessToken


class TokenFinder(ABC):
    """Verify the text of an access token.

    It is a ``find_token`` for :class:`~dpop_ext.resource_server.gate.Gate` and the WSGI
    middleware, and an inner validator for
    :class:`~dpop_ext.resource_server.validator.DPoPTokenValidator`. It is no validator
    for Bearer tokens by itself: put
    :class:`~dpop_ext.resource_server.bearer_validator.RejectBoundTokens` before it.
    """

    @abstractmethod
    def __call__(self, text: str) -> AccessToken:
        """Return the verified token.

        :param text: as received.
        :raises AccessTokenError: it is not valid here.
        :raises StoreError: that cannot be told now.
        """

    def authenticate_token(self, token_string: str) -> AccessToken:
        """Return the verified token, for Authlib."""
        return self(token_string)

    def validate_request(self, request: Any) -> None:  # noqa: B027 - optional to override
        """Ask nothing more of a request."""

    def validate_token(
        self, token: AccessToken, scopes: Any, request: Any, **kwargs: Any
    ) -> None:
        """Check the scope. Everything else was checked when the token was found."""
        if not scopes:
            return
        granted = token.scope.split()
        for alternative in scopes:
            # One scope is the rule, and needs no sets.
            if alternative in granted:
                return
        if TokenValidator.scope_insufficient(token.scope, scopes):
            raise InsufficientScopeError
