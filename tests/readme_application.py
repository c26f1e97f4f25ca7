"""The application that the README presupposes, as it was before DPoP."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from authlib.integrations.sqla_oauth2 import OAuth2ClientMixin
from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc6750 import BearerTokenValidator
from flask import Flask
from sqlalchemy import StaticPool, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from dpop_ext.integrations.sqla_oauth2 import RedeemOnce

Names = dict[str, Any]


class User:
    def __init__(self, user_id: int) -> None:
        self.id = user_id

    def get_user_id(self) -> int:
        return self.id


@contextmanager
def application() -> Iterator[Names]:
    """Yield the names that the README's blocks find: Flask, SQLAlchemy, clients."""

    class Base(DeclarativeBase):
        pass

    class Client(Base, OAuth2ClientMixin):
        __tablename__ = "client"
        id: Mapped[int] = mapped_column(primary_key=True)

    # A token request is sent by a thread of its own, which here is the server, too.
    engine = create_engine(
        "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
    )
    app = Flask("readme")
    with Session(engine) as session:

        def query_client(client_id: str) -> Client | None:
            return session.scalars(
                select(Client).filter_by(client_id=client_id)
            ).first()

        yield {
            "Base": Base,
            "Client": Client,
            "Mapped": Mapped,
            "app": app,
            "engine": engine,
            "mapped_column": mapped_column,
            "nonce_secrets": [bytes(range(32)), bytes(range(1, 33))],
            "query_client": query_client,
            "session": session,
        }
    engine.dispose()


def register_clients(names: Names) -> None:
    """Make the tables and two clients, the second one public and bound to DPoP."""
    names["Base"].metadata.create_all(names["engine"])
    confidential = names["Client"](client_id="client", client_secret="secret")
    confidential.set_client_metadata(
        {
            "grant_types": ["client_credentials"],
            "scope": "accounts",
            "token_endpoint_auth_method": "client_secret_basic",
            "audiences": ["https://api.example"],
        }
    )
    public = names["Client"](client_id="app", client_secret="")
    public.set_client_metadata(
        {
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "redirect_uris": ["https://app.example/callback"],
            "scope": "accounts",
            "token_endpoint_auth_method": "none",
            "dpop_bound_access_tokens": True,
        }
    )
    names["session"].add_all([confidential, public])
    names["session"].commit()


def keep_the_rest(names: Names) -> None:
    """Add what the README leaves out: "as before" in the grants, the validator."""
    session = names["session"]

    def query_authorization_code(_self: Any, code: str, client: Any) -> Any:
        model = names["AuthorizationCode"]
        query = select(model).filter_by(code=code, client_id=client.client_id)
        return session.scalars(query).first()

    def delete_authorization_code(self: Any, code: Any) -> None:
        self.redeem(code)

    def authenticate_user(_self: Any, code: Any) -> User:
        return User(code.user_id)

    grant = names["AuthorizationCodeGrant"]
    grant.query_authorization_code = query_authorization_code
    grant.delete_authorization_code = delete_authorization_code
    grant.authenticate_user = authenticate_user

    class RefreshTokenGrant(RedeemOnce, grants.RefreshTokenGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "none"]
        INCLUDE_NEW_REFRESH_TOKEN = True

        def get_session(self) -> Session:
            found: Session = session
            return found

        def authenticate_refresh_token(self, refresh_token: str) -> Any:
            query = select(names["Token"]).filter_by(refresh_token=refresh_token)
            token = session.scalars(query).first()
            return token if token and not token.is_revoked() else None

        def authenticate_user(self, refresh_token: Any) -> User:
            return User(refresh_token.user_id)

        def revoke_old_credential(self, refresh_token: Any) -> None:
            refresh_token.access_token_revoked_at = int(time.time())
            session.commit()

    class MyTokenValidator(BearerTokenValidator):
        def authenticate_token(self, token_string: str) -> Any:
            query = select(names["Token"]).filter_by(access_token=token_string)
            return session.scalars(query).first()

    names["RefreshTokenGrant"] = RefreshTokenGrant
    names["MyTokenValidator"] = MyTokenValidator


def add_endpoints(names: Names) -> None:
    """Add the endpoints of the authorization server; user 1 consents to everything."""
    app: Flask = names["app"]
    server = names["server"]

    @app.get("/authorize")
    def authorize() -> Any:
        user = User(1)
        grant = server.get_consent_grant(end_user=user)
        return server.create_authorization_response(grant_user=user, grant=grant)

    @app.post("/token")
    def token() -> Any:
        return server.create_token_response()
