"""The grant for token exchange (RFC 8693), whose tokens DPoP binds (RFC 9449)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from authlib.oauth2.rfc6749 import (
    BaseGrant,
    InvalidRequestError,
    InvalidScopeError,
    TokenEndpointMixin,
    UnauthorizedClientError,
)

from dpop_ext.authorization_server.delegation import (
    TokenExchange,
    check_chain,
    extend_chain,
    identity,
    names,
)
from dpop_ext.authorization_server.errors import Header, InvalidTargetError
from dpop_ext.authorization_server.http_request import form_values
from dpop_ext.core.confirmation import AccessToken
from dpop_ext.core.token_text import MAX_TOKEN_LENGTH

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"
JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt"


class TokenExchangeGrant(BaseGrant, TokenEndpointMixin):
    """Exchange an access token for another one, for oneself or as a delegate.

    Authlib has no such grant. It is registered as Authlib's own are, and works with the
    :class:`~dpop_ext.authorization_server.DPoP` extension only::

        class TokenExchange(TokenExchangeGrant):
            def authenticate_subject_token(self, token, token_type): ...
            def authenticate_user(self, subject): ...

        server.register_grant(TokenExchange)
        server.register_extension(DPoP(verifier))

    A subject or actor token that is bound to a key needs a proof by that key. Who is
    named by ``may_act`` of the subject token may use a key of his own instead. The new
    token is bound to the key of the proof in any case, so a bound token never becomes a
    Bearer token. It has no wider scope than the subject token and does not outlive it.

    ``save_token`` finds what was exchanged in ``request.token_exchange``, a
    :class:`TokenExchange`: keep a reference, so that revoking the subject token revokes
    what came of it, and ``token_exchange.act`` if access tokens are opaque.
    """

    GRANT_TYPE = GRANT_TYPE
    #: The types of tokens that may be exchanged; also of actor tokens.
    SUBJECT_TOKEN_TYPES = (ACCESS_TOKEN_TYPE, JWT_TYPE)

    #: Identifier of this authorization server, for a ``may_act`` that names an issuer.
    issuer: str | None = None
    #: Seconds since the epoch.
    clock: Callable[[], float] = staticmethod(time.time)

    def authenticate_subject_token(
        self, token: str, token_type: str
    ) -> AccessToken | None:
        """Verify a subject token. Developers MUST implement this method.

        :param token: as received.
        :param token_type: one of :attr:`SUBJECT_TOKEN_TYPES`.
        :returns: the token, with ``sub``, ``act`` and ``may_act`` in its claims; None
            if it is malformed, expired, revoked, or from a server that is not trusted.
        """
        raise NotImplementedError

    def authenticate_actor_token(
        self, token: str, token_type: str
    ) -> AccessToken | None:
        """Verify an actor token, as :meth:`authenticate_subject_token` does.

        Developers MAY re-implement this method. It accepts none.
        """
        return None

    def authenticate_user(self, subject: AccessToken) -> Any:
        """Return the user that a subject token is about. Developers MUST implement it.

        :returns: None if it is about a client; the new token then has the same ``sub``.
        :raises InvalidRequestError: there is no such user any more.
        """
        raise NotImplementedError

    def has_granted_permission(self, client: Any, exchange: TokenExchange) -> bool:
        """Tell whether *client* may exchange the token. The policy of the server.

        Developers MAY re-implement this method. It allows the client that the token was
        issued to, unless it names another actor; and an actor that ``may_act`` of the
        token names.
        """
        if exchange.is_actor_named:
            return True
        own = exchange.subject.client_id == client.get_client_id()
        return own and exchange.actor is None

    def validate_token_request(self) -> None:
        """Check the request (:rfc:`8693#section-2.1`).

        :raises InvalidClientError: the client is not who it says.
        :raises UnauthorizedClientError: it may not use this grant.
        :raises InvalidRequestError: a parameter is missing, repeated or not supported;
            a token is not good; or it is not the client's to exchange.
        :raises InvalidTargetError: more than one target.
        :raises InvalidScopeError: more than the subject token has.
        """
        client = self.authenticate_token_endpoint_client()
        if not client.check_grant_type(self.GRANT_TYPE):
            raise UnauthorizedClientError("The client may not use token exchange.")
        self.request.client = client
        if self._parameter("requested_token_type") not in (None, ACCESS_TOKEN_TYPE):
            raise InvalidRequestError("The requested_token_type is not supported.")
        exchange = self._read_exchange(client)
        if len(exchange.targets) > 1:
            raise InvalidTargetError("Only one target can be requested at a time.")
        if not self.has_granted_permission(client, exchange):
            raise InvalidRequestError("The client may not exchange this subject_token.")
        self._scope = self._narrow_scope(client, exchange.subject)
        self.request.user = self.authenticate_user(exchange.subject)
        if self.request.user is None:
            exchange = replace(exchange, claims=exchange.claims | _name(exchange))
        self.request.token_exchange = exchange

    def create_token_response(self) -> tuple[int, dict[str, Any], list[Header]]:
        """Issue the token (:rfc:`8693#section-2.2.1`), without a refresh token."""
        if getattr(self.request, "dpop_issuance", None) is None:
            raise RuntimeError(
                "Register the DPoP extension: without it the binding of a subject "
                "token cannot be verified."
            )
        token = self.generate_token(
            user=self.request.user, scope=self._scope, include_refresh_token=False
        )
        self.save_token(token)
        return (
            200,
            {**token, "issued_token_type": ACCESS_TOKEN_TYPE},
            self.TOKEN_RESPONSE_HEADER,
        )

    def _read_exchange(self, client: Any) -> TokenExchange:
        subject = self._read_token("subject_token", self.authenticate_subject_token)
        actor = self._read_token("actor_token", self.authenticate_actor_token)
        if subject is None:
            raise InvalidRequestError("The subject_token parameter is missing.")
        if actor is not None and "act" in actor.claims:
            # The new token would name the one acted for, and not who acts.
            raise InvalidRequestError("The actor_token is itself one of a delegate.")
        who = self._client_identity(client) if actor is None else identity(actor)
        act = subject.claims.get("act")
        if actor is not None or subject.client_id != client.get_client_id():
            act = extend_chain(who, act)
        elif act is not None:
            check_chain(act)
        return TokenExchange(
            subject=subject,
            actor=actor,
            act=act,
            is_actor_named=(
                self._is_authenticated(client, actor)
                and names(subject.claims.get("may_act"), who)
            ),
            targets=self._targets(),
            claims={} if act is None else {"act": act},
        )

    def _is_authenticated(self, client: Any, actor: AccessToken | None) -> bool:
        """Tell whether the actor is really there.

        Whoever finds an actor token that is bound to no key can send it. So it has to
        be that of the client, which has authenticated: anybody can say that he is one
        that does not.
        """
        if actor is not None and actor.confirmation is not None:
            return True  # its key is compared with that of the proof
        return self.request.auth_method != "none" and (
            actor is None or actor.client_id == client.get_client_id()
        )

    def _read_token(
        self, name: str, authenticate: Callable[[str, str], AccessToken | None]
    ) -> AccessToken | None:
        text, kind = self._parameter(name), self._parameter(f"{name}_type")
        if text is None and kind is None:
            return None
        if not text or not kind:
            raise InvalidRequestError(f"The {name} needs a {name}_type.")
        if kind not in self.SUBJECT_TOKEN_TYPES:
            raise InvalidRequestError(f"The {name}_type is not supported.")
        token = None
        if len(text) <= MAX_TOKEN_LENGTH and text.isascii():
            token = authenticate(text, kind)
        if token is None or (
            token.expires_at is not None and self.clock() >= token.expires_at
        ):
            raise InvalidRequestError(f"The {name} is not valid.")
        return token

    def _client_identity(self, client: Any) -> dict[str, str]:
        name = client.get_client_id()
        known = {"sub": name, "client_id": name}
        return known if self.issuer is None else {**known, "iss": self.issuer}

    def _narrow_scope(self, client: Any, subject: AccessToken) -> str:
        requested = self._parameter("scope")
        self.server.validate_requested_scope(requested)
        scope = subject.scope if requested is None else requested
        allowed = client.get_allowed_scope(scope)
        # A client that asks for nothing may get all that it is registered for.
        if allowed is None or not (
            set(subject.scope.split()) >= {*allowed.split(), *scope.split()}
        ):
            raise InvalidScopeError
        return scope

    def _targets(self) -> tuple[str, ...]:
        resources = form_values(self.request, "resource")
        audiences = form_values(self.request, "audience")
        return (*resources, *(name for name in audiences if name not in resources))

    def _parameter(self, name: str) -> str | None:
        values = form_values(self.request, name)
        if len(values) > 1:
            raise InvalidRequestError("A parameter is repeated.")
        return values[0] if values else None


def _name(exchange: TokenExchange) -> dict[str, str]:
    """Return the ``sub`` of a token that is about a client."""
    name = exchange.subject.claims.get("sub", exchange.subject.client_id)
    if not isinstance(name, str) or not name:
        raise InvalidRequestError("The subject_token names no subject.")
    return {"sub": name}
