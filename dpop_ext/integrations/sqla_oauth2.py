"""Models and grants on SQLAlchemy: what to store with a code and a token, and one use.

Extends :mod:`authlib.integrations.sqla_oauth2`. The values come from :rfc:`9449`,
sections 5, 6 and 10; that a code has one use, from :rfc:`6749#section-4.1.2`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, cast

from authlib.oauth2.rfc6749 import InvalidGrantError

from dpop_ext.extras import needs

with needs("sql"):
    from sqlalchemy import Integer, String, Text, inspect, text, update
    from sqlalchemy.engine import CursorResult
    from sqlalchemy.orm import Mapped, Session, mapped_column, scoped_session

from dpop_ext.authorization_server import dpop_columns
from dpop_ext.mixin_order import require_first

AnySession = Session | scoped_session[Session]


class OAuth2DPoPTokenMixin:
    """Columns for the keys that an access token and its refresh token are bound to.

    ::

        class Token(Base, OAuth2TokenMixin, OAuth2DPoPTokenMixin): ...

    :func:`create_save_token_func` fills them.
    """

    #: Thumbprint of the key that the access token is bound to; None for Bearer.
    dpop_jkt: Mapped[str | None] = mapped_column(String(43), default=None)
    #: The same of the refresh token, which is bound for public clients only.
    refresh_dpop_jkt: Mapped[str | None] = mapped_column(String(43), default=None)
    #: JSON: how a resource server derives the symmetric key of an opaque token.
    dpop_dsk: Mapped[str | None] = mapped_column(Text, default=None)


class OAuth2RedeemableMixin:
    """Column for the one use of a code or device code, see :class:`RedeemOnce`."""

    #: Seconds since the epoch; 0 as long as nothing was issued for it. The database
    #: knows that, too: an application that has no such column yet may write rows.
    redeemed_at: Mapped[int] = mapped_column(
        Integer, default=0, server_default=text("0")
    )


class OAuth2DPoPCodeMixin(OAuth2RedeemableMixin):
    """Columns of an authorization code.

    ::

        class AuthorizationCode(
            Base, OAuth2AuthorizationCodeMixin, OAuth2DPoPCodeMixin
        ): ...

    ``save_authorization_code`` stores ``dpop_jkt=request.dpop_jkt``.
    """

    #: Thumbprint of the one key that may redeem the code; None for any.
    dpop_jkt: Mapped[str | None] = mapped_column(String(43), default=None)


def create_save_token_func(
    session: AnySession, token_model: type[Any]
) -> Callable[[dict[str, Any], Any], None]:
    """Create a ``save_token`` function, as Authlib's of this name, that keeps the keys.

    :param session: SQLAlchemy session.
    :param token_model: a model with :class:`OAuth2DPoPTokenMixin`.
    :raises TypeError: *token_model* lacks one of its columns.
    """
    missing = [
        name
        for name in ("dpop_jkt", "refresh_dpop_jkt", "dpop_dsk")
        if not hasattr(token_model, name)
    ]
    if missing:
        raise TypeError(
            f"token_model has no {', '.join(missing)}: "
            f"class {token_model.__name__}(..., OAuth2DPoPTokenMixin)"
        )

    def save_token(token: dict[str, Any], request: Any) -> None:
        item = token_model(
            client_id=request.client.client_id,
            user_id=request.user.get_user_id() if request.user else None,
            **dpop_columns(request),
            **token,
        )
        session.add(item)
        session.commit()

    return save_token


def claim(session: AnySession, row: object, column: str, *, now: int) -> bool:
    """Set *column* of *row* from 0 to *now*; tell whether it was this call that did.

    One conditional ``UPDATE``, committed at once: of any number of requests, in any
    number of processes, one gets True. To read the row, save the token and write the
    row afterwards would let all of them through.

    :param session: its pending changes are committed too.
    :param row: a stored row with a primary key.
    :param column: name of an integer column, 0 in rows not yet used.
    :param now: seconds since the epoch, not 0.
    """
    model, mapper = type(row), inspect(type(row))
    identity = zip(
        mapper.primary_key, mapper.primary_key_from_instance(row), strict=True
    )
    statement = (
        update(model)
        .where(*(key == value for key, value in identity))
        .where(getattr(model, column) == 0)
        .values({column: now})
        .execution_options(synchronize_session=False)
    )
    result = cast("CursorResult[Any]", session.execute(statement))
    session.commit()
    session.expire(row, [column])
    return result.rowcount == 1


class RedeemOnce:
    """Mixin for grants: a code, device code or refresh token is good for one token.

    Authlib reads it, saves the new token and then marks it as used, so two requests
    that come together both get a token. ::

        class AuthorizationCodeGrant(RedeemOnce, grants.AuthorizationCodeGrant):
            def get_session(self):
                return db.session

    Works with the grants ``authorization_code`` and ``device_code``, whose model has
    :class:`OAuth2RedeemableMixin`, and with ``refresh_token`` if refresh tokens are
    rotated (``INCLUDE_NEW_REFRESH_TOKEN``). It is the last check, when the new token is
    made and not yet saved: a request that is refused, or that fails, for another reason
    uses nothing up. A second use looks like a theft, and a client that tries again
    after an error must not be taken for a thief.
    """

    #: Where a grant keeps what it redeems, and the column that says it is used.
    REDEEMED = {  # noqa: RUF012
        "authorization_code": ("authorization_code", "redeemed_at"),
        "refresh_token": ("refresh_token", "refresh_token_revoked_at"),
        "urn:ietf:params:oauth:grant-type:device_code": ("credential", "redeemed_at"),
    }

    #: Seconds since the epoch.
    clock: Callable[[], float] = staticmethod(time.time)
    _is_redeemed = False

    def __init_subclass__(cls, **options: Any) -> None:
        """Refuse a grant that would not ask this mixin.

        :raises TypeError: the grant of Authlib stands before it.
        """
        super().__init_subclass__(**options)
        require_first(cls, RedeemOnce, "create_token_response")

    def get_session(self) -> AnySession:
        """Return the SQLAlchemy session. Developers MUST implement this method."""
        raise NotImplementedError(
            f"{type(self).__name__} needs a method get_session that returns the "
            "SQLAlchemy session, for RedeemOnce."
        )

    def redeem(self, credential: Any) -> bool:
        """Mark *credential* as used; tell whether it was not yet.

        For ``delete_authorization_code`` as well, which also uses up a code that came
        with the wrong key::

            def delete_authorization_code(self, authorization_code):
                self.redeem(authorization_code)
        """
        grant: Any = self
        _, column = self.REDEEMED[grant.GRANT_TYPE]
        now = int(self.clock())
        return claim(self.get_session(), credential, column, now=now)

    def on_second_use(self, credential: Any) -> None:
        """React to a second use by a client that passed every other check.

        Does nothing. Developers SHOULD re-implement this method to revoke what was
        issued at the first use (:rfc:`6749#section-10.5`, :rfc:`9700#section-4.14.2`).
        """

    def create_token_response(self) -> Any:
        """Do what the grant does, and redeem the credential on the way.

        :raises InvalidGrantError: it was used before.
        """
        self._is_redeemed = False
        grant: Any = super()
        response = grant.create_token_response()
        # Of a grant that saves no token, or has a method of its own for it.
        self._redeem_once()
        return response

    def save_token(self, token: dict[str, Any]) -> Any:
        """Redeem the credential, then save the token.

        :raises InvalidGrantError: it was used before.
        """
        self._redeem_once()
        grant: Any = super()
        return grant.save_token(token)

    def _redeem_once(self) -> None:
        grant: Any = self
        if self._is_redeemed or not getattr(grant, "INCLUDE_NEW_REFRESH_TOKEN", True):
            return
        attribute, _ = self.REDEEMED[grant.GRANT_TYPE]
        credential = getattr(grant.request, attribute)
        if not self.redeem(credential):
            self.on_second_use(credential)
            raise InvalidGrantError("The code or refresh token was used before.")
        self._is_redeemed = True
