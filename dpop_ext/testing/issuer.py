"""An issuer of access tokens without a server (:rfc:`9068`, :rfc:`9449#section-6`)."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from joserfc.jwk import ECKey

from dpop_ext.core.jws_signature import sign_compact
from dpop_ext.resource_server import AccessTokenValidator
from dpop_ext.testing.clock import FakeClock


class Issuer:
    """Makes access tokens.

    ::

        app.config["TOKENS"] = dpop_issuer.validator()
        token = dpop_issuer.access_token(dpop_signer.jkt, scope="accounts")

    :param identifier: what it calls itself.
    :param audience: the resource server that its tokens are for.
    :param clock: seconds since the epoch.
    """

    def __init__(
        self,
        identifier: str = "https://as.example",
        audience: str = "https://api.example",
        *,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.identifier = identifier
        self.audience = audience
        self._clock = clock or FakeClock()
        self._key = ECKey.generate_key("P-256", {"kid": "test"})

    @property
    def jwks(self) -> dict[str, Any]:
        """The public keys, as a JWK Set."""
        return {"keys": [self._key.as_dict(private=False)]}

    def validator(self) -> AccessTokenValidator:
        """Return what verifies its tokens: a ``find_token``, or an inner validator."""
        return AccessTokenValidator(
            self.identifier, self.audience, jwks=self.jwks, clock=self._clock
        )

    def access_token(
        self,
        jkt: str | None,
        *,
        scope: str = "",
        client_id: str = "client",
        lifetime: int = 300,
        **claims: Any,
    ) -> str:
        """Make an access token.

        :param jkt: thumbprint of the key that it is bound to; None makes a Bearer
            token.
        :param scope: values, separated by spaces.
        :param lifetime: in seconds; a negative one makes a token that has expired.
        :param claims: further claims, or others in place of the usual ones; None
            leaves one out.
        """
        now = int(self._clock())
        usual = {
            "iss": self.identifier,
            "aud": self.audience,
            "sub": "alice",
            "client_id": client_id,
            "iat": now,
            "exp": now + lifetime,
            "jti": secrets.token_urlsafe(12),
            "scope": scope,
            "cnf": None if jkt is None else {"jkt": jkt},
        }
        made = {k: v for k, v in (usual | claims).items() if v is not None}
        header = {"typ": "at+jwt", "alg": "ES256", "kid": "test"}
        return sign_compact(header, made, self._key)

    def __repr__(self) -> str:
        return f"<Issuer {self.identifier} for {self.audience}>"
