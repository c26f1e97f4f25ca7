"""The key that a code or a refresh token is bound to (RFC 9449 sections 5 and 10)."""

from __future__ import annotations

import hmac
from typing import Any

from authlib.oauth2.rfc7523 import JWTBearerGrant

from dpop_ext.authorization_server.client_metadata import metadata_of
from dpop_ext.authorization_server.delegation import TokenExchange
from dpop_ext.errors import KeyMismatchError, MissingProofError


class KeyBinding:
    """Compares the key of a proof with what was bound earlier, and binds what was not.

    What is stored decides, not what the client is registered as today: that may have
    changed since.
    """

    def check_binding(self, grant: Any, jkt: str | None, *, required: bool) -> None:
        """Check a validated token request. Uses up nothing, but for a stolen code.

        :param jkt: thumbprint of the proof's key; None when there is no proof.
        :param required: the policy demands a proof of every client.
        :raises MissingProofError: no proof, from a client that must send one or for a
            code or token that is bound.
        :raises KeyMismatchError: the proof is by another key.
        """
        request = grant.request
        if jkt is None and (required or self.is_required(request.client)):
            raise MissingProofError
        if request.authorization_code is not None:
            self._check_code(grant, request.authorization_code, jkt)
        if request.refresh_token is not None:
            self._check_refresh_token(grant, request.refresh_token, jkt)
        exchange = getattr(request, "token_exchange", None)
        if exchange is not None:
            _check_exchange(exchange, jkt)

    def renews_bound(self, request: Any) -> bool:
        """Tell whether a refresh token came that is bound to a key.

        What comes of it is bound, too, even if the client, which did not authenticate
        then, has been given a secret since.
        """
        old = request.refresh_token
        return old is not None and bool(self.get_refresh_token_dpop_jkt(old))

    def remember_binding(
        self,
        request: Any,
        token: dict[str, Any],
        *,
        jkt: str,
        refresh_jkt: str | None,
    ) -> None:
        """Let what was Bearer until now not be so again.

        :param token: the response to a request that was checked. It is not saved yet.
        :param jkt: thumbprint of the key that its access token is bound to.
        :param refresh_jkt: likewise of refresh tokens; None does not bind them.
        """
        if request.auth_method not in (None, "none"):
            self.remember_bound_client(request.client)
        old = request.refresh_token
        # A new refresh token gets the columns of this request.
        if old is None or "refresh_token" in token:
            return
        if refresh_jkt is not None:
            if self.get_refresh_token_dpop_jkt(old) is None:
                self.bind_refresh_token(old, refresh_jkt)
        elif self.get_access_token_dpop_jkt(old) is None:
            self.mark_refresh_token(old, jkt)

    def is_required(self, client: Any) -> bool:
        """Tell whether the client must use DPoP (:rfc:`9449#section-5.2`).

        Developers MAY re-implement this method; it reads ``dpop_bound_access_tokens``,
        an attribute of the client or a member of its metadata.
        """
        key = "dpop_bound_access_tokens"
        return bool(getattr(client, key, None) or metadata_of(client).get(key))

    def is_public(self, grant: Any) -> bool:
        """Tell whether the client of a validated request did not authenticate.

        What it gets is bound to the key of its proof, refresh tokens included. It reads
        ``auth_method`` of the request, which is ``none`` for such a client, and None
        where a grant found the client without Authlib's methods. An assertion of
        :rfc:`7523#section-2.1` is signed by it. Developers MAY re-implement this
        method.
        """
        method: str | None = grant.request.auth_method
        if method is None:
            return bool(grant.GRANT_TYPE != JWTBearerGrant.GRANT_TYPE)
        return method == "none"

    def get_authorization_code_dpop_jkt(self, authorization_code: Any) -> str | None:
        """Return the ``dpop_jkt`` that was stored with the code.

        Developers MAY re-implement this method, the default logic::

            def get_authorization_code_dpop_jkt(self, authorization_code):
                return authorization_code.dpop_jkt
        """
        return _column(authorization_code, "dpop_jkt", "OAuth2DPoPCodeMixin")

    def get_refresh_token_dpop_jkt(self, refresh_token: Any) -> str | None:
        """Return the key that the refresh token is bound to, if any.

        Developers MAY re-implement this method, the default logic::

            def get_refresh_token_dpop_jkt(self, refresh_token):
                return refresh_token.refresh_dpop_jkt
        """
        return _column(refresh_token, "refresh_dpop_jkt", "OAuth2DPoPTokenMixin")

    def get_access_token_dpop_jkt(self, token: Any) -> str | None:
        """Return the key that the access token stored with a refresh token is bound to.

        Developers MAY re-implement this method, the default logic::

            def get_access_token_dpop_jkt(self, token):
                return token.dpop_jkt
        """
        return _column(token, "dpop_jkt", "OAuth2DPoPTokenMixin")

    def bind_refresh_token(self, refresh_token: Any, jkt: str) -> None:
        """Bind a refresh token that was issued without a proof and is not rotated.

        Called before ``save_token``, so that its commit stores both. Developers MAY
        re-implement this method, the default logic::

            def bind_refresh_token(self, refresh_token, jkt):
                refresh_token.refresh_dpop_jkt = jkt
        """
        refresh_token.refresh_dpop_jkt = jkt

    def mark_refresh_token(self, refresh_token: Any, jkt: str) -> None:
        """Remember that a refresh token, which is not rotated, led to a bound token.

        For clients that authenticate: any key of theirs will do at the next refresh,
        and none will not (:meth:`get_access_token_dpop_jkt`). Called before
        ``save_token``, so that its commit stores both. Where the refresh token is in
        one row with an opaque access token that is still good, that one is bound from
        now on, too. Developers MAY re-implement this method, the default logic::

            def mark_refresh_token(self, refresh_token, jkt):
                refresh_token.dpop_jkt = jkt
        """
        refresh_token.dpop_jkt = jkt

    def remember_bound_client(self, client: Any) -> None:
        """React to a client that authenticated and is about to get a bound token.

        Does nothing: each grant has its own way from Bearer to bound, which is one-way.
        Developers MAY re-implement this method to make it one-way for the client and
        all its grants, so that :meth:`is_required` says so from now on. Called before
        ``save_token``, so that its commit stores both.

        It is never called for a public client. Anybody can send a proof in the name of
        one, and would lock out its other installations.
        """

    def on_code_key_mismatch(self, grant: Any, authorization_code: Any) -> None:
        """Use up a code that came with another key: someone has stolen it.

        Developers MAY re-implement this method.
        """
        grant.delete_authorization_code(authorization_code)

    def on_refresh_token_key_mismatch(self, grant: Any, refresh_token: Any) -> None:
        """React to a bound refresh token that came with another key.

        Does nothing, since a token that is useless without its key can stay with its
        owner. Developers MAY re-implement this method to revoke all that was issued
        from the same grant.
        """

    def _check_code(self, grant: Any, code: Any, jkt: str | None) -> None:
        bound = self.get_authorization_code_dpop_jkt(code)
        if bound is None:
            return
        if jkt is None:
            raise MissingProofError
        if not _same(bound, jkt):
            self.on_code_key_mismatch(grant, code)
            raise KeyMismatchError("The authorization code is bound to another key.")

    def _check_refresh_token(self, grant: Any, token: Any, jkt: str | None) -> None:
        bound = self.get_refresh_token_dpop_jkt(token)
        if jkt is None:
            # A client that once had a bound access token does not get a lesser one.
            if bound is not None or self.get_access_token_dpop_jkt(token) is not None:
                raise MissingProofError
        elif bound is not None and not _same(bound, jkt):
            self.on_refresh_token_key_mismatch(grant, token)
            raise KeyMismatchError("The refresh token is bound to another key.")


