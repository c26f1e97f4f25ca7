"""Registered clients, described by their metadata (RFC 7591 section 2)."""

from __future__ import annotations

from typing import Any

from authlib.oauth2.rfc6749 import ClientMixin
from sqlalchemy import JSON, String
from sqlalchemy.orm import Mapped, mapped_column

from demo_server import redirect_uri
from demo_server.models.base import Base
from demo_server.passwords import check_password


class Client(Base, ClientMixin):
    """A client, or a resource server that asks about tokens.

    ``client_metadata`` holds the registered names, and three of our own: ``audiences``
    and ``default_audience`` say for which resource servers the client may get tokens,
    ``resource_server_audiences`` which audiences it is the resource server of.
    """

    __tablename__ = "clients"

    client_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    secret_hash: Mapped[str | None] = mapped_column(String(255))
    client_metadata: Mapped[dict[str, Any]] = mapped_column(JSON)
    #: False once the client is no longer among those that the server is started with.
    enabled: Mapped[bool] = mapped_column(default=True)

    @property
    def name(self) -> str:
        """What the consent page calls the client."""
        name = self.client_metadata.get("client_name")
        return name if isinstance(name, str) else self.client_id

    @property
    def redirect_uris(self) -> list[str]:
        """The registered redirect URIs."""
        return list(self.client_metadata.get("redirect_uris", []))

    @property
    def token_endpoint_auth_method(self) -> str:
        """The one way in which the client authenticates, at every endpoint."""
        return str(self.client_metadata["token_endpoint_auth_method"])

    @property
    def dpop_bound_access_tokens(self) -> bool:
        """Whether the client must use DPoP (:rfc:`9449#section-5.2`)."""
        return self.client_metadata.get("dpop_bound_access_tokens", False) is True

    @property
    def jwks(self) -> dict[str, Any] | None:
        """The public keys of a client that signs its assertions."""
        return self.client_metadata.get("jwks")

    @property
    def audiences(self) -> list[str]:
        """The resource servers that the client may get tokens for."""
        return list(self.client_metadata.get("audiences", []))

    @property
    def resource_server_audiences(self) -> list[str]:
        """The audiences whose tokens a resource server may ask about."""
        return list(self.client_metadata.get("resource_server_audiences", []))

    def get_client_id(self) -> str:
        """Return the identifier."""
        return self.client_id

    def get_default_redirect_uri(self) -> None:
        """None: a request names its redirect URI."""

    def get_allowed_scope(self, scope: str | None) -> str | None:
        """Return the part of *scope* that the client may have; None if that is nothing.

        :param scope: as requested; absent means all that the client is registered for.
        """
        allowed = str(self.client_metadata.get("scope", "")).split()
        wanted = scope.split() if scope else allowed
        return " ".join(name for name in allowed if name in wanted) or None

    def check_redirect_uri(self, uri: str) -> bool:
        """Whether *uri* is registered."""
        return redirect_uri.is_registered(uri, self.redirect_uris)

    def check_client_secret(self, secret: str) -> bool:
        """Whether *secret* is the one of the client."""
        return check_password(self.secret_hash, secret)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """Whether *method* is the one that the client registered."""
        return method == self.token_endpoint_auth_method

    def check_response_type(self, response_type: str) -> bool:
        """Whether the client may use *response_type*."""
        return response_type in self.client_metadata.get("response_types", [])

    def check_grant_type(self, grant_type: str) -> bool:
        """Whether the client may use *grant_type*."""
        return grant_type in self.client_metadata.get("grant_types", [])
