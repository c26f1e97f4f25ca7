"""What clients and resource servers talk to: token, introspection, revocation, keys."""

from __future__ import annotations

from typing import Any

from authlib.integrations.flask_oauth2 import current_token
from authlib.oauth2 import rfc8414, rfc9207
from authlib.oauth2.rfc6749 import InvalidRequestError
from flask import Blueprint, Response, jsonify, request

from demo_server import demo_data
from demo_server.authorization_server import keyring
from demo_server.authorization_server.introspection import Introspection
from demo_server.authorization_server.revocation import Revocation
from demo_server.authorization_server.server import (
    AUTHORIZATION_PATH,
    Server,
    log_refusal,
)
from demo_server.authorization_server.stored_tokens import StoredTokens
from demo_server.client_file import AUTH_METHODS, GRANT_TYPES
from demo_server.models import User
from dpop_ext.authorization_server import AuthorizationServerMetadata, DPoP
from dpop_ext.authorization_server.metadata import metadata_path
from dpop_ext.core.policy import FAPI2
from dpop_ext.integrations.flask_oauth2 import ResourceProtector
from dpop_ext.resource_server import DPoPTokenValidator

#: What scripts of other origins may use; the pages, which have cookies, never.
SCRIPT_PATHS = (
    *("/token", "/par", "/revoke", "/jwks", "/userinfo"),
    "/.well-known/oauth-authorization-server",
)


def create_blueprint(server: Server, dpop: DPoP, profile: dict[str, Any]) -> Blueprint:
    """Return the endpoints of *server* that speak JSON.

    :param profile: members of the metadata that the profile sets.
    """
    endpoints = Blueprint("protocol", __name__)
    server.register_endpoint(Introspection)
    server.register_endpoint(Revocation)
    metadata = create_metadata(server, profile)
    require_token = ResourceProtector()
    # The verifier has no keyring: only asymmetric proofs are good here.
    require_token.register_token_validator(
        DPoPTokenValidator(
            StoredTokens(server), dpop.verifier, public_url=server.issuer
        )
    )

    @endpoints.post("/token")
    def token() -> Response:
        # Once each; a repeated resource gets an error of its own (RFC 8707).
        for name, values in request.form.lists():
            if len(values) > 1 and name != "resource":
                log_refusal("repeated_parameter")
                error = InvalidRequestError("A parameter is repeated.")
                return server.handle_error_response(None, error)
        response: Response = server.create_token_response()
        return response

    @endpoints.post("/par")
    def pushed_authorization_request() -> Response:
        response: Response = server.create_endpoint_response(
            "pushed_authorization_request"
        )
        return response

    @endpoints.post("/introspect")
    def introspect() -> Response:
        response: Response = server.create_endpoint_response("introspection")
        return response

    @endpoints.post("/revoke")
    def revoke() -> Response:
        response: Response = server.create_endpoint_response("revocation")
        return response

    @endpoints.get("/jwks")
    def jwks() -> Response:
        response = jsonify(server.public_jwks())
        response.mimetype = "application/jwk-set+json"
        return response

    @endpoints.route("/userinfo", methods=["GET", "POST"])
    @require_token()  # type: ignore[untyped-decorator]
    def userinfo() -> Response:
        user = server.database.session.get(User, current_token.claims["sub"])
        answer = {"sub": current_token.claims["sub"]}
        if user is not None and "profile" in current_token.scope.split():
            answer |= {"name": user.display_name, "preferred_username": user.username}
        return jsonify(answer)

    @endpoints.get(metadata_path(server.issuer))
    def well_known() -> Response:
        return jsonify(metadata)

    return endpoints


def create_metadata(server: Server, profile: dict[str, Any]) -> dict[str, Any]:
    """Return the metadata document (:rfc:`8414`), checked.

    :param profile: members that replace ours.
    """
    url = server.issuer
    methods = profile.get("token_endpoint_auth_methods_supported", list(AUTH_METHODS))
    confidential = [method for method in AUTH_METHODS if method != "none"]
    metadata = rfc8414.AuthorizationServerMetadata(
        {
            "issuer": url,
            "authorization_endpoint": url + AUTHORIZATION_PATH,
            "pushed_authorization_request_endpoint": f"{url}/par",
            "token_endpoint": f"{url}/token",
            "introspection_endpoint": f"{url}/introspect",
            "revocation_endpoint": f"{url}/revoke",
            "userinfo_endpoint": f"{url}/userinfo",
            "jwks_uri": f"{url}/jwks",
            "scopes_supported": list(demo_data.SCOPES),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": list(GRANT_TYPES),
            "token_endpoint_auth_methods_supported": methods,
            "introspection_endpoint_auth_methods_supported": confidential,
            "introspection_signing_alg_values_supported": [Introspection.signing_alg],
            "revocation_endpoint_auth_methods_supported": methods,
            **{
                f"{name}_endpoint_auth_signing_alg_values_supported": list(
                    FAPI2.algorithms
                )
                for name in ("token", "introspection", "revocation")
            },
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            "protected_resources": [server.settings.resource_url],
            **_keyring_metadata(server),
            **profile,
        }
    )
    metadata.validate(
        metadata_classes=[
            rfc9207.AuthorizationServerMetadata,
            AuthorizationServerMetadata,
        ]
    )
    return dict(metadata)


def _keyring_metadata(server: Server) -> dict[str, Any]:
    if not server.settings.derives_keys:
        return {}
    return {"dpop_symmetric_keyring_endpoint": f"{server.issuer}{keyring.PATH}"}
