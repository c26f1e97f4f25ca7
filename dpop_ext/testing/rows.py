"""What an authorization server in memory keeps, as Authlib wants it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

from authlib.oauth2.rfc6749 import (
    AuthorizationCodeMixin,
    ClientMixin,
    TokenMixin,
    list_to_scope,
    scope_to_list,
)


@dataclass(kw_only=True)
class MemoryClient(ClientMixin):
    """A client. Without a secret it is a public one."""

    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    redirect_uris: tuple[str, ...] = ("http://127.0.0.1/callback",)
    #: The resource servers that it may ask for tokens for.
    audiences: tuple[str, ...] = ()
    dpop_bound_access_tokens: bool = True

    @property
    def client_metadata(self) -> dict[str, Any]:
        """What it registered (:rfc:`7591`)."""
        return {
            "audiences": list(self.audiences),
            "dpop_bound_access_tokens": self.dpop_bound_access_tokens,
        }

    def get_client_id(self) -> str:
        """Return the identifier."""
        return self.client_id

    def get_default_redirect_uri(self) -> str:
        """Return the first redirection URI."""
        return self.redirect_uris[0]

    def get_allowed_scope(self, scope: str | None) -> str:
        """Return *scope*: there is nothing that this client may not ask for."""
        return list_to_scope(scope_to_list(scope or "")) or ""

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Tell whether it is one of ours."""
        return redirect_uri in self.redirect_uris

    def check_client_secret(self, client_secret: str) -> bool:
        """Tell whether it is the secret."""
        if self.client_secret is None:
            return False
        return secrets.compare_digest(client_secret, self.client_secret)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """Public clients have no way to authenticate, the others a secret."""
        if self.client_secret is None:
            return method == "none"
        return method in {"client_secret_basic", "client_secret_post"}

    def check_response_type(self, response_type: str) -> bool:
        """Only codes come from the authorization endpoint."""
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        """Only clients with a secret get tokens for themselves."""
        return grant_type != "client_credentials" or self.client_secret is not None


@dataclass(kw_only=True)
class MemoryUser:
    """The one user, who consents to everything."""

    user_id: str = "alice"

    def get_user_id(self) -> str:
        """Return the identifier."""
        return self.user_id


@dataclass(kw_only=True)
class MemoryCode(AuthorizationCodeMixin):
    """An authorization code."""

    code: str = field(repr=False)
    client_id: str
    redirect_uri: str | None
    scope: str
    code_challenge: str | None
    code_challenge_method: str | None
    dpop_jkt: str | None
    resource: str | None

    def get_redirect_uri(self) -> str | None:
        """Return the redirection URI of the authorization request."""
        return self.redirect_uri

    def get_scope(self) -> str:
        """Return the scope that was consented to."""
        return self.scope


@dataclass(kw_only=True)
class MemoryToken(TokenMixin):
    """A refresh token, and what came with it."""

    refresh_token: str = field(repr=False)
    client_id: str
    scope: str
    refresh_dpop_jkt: str | None

    def check_client(self, client: Any) -> bool:
        """Tell whether it was issued to *client*."""
        return bool(self.client_id == client.get_client_id())

    def get_scope(self) -> str:
        """Return the scope that was granted."""
        return self.scope

    def get_expires_in(self) -> int:
        """Return 0: it is good until it was used."""
        return 0

    def is_expired(self) -> bool:
        """Return False."""
        return False

    def is_revoked(self) -> bool:
        """Return False: what was used is gone."""
        return False
