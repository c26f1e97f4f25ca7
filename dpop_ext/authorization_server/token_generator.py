"""Access tokens as JWTs, bound to the client's key (RFC 9068; RFC 9449 section 6.1)."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any

from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
from joserfc.jwk import Key, KeySet

from dpop_ext.authorization_server.issuance import current_issuance
from dpop_ext.authorization_server.signing_key import sign
from dpop_ext.core.base64url import b64url_encode
from dpop_ext.core.key import ALGORITHMS


class TicketConsent:
    """What a token generator says about tickets (DPoP Symmetric Profile 1.0)."""

    def allows_tickets(self, client: Any) -> bool:
        """Tell whether resource servers may give this client symmetric keys.

        Re-implement it to keep them from that: the token then says so in ``cnf.sym``.

        :param client: that the token is for.
        """
        return True

    def limited(self, cnf: dict[str, Any], client: Any) -> dict[str, Any]:
        """Return *cnf* with what was decided for *client*."""
        return cnf if self.allows_tickets(client) else {**cnf, "sym": False}


class ConfirmationClaim(TicketConsent):
    """Mixin that adds ``cnf`` to the JWTs of a token generator, and ``act``.

    ::

        class TokenGenerator(ConfirmationClaim, JWTBearerTokenGenerator):
            def get_jwks(self):
                return jwks

    A generator without it cannot bind its tokens: the first request with a proof then
    ends in a ``RuntimeError``.
    """

    #: Seconds since the epoch.
    clock: Callable[[], float] = staticmethod(time.time)

    def get_extra_claims(
        self, client: Any, grant_type: str, user: Any, scope: str | None
    ) -> dict[str, Any]:
        """Add ``cnf``, the audience and the times that belong to it, and ``act``."""
        generator: Any = super()
        claims: dict[str, Any] = dict(
            generator.get_extra_claims(client, grant_type, user, scope)
        )
        issuance = current_issuance()
        if issuance is None:
            return claims
        if issuance.audience is not None:
            claims["aud"] = issuance.audience
        # One clock reading for the token and the key. These claims replace the ones
        # that the generator made before with a reading of its own.
        now = int(self.clock())
        this: Any = self
        lifetime = this._get_expires_in(client, grant_type)  # noqa: SLF001
        expires_at = now + issuance.lifetime(lifetime, now=now)
        cnf = issuance.confirmation(now=now, expires_at=expires_at)
        if cnf is not None:
            cnf = self.limited(cnf, client)
            claims.update(iat=now, exp=expires_at, cnf=cnf)
        elif issuance.latest is not None:
            claims.update(iat=now, exp=expires_at)
        return claims | issuance.claims


class AccessTokenGenerator(TicketConsent, JWTBearerTokenGenerator):
    """Make JWT access tokens (:rfc:`9068`) that are bound when the request has a proof.

    Differs from the class of Authlib in that the algorithm is chosen from an explicit
    list of asymmetric ones, PS256 and Ed25519 among them; that the header names the
    key; that the audience is the resource server, never the client; and that all times
    in a token come from one reading of one clock.

    :param issuer: identifier of the authorization server, the ``iss`` of the tokens.
    :param keys: returns the private keys, oldest to newest, as a key or a key set. The
        newest that fits *alg* signs. Or override :meth:`get_jwks`.
    :param alg: signature algorithm.
    :param audience: of tokens for which neither the request nor the registration of
        the client names one.
    :param refresh_token_generator: as in Authlib: without one there are no refresh
        tokens.
    :param expires_generator: lifetime in seconds, or a function of client and grant
        type that returns it. Set it: Authlib's own for ``client_credentials`` is ten
        days.
    :param clock: seconds since the epoch.
    :raises TypeError: *keys* is no function.
    :raises ValueError: *alg* is not an asymmetric algorithm that is supported.
    """

    def __init__(
        self,
        issuer: str,
        keys: Callable[[], Key | KeySet] | None = None,
        *,
        alg: str = "ES256",
        audience: str | None = None,
        refresh_token_generator: Callable[..., str] | None = None,
        expires_generator: Callable[[Any, str], int] | int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if alg not in ALGORITHMS:
            raise ValueError("alg is not a supported asymmetric algorithm")
        if keys is not None and not callable(keys):
            raise TypeError("keys is a function that returns the private keys")
        super().__init__(
            issuer,
            alg=alg,
            refresh_token_generator=refresh_token_generator,
            expires_generator=expires_generator,
        )
        self.audience = audience
        self.clock = clock
        self._keys = keys

    def get_jwks(self) -> Key | KeySet:
        """Return the private signing keys, oldest to newest."""
        if self._keys is None:
            raise RuntimeError("Pass keys to AccessTokenGenerator, or define get_jwks.")
        return self._keys()

    def get_jti(
        self, client: Any, grant_type: str, user: Any, scope: str | None
    ) -> str:
        """Return 96 random bits, in one reading where Authlib's own takes sixteen."""
        return b64url_encode(secrets.token_bytes(12))

    def get_audiences(self, client: Any, user: Any, scope: str | None) -> str:
        """Return the audience of a token for which nobody named one."""
        if self.audience is None:
            raise RuntimeError(
                "No audience for this access token: register audiences with the "
                "client, or pass audience to AccessTokenGenerator."
            )
        return self.audience

    def generate(  # noqa: PLR0917 (the signature is that of Authlib)
        self,
        grant_type: str,
        client: Any,
        user: Any = None,
        scope: str | None = None,
        expires_in: int | None = None,
        include_refresh_token: bool = True,  # noqa: FBT001, FBT002
    ) -> dict[str, Any]:
        """Make the token response, whose ``expires_in`` is that of the JWT.

        :param expires_in: in seconds; None takes it from *expires_generator*.
        """
        scope = self.get_allowed_scope(client, scope)
        if expires_in is None:
            expires_in = self._get_expires_in(client, grant_type)
        now = int(self.clock())
        expires_in = _limited(expires_in, now=now)
        token = {
            "token_type": "Bearer",
            "access_token": self._make(
                client, grant_type, user, scope, expires_in, now=now
            ),
            "expires_in": expires_in,
        }
        if include_refresh_token and self.refresh_token_generator:
            token["refresh_token"] = self.refresh_token_generator(
                client=client, grant_type=grant_type, user=user, scope=scope
            )
        if scope:
            token["scope"] = scope
        return token

    def access_token_generator(
        self, client: Any, grant_type: str, user: Any, scope: str | None
    ) -> str:
        """Make the JWT alone."""
        now = int(self.clock())
        expires_in = _limited(self._get_expires_in(client, grant_type), now=now)
        return self._make(client, grant_type, user, scope, expires_in, now=now)

    def _make(
        self,
        client: Any,
        grant_type: str,
        user: Any,
        scope: str | None,
        expires_in: int,
        *,
        now: int,
    ) -> str:
        if type(expires_in) is not int or expires_in <= 0:
            raise RuntimeError("The lifetime of an access token is a positive integer.")
        client_id = client.get_client_id()
        claims = {
            "iss": self.issuer,
            "sub": str(user.get_user_id()) if user else client_id,
            "client_id": client_id,
            "iat": now,
            "exp": now + expires_in,
            "jti": self.get_jti(client, grant_type, user, scope),
            "scope": scope,
            "auth_time": self.get_auth_time(user),
            "acr": self.get_acr(user),
            "amr": self.get_amr(user),
        }
        claims = {name: value for name, value in claims.items() if value}
        claims.update(self.get_extra_claims(client, grant_type, user, scope))
        issuance = current_issuance()
        if issuance is not None and issuance.audience is not None:
            claims["aud"] = issuance.audience
        else:
            claims["aud"] = self.get_audiences(client, user, scope)
        # Last, so that a claim of the application never stands in for the binding.
        claims.update(issuance.claims if issuance else {})
        cnf = issuance and issuance.confirmation(now=now, expires_at=now + expires_in)
        if cnf:
            claims["cnf"] = self.limited(cnf, client)
        text = sign(claims, self.get_jwks(), algorithm=self.alg, typ="at+jwt")
        if issuance is not None:
            issuance.signed = text, claims
        return text


def _limited(expires_in: int, *, now: int) -> int:
    """Return the lifetime, cut so that a token does not outlive what it came of."""
    issuance = current_issuance()
    return expires_in if issuance is None else issuance.lifetime(expires_in, now=now)
