"""A mixin that would do nothing is refused where the class is defined."""

from __future__ import annotations

import pytest
from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc6750 import BearerTokenValidator
from authlib.oauth2.rfc7662 import IntrospectionEndpoint

from dpop_ext.authorization_server import IntrospectionConfirmation
from dpop_ext.integrations.sqla_oauth2 import RedeemOnce
from dpop_ext.resource_server import AccessTokenValidator, RejectBoundTokens


class Rows(BearerTokenValidator):
    """A validator of the application, which has no method of the mixin itself."""


class Cooperative:
    def create_token_response(self) -> object:
        return super().create_token_response()  # type: ignore[misc]


@pytest.mark.parametrize(
    ("mixin", "extended"),
    [
        (RedeemOnce, grants.AuthorizationCodeGrant),
        (RedeemOnce, grants.RefreshTokenGrant),
        (RejectBoundTokens, Rows),
        (RejectBoundTokens, AccessTokenValidator),
        (IntrospectionConfirmation, IntrospectionEndpoint),
    ],
)
def test_a_mixin_stands_before_what_it_extends(mixin: type, extended: type) -> None:
    type("Good", (mixin, extended), {})
    with pytest.raises(TypeError, match=rf"class Wrong\({mixin.__name__}, "):
        type("Wrong", (extended, mixin), {})


def test_what_passes_the_call_on_may_stand_before_a_mixin() -> None:
    type("Good", (Cooperative, RedeemOnce, grants.RefreshTokenGrant), {})
