"""Bearer validators of Authlib that refuse bound tokens (:rfc:`9449#section-7.2`)."""

from __future__ import annotations

from typing import Any

from authlib.oauth2.rfc6750 import InvalidTokenError

from dpop_ext.core.confirmation import Confirmation
from dpop_ext.errors import AccessTokenError, StoreError
from dpop_ext.mixin_order import require_first
from dpop_ext.resource_server.bound_token import read_confirmation
from dpop_ext.resource_server.challenges import Challenges
from dpop_ext.resource_server.decision import check_bearer
from dpop_ext.resource_server.error_refusal import refuse
from dpop_ext.resource_server.oauth2_error import RefusedRequestError


class RejectBoundTokens:
    """Make a Bearer validator of Authlib refuse bound tokens (:rfc:`9449#section-7.2`).

    ::

        class MyBearer(RejectBoundTokens, MyTokenValidator): ...

    Without it, whoever stole a bound token can use it as Bearer: the validators of
    Authlib do not look at ``cnf``. A token of which it cannot be told whether it is
    bound is refused too.
    """

    TOKEN_TYPE = "bearer"
    realm: str | None = None
    extra_attributes: Any = None

    def __init_subclass__(cls, **options: Any) -> None:
        """Refuse a validator that would not ask this mixin.

        :raises TypeError: the validator that it extends stands before it.
        """
        super().__init_subclass__(**options)
        require_first(cls, RejectBoundTokens, "validate_token")

    def get_confirmation(self, token: Any) -> Confirmation | None:
        """Return the key that *token* is bound to, or None. Override for other tokens.

        :raises AccessTokenError: bound, but in a way that cannot be verified.
        """
        return read_confirmation(token)

    def authenticate_token(self, token_string: str) -> Any:
        """Let the validator find the token; one of ours raises no error of Authlib."""
        try:
            return super().authenticate_token(token_string)  # type: ignore[misc]
        except AccessTokenError as error:
            raise self._invalid_token() from error
        except StoreError as error:
            # The answer to that has no challenge.
            unused = Challenges(algorithms=())
            raise RefusedRequestError(refuse(error), unused) from error

    def validate_token(
        self, token: Any, scopes: Any, request: Any, **kwargs: Any
    ) -> None:
        """Refuse *token* if it is bound, else let the validator decide."""
        try:
            # While proofs are observed, whoever observes says so.
            if token is not None and not hasattr(request, "dpop_observation"):
                given = getattr(request, "resource_request", None)
                check_bearer(
                    self.get_confirmation(token),
                    certificate=getattr(given, "certificate", None),
                )
        except Exception as error:
            raise self._invalid_token() from error
        super().validate_token(token, scopes, request, **kwargs)  # type: ignore[misc]

    def _invalid_token(self) -> InvalidTokenError:
        return InvalidTokenError(
            realm=self.realm, extra_attributes=self.extra_attributes
        )