def _check_exchange(exchange: TokenExchange, jkt: str | None) -> None:
    """Check that bound tokens come from whom they are bound to.

    Or from the actor that the subject has named, who cannot have the subject's key. One
    proof shows one key, so nobody else can exchange a token for somebody.
    """
    bound = [exchange.subject] if not exchange.is_actor_named else []
    if exchange.actor is not None:
        bound.append(exchange.actor)
    if jkt is None:
        if any(token.confirmation for token in (exchange.subject, *bound)):
            raise MissingProofError
        return
    for token in bound:
        confirmation = token.confirmation
        if confirmation is None:
            continue
        # There is no certificate of the client here, so one that a token is bound to
        # cannot be compared.
        if confirmation.jkt is None or confirmation.certificate is not None:
            raise KeyMismatchError("The token is bound to a certificate.")
        if not _same(confirmation.jkt, jkt):
            raise KeyMismatchError("The token is bound to another key.")


def _column(row: Any, name: str, mixin: str) -> str | None:
    try:
        jkt: str | None = getattr(row, name)
    except AttributeError as error:
        raise AttributeError(
            f"{type(row).__name__} has no {name}: mix {mixin} of "
            "dpop_ext.integrations.sqla_oauth2 into the model, or re-implement "
            "the method of DPoP that reads it."
        ) from error
    return jkt


def _same(bound: str, jkt: str) -> bool:
    return hmac.compare_digest(bound.encode(), jkt.encode())
